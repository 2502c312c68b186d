package storage

import (
	"context"
	"errors"

	"github.com/kycq/kycq/tasks"
)

var _ tasks.Ledger = (*Store)(nil)

// Accept makes a job durable: it writes the queued record of a new one, or begins the next run of a finished one (same
// fingerprint, run one higher) by compare-and-swap. Where neither is due, it tells what stands there.
func (s *Store) Accept(ctx context.Context, e tasks.Entry) (tasks.Standing, error) {
	e.Run = max(e.Run, 1)
	r := NewRecord(e)
	_, err := s.CreateRecord(ctx, r)
	if err == nil {
		return standingOf(r, true), nil
	}
	if !errors.Is(err, ErrExists) {
		return tasks.Standing{}, err
	}

	standing, v, err := s.Record(ctx, e.Kind, e.VerificationID)
	if err != nil {
		return tasks.Standing{}, err
	}
	if !standing.State.Final() || e.Run != standing.Run+1 || e.Fingerprint != standing.Fingerprint {
		return standingOf(standing, false), nil
	}
	next := standing.NextRun(e)
	_, err = s.SwapRecord(ctx, next, v)
	if err == nil {
		return standingOf(next, true), nil
	}
	if !errors.Is(err, ErrConflict) {
		return tasks.Standing{}, err
	}
	// Another operator's retry came first; theirs stands.
	standing, _, err = s.Record(ctx, e.Kind, e.VerificationID)
	if err != nil {
		return tasks.Standing{}, err
	}
	return standingOf(standing, false), nil
}

// NewRecord returns the queued record of a job that is new.
func NewRecord(e tasks.Entry) *Record {
	return &Record{
		Version: RecordVersion, Kind: e.Kind, VerificationID: e.VerificationID, Lane: e.Lane, Batch: e.Batch, Row: e.Row,
		Run: e.Run, State: StateQueued, SealedInput: e.SealedInput, Fingerprint: e.Fingerprint,
	}
}

// NextRun returns the queued record of the run that e begins. What belongs to the job for ever is kept: creation time and
// every attempt of the earlier runs, whose provider ids are used up at Cashfree.
func (r *Record) NextRun(e tasks.Entry) *Record {
	next := NewRecord(e)
	next.CreatedAt = r.CreatedAt
	next.Attempts = r.Clone().Attempts
	return next
}

func standingOf(r *Record, created bool) tasks.Standing {
	return tasks.Standing{
		Created: created, State: string(r.State), Run: r.Run, Fingerprint: r.Fingerprint, Final: r.State.Final(),
	}
}
