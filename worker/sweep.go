package worker

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// OpenSet is the set of jobs that are not final, by the time when they were last seen to.
type OpenSet interface {
	AddAll(ctx context.Context, kind string, ids []string, at time.Time) error
	Remove(ctx context.Context, kind, id string) error
	Range(ctx context.Context, kind string, before time.Time, limit int) ([]string, error)
}

// Epoch tells whether Redis has lost what it knew.
type Epoch interface {
	Lost(ctx context.Context) (bool, error)
	Begin(ctx context.Context) (token string, err error)
	Finish(ctx context.Context, token string) (bool, error)
}

// Leader elects the one worker that sweeps.
type Leader interface {
	Lead(ctx context.Context) (bool, error)
	Resign(ctx context.Context) error
}

// Listing names every record.
type Listing interface {
	Records(ctx context.Context, kind tasks.Kind) iter.Seq2[string, error]
}

// Push puts the task of a payload into Redis unless it is there: tasks.Client.Push.
type Push func(ctx context.Context, p tasks.Payload) (tasks.Status, error)

// Sweeper finds jobs that no task drives and has them driven again. It is what makes a wiped Redis cost time and nothing
// else.
type Sweeper struct {
	// Processor ends jobs that need no call; Reconcile does without.
	Processor *Processor
	Records   Records
	Listing   Listing
	OpenSet   OpenSet
	Epoch     Epoch
	Leader    Leader
	Push      Push
	// EnsureFeeds re-creates missing feed tasks of batches; optional.
	EnsureFeeds func(ctx context.Context) error
	// SyncQueues pauses the queues while a hold lasts and resumes them afterwards; optional.
	SyncQueues func(ctx context.Context) error
	// Housekeep mends what asynq leaves behind in its own keys; nil where nobody does.
	Housekeep func(ctx context.Context) error
	Log       zerolog.Logger
}

const (
	// SweepEvery is how often the open set is looked through, and how long a leader that died is waited for.
	SweepEvery = time.Minute
	// sweepAfter is how long a job may go unseen: longer than an asynq lease and its recovery take.
	sweepAfter = 2 * time.Minute
	// sweepLimit bounds one look per kind; the longest unseen come first.
	sweepLimit = 1000
	// sweepParallel is how many jobs are seen to at once.
	sweepParallel = 16
)

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	defer func() {
		resign, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.Leader.Resign(resign) // it runs out by itself too
	}()
	for ctx.Err() == nil {
		if err := s.Once(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn().Err(err).Msg("sweep: tried again in a minute")
		}
		_ = sleep.For(ctx, SweepEvery)
	}
}

// Once does one round, if this worker leads.
func (s *Sweeper) Once(ctx context.Context) error {
	leads, err := s.Leader.Lead(ctx)
	if err != nil || !leads {
		return err
	}
	lost, err := s.Epoch.Lost(ctx)
	if err != nil {
		return err
	}
	if lost {
		if err := s.rebuild(ctx); err != nil {
			return err
		}
	}
	var errs []error
	for _, part := range []func(context.Context) error{s.SyncQueues, s.Housekeep, s.EnsureFeeds} {
		if part != nil {
			errs = append(errs, part(ctx))
		}
	}
	for _, kind := range tasks.Kinds() {
		errs = append(errs, s.sweep(ctx, kind))
	}
	return errors.Join(errs...)
}

// rebuild is what follows a Redis that lost its epoch: everything it should know is read from S3.
func (s *Sweeper) rebuild(ctx context.Context) error {
	token, err := s.Epoch.Begin(ctx)
	if err != nil {
		return err
	}
	s.Log.Warn().Msg("Redis is new or was wiped: rebuilding the open set from the records")
	found, err := s.Reconcile(ctx)
	if err != nil {
		return err
	}
	s.Log.Info().Int("records", found.Records).Int("open", found.Open).Int("enqueued", found.Enqueued).Msg("rebuilt")
	_, err = s.Epoch.Finish(ctx, token)
	return err
}

