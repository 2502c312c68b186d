package worker

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Reconciled counts what Reconcile found.
type Reconciled struct {
	Records  int `json:"records"`  // records in S3
	Open     int `json:"open"`     // records that are not final
	Enqueued int `json:"enqueued"` // records that had no task
	// Unreadable counts records that were skipped because they are damaged or were written by a newer version.
	Unreadable int `json:"unreadable,omitempty"`
	// FirstUnreadable says which the first of them is, and why it cannot be read.
	FirstUnreadable string `json:"first_unreadable,omitempty"`
}

// reconcileParallel is the number of records read at once.
const reconcileParallel = 64

// complement reconciles once in a bucket whose records may have no markers, because an earlier version wrote them.
func (s *Sweeper) complement(ctx context.Context) error {
	if s.complete {
		return nil
	}
	complete, err := s.Ledger.MarkersComplete(ctx)
	if err == nil && !complete {
		s.Log.Info().Msg("the records bucket may lack markers of open jobs: reading all records once")
		var found Reconciled
		if found, err = s.Reconcile(ctx); err == nil {
			s.Log.Info().Int("records", found.Records).Int("open", found.Open).Int("enqueued", found.Enqueued).Msg("all records are read")
		}
	}
	s.complete = err == nil
	return err
}

// Reconcile reads every record in S3, and makes sure that each unfinished job has its marker and a task. It may run at any
// time. A record that cannot be read is logged and skipped.
func (s *Sweeper) Reconcile(ctx context.Context) (Reconciled, error) {
	var found Reconciled
	r := &round{Sweeper: s}
	var group errgroup.Group // without a common context: an error of one record stops no other
	group.SetLimit(reconcileParallel)
	for _, kind := range tasks.Kinds() {
		for id, err := range s.Ledger.Records(ctx, kind) {
			if err != nil {
				return found, errors.Join(fmt.Errorf("reconcile: list the records: %w", err), group.Wait())
			}
			group.Go(func() error {
				var status tasks.Status
				err := errors.New("panic")
				catch(s.Log, kind, id, func() { status, err = s.reopen(ctx, kind, id) })
				r.note(storage.OpenRun{Kind: kind, VerificationID: id}, status == tasks.Enqueued, err)
				r.mu.Lock()
				defer r.mu.Unlock()
				found.Records++
				if status != "" {
					found.Open++
				}
				if storeDown(err) {
					return err
				}
				return nil
			})
		}
	}
	err := group.Wait()
	found.Enqueued, found.Unreadable = r.counted.Missing, r.failed
	if r.failed > 0 {
		found.FirstUnreadable = fmt.Sprintf("%s %s: %v", r.first.Kind, r.first.VerificationID, r.err)
	}
	r.log()
	for _, part := range []func(context.Context) error{s.MarkBatches, s.EnsureFeeds, s.Ledger.SetMarkersComplete} {
		if err == nil && part != nil {
			err = part(ctx)
		}
	}
	if err != nil {
		return found, fmt.Errorf("reconcile: %w", err)
	}
	return found, nil
}

// reopen marks an unfinished job and enqueues its task. The status is empty if the job is finished.
func (s *Sweeper) reopen(ctx context.Context, kind tasks.Kind, id string) (tasks.Status, error) {
	rec, _, err := s.Ledger.Record(ctx, kind, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	case rec.State.Final():
		return "", nil
	}
	if storage.Marked(rec.JobSpec) {
		if err := s.Ledger.MarkOpen(ctx, storage.OpenRunOf(rec.JobSpec)); err != nil {
			return "", err
		}
	}
	return s.Tasks.Push(ctx, rec.JobSpec)
}

// storeDown reports whether the error concerns the whole store and not a single record.
func storeDown(err error) bool {
	for _, down := range []error{storage.ErrUnreachable, storage.ErrDenied, storage.ErrNoBucket, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, down) {
			return true
		}
	}
	return false
}
