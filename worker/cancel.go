package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Why a job is not cancelled.
var (
	ErrEnded        = errors.New("the job has ended: there is nothing to cancel")
	ErrCallInFlight = errors.New("a call is in flight; it ends with its result: see `kycq job wait`, or cancel again in a minute")
	ErrAnswerPaid   = errors.New("its answer has arrived and is paid for: the job ends with it, see `kycq job wait`")
	ErrRowOfBatch   = errors.New("the job is a row of a batch: cancel its batch with `kycq batch cancel`")
)

// Cancel ends an unfinished job without a further call. A paid answer is never dropped: a job with a call in flight or with an
// answer is refused, and an answer that another worker still has overrides the cancellation. Rows of a batch end with the
// batch. It may be repeated; EndTask comes after it.
//
// Errors: storage.ErrNotFound, ErrEnded, ErrCallInFlight, ErrAnswerPaid, ErrRowOfBatch, storage.ErrConflict, and those of S3.
func Cancel(ctx context.Context, records RecordStore, kind tasks.Kind, id string) (*storage.Record, error) {
	var err error
	for range maxConflicts {
		var rec *storage.Record
		var version storage.Version
		if rec, version, err = records.Record(ctx, kind, id); err != nil {
			return nil, fmt.Errorf("cancel: %w", err)
		}
		if rec.State == storage.StateCancelled {
			return rec, nil
		}
		if rec, err = cancelled(rec, version); err != nil {
			return nil, err
		}
		if _, err = records.SwapRecord(ctx, rec, version); err == nil {
			return rec, nil
		}
		if !errors.Is(err, storage.ErrConflict) {
			break
		}
	}
	return nil, fmt.Errorf("cancel: %w", err)
}

// cancelled returns the record as it is after a cancellation, or why it is not cancelled.
func cancelled(rec *storage.Record, version storage.Version) (*storage.Record, error) {
	rec = rec.Clone()
	switch last := rec.LastAttempt(); {
	case rec.State.Final():
		return nil, ErrEnded
	case !storage.Marked(rec.JobSpec):
		return nil, ErrRowOfBatch
	case rec.State == storage.StateAnswered:
		return nil, ErrAnswerPaid
	case rec.State != storage.StateSent || last == nil:
	case version.Age < takeoverAge(*last):
		return nil, ErrCallInFlight
	default: // its worker is gone
		last.Result, last.EndedAt = resultUnknown, now()
	}
	endCancelled(rec)
	return rec, nil
}

// EndTask does what is left to do for a job that was cancelled. It deletes the task, which may be due much later. If a call
// may have been charged, or a batch has the job, a worker does the rest: its new task runs at once. A task that is being
// processed cannot be deleted and ends by itself. After an error, the leader does the same within minutes.
func EndTask(ctx context.Context, records RecordStore, free Forget, push Push, rec *storage.Record) error {
	err := free(ctx, rec)
	if err == nil && !rec.MaybeCharged() && rec.Batch == "" {
		err = records.UnmarkOpen(ctx, storage.OpenRunOf(rec.JobSpec))
	} else {
		_, err = push(ctx, rec.JobSpec)
	}
	if err != nil {
		return fmt.Errorf("the job is %s; what is left of it in Redis and S3 is removed within minutes: %w", rec.State, err)
	}
	return nil
}
