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

// OpenSet is the set of unfinished jobs, ordered by the time of their last check.
type OpenSet interface {
	AddAll(ctx context.Context, kind string, ids []string, at time.Time) error
	Remove(ctx context.Context, kind, id string) error
	Range(ctx context.Context, kind string, before time.Time, limit int) ([]string, error)
}

// Epoch detects a Redis that has lost its data.
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

// Listing lists the verification_ids of all records of a kind.
type Listing interface {
	Records(ctx context.Context, kind tasks.Kind) iter.Seq2[string, error]
}

// Push enqueues the task of a payload if it is not in Redis: tasks.Client.Push.
type Push func(ctx context.Context, p tasks.JobSpec) (tasks.Status, error)

// Sweeper finds unfinished jobs without a task and enqueues them. Because of it, a Redis that lost its data costs time
// only.
type Sweeper struct {
	Processor *Processor // for jobs that need no call; not used by Reconcile
	Records   Records
	Listing   Listing
	OpenSet   OpenSet
	Epoch     Epoch
	Leader    Leader
	Push      Push
	// EnsureFeeds re-creates missing feed tasks of batches. SyncQueues pauses the queues while a hold lasts and resumes them
	// afterwards. Housekeep repairs asynq's keys. All three are optional.
	EnsureFeeds func(ctx context.Context) error
	SyncQueues  func(ctx context.Context) error
	Housekeep   func(ctx context.Context) error
	Log         zerolog.Logger
}

const (
	// SweepEvery is the interval of sweeps.
	SweepEvery = time.Minute
	// sweepAfter is how long ago a job's last check must be: longer than asynq needs to recover an expired lease.
	sweepAfter = 2 * time.Minute
	// sweepLimit limits the jobs of a kind in one sweep. Those with the oldest check come first.
	sweepLimit    = 1000
	sweepParallel = 16
)

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	defer func() {
		resign, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.Leader.Resign(resign) // the leadership expires anyway
	}()
	for ctx.Err() == nil {
		if err := s.Once(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn().Err(err).Msg("the sweep failed: retrying in a minute")
		}
		_ = sleep.For(ctx, SweepEvery)
	}
}

// Once sweeps once, if this worker is the leader.
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
			catch(s.Log, "", "", func() { errs = append(errs, part(ctx)) })
		}
	}
	for _, kind := range tasks.Kinds() {
		errs = append(errs, s.sweep(ctx, kind))
	}
	return errors.Join(errs...)
}

// sweep continues the jobs of a kind that were not checked for a while.
func (s *Sweeper) sweep(ctx context.Context, kind tasks.Kind) error {
	ids, err := s.OpenSet.Range(ctx, string(kind), time.Now().Add(-sweepAfter), sweepLimit)
	if err != nil || len(ids) == 0 {
		return err
	}
	var bad unreadable
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sweepParallel)
	for _, id := range ids {
		group.Go(func() (err error) {
			if catch(s.Log, kind, id, func() { err = s.drive(ctx, kind, id, &bad) }) {
				err = s.OpenSet.AddAll(ctx, string(kind), []string{id}, time.Now())
			}
			return err
		})
	}
	err = group.Wait()
	bad.log(s.Log)
	if err != nil {
		return fmt.Errorf("sweep %s: %w", kind, err)
	}
	return nil
}

// unreadable counts the records of a round that cannot be read, and keeps the first, for one line in the log.
type unreadable struct {
	mu    sync.Mutex
	count int
	kind  tasks.Kind
	id    string
	err   error
}

func (u *unreadable) add(kind tasks.Kind, id string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.count++; u.count == 1 {
		u.kind, u.id, u.err = kind, id, err
	}
}

func (u *unreadable) log(log zerolog.Logger) {
	if u.count > 0 {
		log.Error().Err(u.err).Str("kind", string(u.kind)).Str("job", u.id).Int("count", u.count).
			Msg("records cannot be read: their jobs are skipped; this is the first")
	}
}

// drive continues one job. A final or answered record needs no call: it is processed here, without a task and without the
// gate. Other records get a task. Each job that stays open is checked again after all others, also one whose record
// cannot be read.
func (s *Sweeper) drive(ctx context.Context, kind tasks.Kind, id string, bad *unreadable) error {
	rec, version, err := s.Records.Record(ctx, kind, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		// A batch row before its first delivery, or a producer that crashed before it wrote the record.
	case storeDown(err):
		return err
	case err != nil:
		bad.add(kind, id, err)
	case rec.State.Final(), rec.State == storage.StateAnswered:
		if s.Processor.Process(ctx, rec.JobSpec).Decision == Final && !settling(rec, version) {
			return nil
		}
	default:
		if _, err := s.Push(ctx, rec.JobSpec); err != nil {
			return err
		}
	}
	return s.OpenSet.AddAll(ctx, string(kind), []string{id}, time.Now())
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
