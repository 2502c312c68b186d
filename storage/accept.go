package storage

import (
	"context"
	"errors"

	"github.com/kycq/kycq/tasks"
)

var _ tasks.Ledger = (*Store)(nil)

// Accept makes a job durable: it creates the queued record of a new job, or begins the next run of a final one (run one
// higher, same fingerprint) by compare-and-swap. In all other cases it returns the existing job. The marker of an open run
// is written before its record, and again for a record that was open already.
func (s *Store) Accept(ctx context.Context, job tasks.JobSpec) (tasks.ExistingJob, error) {
	job.Run = max(job.Run, 1)
	for {
		existing, v, err := s.Record(ctx, job.Kind, job.VerificationID)
		next := NewRecord(job)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return tasks.ExistingJob{}, err
		case job.Fingerprint != existing.Fingerprint:
			return existingJob(existing, false), nil
		case !existing.State.Final():
			if Marked(existing.JobSpec) {
				err = s.MarkOpen(ctx, OpenRunOf(existing.JobSpec))
			}
			return existingJob(existing, false), err
		case job.Run != existing.Run+1:
			return existingJob(existing, false), nil
		default:
			next = existing.NextRun(job)
		}
		err = WriteMarked(func() error { return s.MarkOpen(ctx, OpenRunOf(job)) }, func() (err error) {
			if existing == nil {
				v, err = s.CreateRecord(ctx, next)
			} else {
				_, err = s.SwapRecord(ctx, next, v)
			}
			return err
		})
		if err == nil {
			accepted := existingJob(next, true)
			if existing == nil && job.Run == 1 {
				accepted.Base = tasks.Base{ETag: v.ETag, CreatedAt: next.CreatedAt}
			}
			return accepted, nil
		}
		// Another producer was first: return its run.
		if !errors.Is(err, ErrExists) && !errors.Is(err, ErrConflict) {
			return tasks.ExistingJob{}, err
		}
	}
}

// NewRecord returns the queued record of a new job.
func NewRecord(job tasks.JobSpec) *Record {
	return &Record{Version: 1, JobSpec: job, State: StateQueued}
}

// NextRun returns the queued record of the run that job begins. It keeps the creation time, the results of all earlier runs,
// and their attempts, since their vendor ids cannot be used again.
func (r *Record) NextRun(job tasks.JobSpec) *Record {
	next := NewRecord(job)
	next.CreatedAt = r.CreatedAt
	kept := r.Clone()
	next.Attempts, next.Earlier = kept.Attempts, append(kept.Earlier, kept.currentRun())
	next.Version = next.formVersion()
	return next
}

func existingJob(r *Record, created bool) tasks.ExistingJob {
	return tasks.ExistingJob{
		Created: created, State: string(r.State), Run: r.Run, Fingerprint: r.Fingerprint, Final: r.State.Final(),
	}
}
