package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Client puts tasks into Redis: *tasks.Client.
type Client interface {
	Preparer
	Push(ctx context.Context, p tasks.Payload) (tasks.Status, error)
}

// FeederConfig holds the parts of a Feeder. All are required but Concurrency and Log.
type FeederConfig struct {
	Redis    redis.UniversalClient
	Store    *storage.Store
	Keyset   *tasks.Keyset
	Client   Client
	Progress *ProgressStore
	// PerMinute is the present rate of a kind, in calls a minute over the whole fleet.
	PerMinute func(ctx context.Context, kind tasks.Kind) (float64, error)
	// Concurrency is how many batches are fed at once by this process; 4 where zero. More batches take turns.
	Concurrency int
	Log         zerolog.Logger
}

// Feeder feeds batches. Each batch that is not done has one task in the queue `feed`; its handler feeds for a turn and
// returns an error that brings the task back, so that there is never none of it. Two handlers of one batch at a time do no
// harm.
type Feeder struct {
	FeederConfig
	batches  *Store
	open     *redisx.OpenSet
	headroom *redisx.Headroom

	draining context.Context
	drain    context.CancelFunc
}

// NewFeeder builds a feeder without starting it.
func NewFeeder(cfg FeederConfig) *Feeder {
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 4
	}
	draining, drain := context.WithCancel(context.Background())
	return &Feeder{
		FeederConfig: cfg, batches: NewStore(cfg.Store),
		open: redisx.NewOpenSet(cfg.Redis), headroom: redisx.NewHeadroom(cfg.Redis),
		draining: draining, drain: drain,
	}
}

// The feed tasks.
const (
	// Queue is the queue of the feed tasks.
	Queue    = "feed"
	feedType = "kycq:feed"
	// feedTimeout bounds one delivery: the report of the longest batch takes about an hour.
	feedTimeout = 6 * time.Hour
	// feedPoll is how often the queue is asked.
	feedPoll = 500 * time.Millisecond
	// maxRetry is as high as asynq's int32 safely takes: a feed task comes back for as long as its batch lives.
	maxRetry = 1 << 30
	// shutdownTimeout is for the step that a turn is in the middle of.
	shutdownTimeout = 20 * time.Second
)

// Schedule makes sure that a batch has its feed task.
func (f *Feeder) Schedule(ctx context.Context, id string) error { return Schedule(ctx, f.Redis, id) }

// Schedule makes sure that a batch has its feed task, for a process without a Feeder.
func Schedule(ctx context.Context, client redis.UniversalClient, id string) error {
	task := asynq.NewTask(feedType, []byte(id), asynq.MaxRetry(maxRetry), asynq.Timeout(feedTimeout))
	if _, err := asynqx.Enqueue(ctx, asynq.NewClientFromRedisClient(client), client, Queue, id, task); err != nil {
		return fmt.Errorf("schedule the feeding of batch %s: %w", id, err)
	}
	return nil
}

// ScheduleAll makes sure that every batch that is not done has its feed task: what the sweep does each minute.
func (f *Feeder) ScheduleAll(ctx context.Context) error {
	open, err := f.batches.Open(ctx)
	if err != nil {
		return err
	}
	for _, b := range open {
		if err := f.Schedule(ctx, b.ID); err != nil {
			return err
		}
	}
	return nil
}

// Run feeds until ctx ends. It returns when nothing runs any more.
func (f *Feeder) Run(ctx context.Context) error {
	srv := asynq.NewServerFromRedisClient(f.Redis, asynq.Config{
		Queues:                   map[string]int{Queue: 1},
		Concurrency:              f.Concurrency,
		TaskCheckInterval:        feedPoll,
		DelayedTaskCheckInterval: feedPoll,
		RetryDelayFunc:           comeBack,
		// Coming back is what a feed task does: none of it may spend its retries.
		IsFailure:       func(error) bool { return false },
		ShutdownTimeout: shutdownTimeout,
		Logger:          asynqx.NewLogger(f.Log),
		LogLevel:        asynq.WarnLevel,
	})
	if err := srv.Start(asynq.HandlerFunc(f.handle)); err != nil {
		return fmt.Errorf("start the feeder: %w", err)
	}
	if err := f.ScheduleAll(ctx); err != nil && ctx.Err() == nil {
		f.Log.Warn().Err(err).Msg("the open batches could not be listed: the sweep does it again in a minute")
	}
	<-ctx.Done()
	srv.Stop()
	f.drain()
	srv.Shutdown()
	return nil
}

// again brings a feed task back. Its text is stored and shown: a code, nothing else.
type again struct {
	after  time.Duration
	reason string
}

func (a *again) Error() string { return "later: " + a.reason }

func comeBack(_ int, err error, _ *asynq.Task) time.Duration {
	var a *again
	if errors.As(err, &a) {
		return a.after
	}
	return time.Second
}

// faultDelay is how long a batch waits after a fault of S3 or Redis.
const faultDelay = 5 * time.Second

// handle gives a batch its turn.
func (f *Feeder) handle(ctx context.Context, task *asynq.Task) error {
	id := string(task.Payload())
	if CheckID(id) != nil {
		f.Log.Error().Msg("a feed task that kycq did not write was dropped")
		return fmt.Errorf("foreign_task: %w", asynq.SkipRetry)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.draining, cancel)()
	after, err := f.turn(ctx, id)
	switch {
	case f.draining.Err() != nil:
		return &again{0, "interrupted"}
	case err == nil && after == done:
		return nil
	case err != nil:
		f.Log.Warn().Err(err).Str("batch", id).Msg("feeding: tried again")
		return &again{max(after, faultDelay), "internal_error"}
	}
	return &again{after, "feed_continues"}
}

// done is the delay of a batch that needs no further turn.
const done time.Duration = -1