// sweep looks at the jobs of a kind that nobody has seen to for a while.
func (s *Sweeper) sweep(ctx context.Context, kind tasks.Kind) error {
	ids, err := s.OpenSet.Range(ctx, string(kind), time.Now().Add(-sweepAfter), sweepLimit)
	if err != nil || len(ids) == 0 {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sweepParallel)
	for _, id := range ids {
		group.Go(func() error {
			_, err := s.drive(ctx, kind, id)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("sweep %s: %w", kind, err)
	}
	return nil
}

// drive sees to one job. It tells what it found: the state, empty where there is no record.
func (s *Sweeper) drive(ctx context.Context, kind tasks.Kind, id string) (storage.State, error) {
	rec, _, err := s.Records.Record(ctx, kind, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		// A row whose task waits for its first delivery, or a producer that died before the ledger took its job.
		return "", s.OpenSet.AddAll(ctx, string(kind), []string{id}, time.Now())
	case err != nil:
		return "", s.unreadable(err, kind, id)
	}
	if rec.State.Final() || rec.State == storage.StateAnswered {
		// Nothing more is paid for these: the tail, or the image, needs no slot and no task.
		if s.Processor.Process(ctx, PayloadOf(rec)).Decision == Final {
			return rec.State, nil
		}
	} else if _, err := s.Push(ctx, PayloadOf(rec)); err != nil {
		return rec.State, err
	}
	return rec.State, s.OpenSet.AddAll(ctx, string(kind), []string{id}, time.Now())
}

// unreadable tells a store that serves nobody, which ends the round, from a record that cannot be read, which must not keep
// anybody from the others.
func (s *Sweeper) unreadable(err error, kind tasks.Kind, id string) error {
	for _, down := range []error{storage.ErrUnreachable, storage.ErrDenied, storage.ErrNoBucket, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, down) {
			return err
		}
	}
	s.Log.Error().Err(err).Str("kind", string(kind)).Str("job", id).Msg("this record cannot be read: its job is left alone")
	return nil
}

// PayloadOf is the payload of a record's current run: a record holds all that its task does.
func PayloadOf(rec *storage.Record) tasks.Payload {
	return tasks.Payload{Version: tasks.PayloadVersion, JobSpec: rec.JobSpec}
}

// Reconciled counts what Reconcile saw.
type Reconciled struct {
	Records  int `json:"records"`  // records in S3
	Open     int `json:"open"`     // of them not final
	Enqueued int `json:"enqueued"` // of them without a task until now
}

// reconcileParallel is how many records are read at once: the read is a round trip to S3 and little else.
const reconcileParallel = 64

// Reconcile lists every record in S3 and makes sure that each one that is not final stands in the open set and has a task.
// It may run at any time, beside workers.
func (s *Sweeper) Reconcile(ctx context.Context) (Reconciled, error) {
	var total Reconciled
	var mu sync.Mutex
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(reconcileParallel)
	for _, kind := range tasks.Kinds() {
		for id, err := range s.Listing.Records(gctx, kind) {
			if err != nil {
				return total, errors.Join(fmt.Errorf("reconcile: list the records: %w", err), group.Wait())
			}
			group.Go(func() error {
				open, enqueued, err := s.reopen(gctx, kind, id)
				mu.Lock()
				defer mu.Unlock()
				total.Records++
				total.Open += count(open)
				total.Enqueued += count(enqueued)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return total, fmt.Errorf("reconcile: %w", err)
	}
	if s.EnsureFeeds != nil {
		if err := s.EnsureFeeds(ctx); err != nil {
			return total, fmt.Errorf("reconcile: %w", err)
		}
	}
	return total, nil
}

// reopen makes a record's job known to Redis again, if it is not final. An answered one gets a task too: its delivery
// needs no slot.
func (s *Sweeper) reopen(ctx context.Context, kind tasks.Kind, id string) (open, enqueued bool, err error) {
	rec, _, err := s.Records.Record(ctx, kind, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return false, false, nil // erased since it was listed
	case err != nil:
		return false, false, s.unreadable(err, kind, id)
	case rec.State.Final():
		return false, false, nil
	}
	if err := s.OpenSet.AddAll(ctx, string(kind), []string{id}, time.Now()); err != nil {
		return true, false, err
	}
	status, err := s.Push(ctx, PayloadOf(rec))
	return true, status == tasks.Enqueued, err
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
