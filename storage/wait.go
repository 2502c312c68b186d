package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/kycq/kycq/tasks"
)

// Result is the final outcome of one run of a job. It holds no unmasked personal data.
type Result struct {
	Kind           tasks.Kind `json:"kind"`
	VerificationID string     `json:"verification_id"`
	// Run is 1, or higher if an operator has retried the job.
	Run int `json:"run"`
	// State is StateValid, StateInvalid, StateFailed or StateCancelled.
	State State `json:"state"`
	// Code is empty for a valid job; Message and NextAction explain it.
	Code       string `json:"code"`
	Message    string `json:"message"`
	NextAction string `json:"next_action"`
	// ReferenceID is Cashfree's id of the verification.
	ReferenceID int64 `json:"reference_id,omitempty"`
	// MaskedImage locates the masked image of a valid aadhaar job.
	MaskedImage *MaskedImage `json:"masked_image,omitempty"`
	// Review is set if a person should check the masked image, and says why.
	Review string `json:"review,omitempty"`
	// Passport holds the comparisons and masked fields of a passport job.
	Passport    *PassportView `json:"passport,omitempty"`
	CompletedAt time.Time     `json:"completed_at,omitzero"`
}

// Result returns the part of a final record that apps need.
func (r *Record) Result() Result {
	return Result{
		Kind: r.Kind, VerificationID: r.VerificationID, Run: r.Run, State: r.State,
		Code: r.Code, Message: r.Message, NextAction: r.NextAction, ReferenceID: r.ReferenceID,
		MaskedImage: clonePtr(r.MaskedImage), Review: r.Review, Passport: clonePtr(r.Passport), CompletedAt: r.CompletedAt,
	}
}

// Wait blocks until the job is final and returns its result. A job that is final already returns at once, also if the
// result is from an earlier call of Enqueue: Result.Run and Result.CompletedAt tell. An invalid, failed or cancelled job
// is a result, not an error.
//
// Wait returns ErrNotFound at once if the id has no record. Enqueue writes the record before it returns.
//
// Wait reads the record at growing intervals (0.1 s to 2 s) and keeps trying while S3 is unreachable. When ctx ends, the
// error wraps ctx.Err(), and ErrUnreachable if the last read failed. The job continues; Wait may be called again.
func (s *Store) Wait(ctx context.Context, kind tasks.Kind, id string) (Result, error) {
	for r, err := range s.Watch(ctx, kind, id) {
		if err != nil {
			return Result{}, err
		}
		if r.State.Final() {
			return r.Result(), nil
		}
	}
	panic("unreachable: Watch ends with a final record or an error")
}

const (
	firstWatchPause = 100 * time.Millisecond
	maxWatchPause   = 2 * time.Second
)

// Watch yields the record of a job now and whenever its state, reason or run has changed, as far as its reads see it. It
// ends after the first final record or the first error. Errors are those of Wait.
func (s *Store) Watch(ctx context.Context, kind tasks.Kind, id string) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		var last Record
		var outage error // of the last read that did not end with ctx
		for pause := firstWatchPause; ; pause = min(2*pause, maxWatchPause) {
			r, _, err := s.Record(ctx, kind, id)
			if ctx.Err() == nil {
				outage = err
			}
			switch {
			case err == nil && (r.State != last.State || r.Reason != last.Reason || r.Run != last.Run):
				last = *r
				if !yield(r, nil) || r.State.Final() {
					return
				}
			case err != nil && ctx.Err() == nil && !errors.Is(err, ErrUnreachable):
				yield(nil, err)
				return
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				yield(nil, watchEnded(ctx, kind, id, outage))
				return
			}
		}
	}
}

func watchEnded(ctx context.Context, kind tasks.Kind, id string, outage error) error {
	err := fmt.Errorf("wait for %s %s: %w", kind, id, ctx.Err())
	if outage != nil {
		return fmt.Errorf("%w: %w", err, outage)
	}
	return err
}
