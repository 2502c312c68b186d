package storage

import (
	"context"
	"errors"

	"github.com/kycq/kycq/tasks"
)

var _ tasks.Ledger = (*Store)(nil)

// Accept makes a job durable: it creates the queued record of a new job, or begins the next run of a final one (run one
// higher, same fingerprint) by compare-and-swap. In all other cases it returns the existing job.
func (s *Store) Accept(ctx context.Context, job tasks.JobSpec) (tasks.ExistingJob, error) {
	job.Run = max(job.Run, 1)
	r := NewRecord(job)
	_, err := s.CreateRecord(ctx, r)
	if err == nil {
		return existingJob(r, true), nil
	}
	if !errors.Is(err, ErrExists) {
		return tasks.ExistingJob{}, err
	}
	for {
		existing, v, err := s.Record(ctx, job.Kind, job.VerificationID)
		if err != nil {
			return tasks.ExistingJob{}, err
		}
		if !existing.State.Final() || job.Run != existing.Run+1 || job.Fingerprint != existing.Fingerprint {
			return existingJob(existing, false), nil
		}
		next := existing.NextRun(job)
		if _, err = s.SwapRecord(ctx, next, v); err == nil {
			return existingJob(next, true), nil
		}
		// After a conflict, another retry was first: return its run.
		if !errors.Is(err, ErrConflict) {
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
