package worker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Reconciled counts what Reconcile found.
type Reconciled struct {
	Records  int `json:"records"`  // records in S3
	Open     int `json:"open"`     // records that are not final
	Enqueued int `json:"enqueued"` // records that had no task
}

// reconcileParallel is the number of records read at once.
const reconcileParallel = 64

// Reconcile reads every record in S3 and makes sure that each unfinished job is in the open set and has a task. It may run
// at any time.
func (s *Sweeper) Reconcile(ctx context.Context) (Reconciled, error) {
	var records, open, enqueued atomic.Int64
	var bad unreadable
	counts := func() Reconciled {
		return Reconciled{Records: int(records.Load()), Open: int(open.Load()), Enqueued: int(enqueued.Load())}
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(reconcileParallel)
	for _, kind := range tasks.Kinds() {
		for id, err := range s.Listing.Records(gctx, kind) {
			if err != nil {
				return counts(), errors.Join(fmt.Errorf("reconcile: list the records: %w", err), group.Wait())
			}
			group.Go(func() error {
				records.Add(1)
				var status tasks.Status
				var err error
				catch(s.Log, kind, id, func() { status, err = s.reopen(gctx, kind, id, &bad) })
				if status != "" {
					open.Add(1)
				}
				if status == tasks.Enqueued {
					enqueued.Add(1)
				}
				return err
			})
		}
	}
	err := group.Wait()
	bad.log(s.Log)
	if err != nil {
		return counts(), fmt.Errorf("reconcile: %w", err)
	}
	if s.EnsureFeeds != nil {
		if err := s.EnsureFeeds(ctx); err != nil {
			return counts(), fmt.Errorf("reconcile: %w", err)
		}
	}
	return counts(), nil
}

// reopen adds an unfinished job to the open set and enqueues its task. The status is empty if the job is finished.
func (s *Sweeper) reopen(ctx context.Context, kind tasks.Kind, id string, bad *unreadable) (tasks.Status, error) {
	rec, _, err := s.Records.Record(ctx, kind, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return "", nil
	case storeDown(err):
		return "", err
	case err != nil:
		bad.add(kind, id, err)
		return "", nil
	case rec.State.Final():
		return "", nil
	}
	if err := s.OpenSet.AddAll(ctx, string(kind), []string{id}, time.Now()); err != nil {
		return "", err
	}
	return s.Push(ctx, rec.JobSpec)
}

// rebuild reconciles after Redis has lost its data.
func (s *Sweeper) rebuild(ctx context.Context) error {
	token, err := s.Epoch.Begin(ctx)
	if err != nil {
		return err
	}
	s.Log.Warn().Msg("Redis is new or has lost its data: rebuilding the open set from the records in S3")
	found, err := s.Reconcile(ctx)
	if err != nil {
		return err
	}
	s.Log.Info().Int("records", found.Records).Int("open", found.Open).Int("enqueued", found.Enqueued).Msg("rebuilt")
	_, err = s.Epoch.Finish(ctx, token)
	return err
}
