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
	"github.com/kycq/kycq/internal/logx"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Client puts tasks into Redis: *tasks.Client.
type Client interface {
	Preparer
	Push(ctx context.Context, p tasks.JobSpec) (tasks.Status, error)
	Driven(ctx context.Context, queue string, taskIDs []string) (driven []bool, paused bool, err error)
}

// FeederConfig configures a Feeder. All fields but Log are required.
type FeederConfig struct {
	Redis    redis.UniversalClient
	Store    *storage.Store
	Keyset   *tasks.Keyset
	Client   Client
	Progress *ProgressStore
	Gate     Gate
	// Finish processes a job that needs no call: worker.Sweeper.Finish.
	Finish func(ctx context.Context, job tasks.JobSpec) (ended bool)
	// Ahead is how far this machine's clock is ahead of Redis'. asynq schedules delayed tasks by this machine's.
	Ahead func() time.Duration
	Log   zerolog.Logger
	// AsynqLog is shared by all asynq servers of the process: it thins what they repeat.
	AsynqLog asynq.Logger
}

// Feeder feeds batches. Each batch that is not done has one task in the queue `feed`. Its handler runs one feed step and
// returns an error that makes asynq deliver the task again, so the batch always has its task. Two handlers of one batch at
// a time do no harm.
type Feeder struct {
	FeederConfig
	batches  *Store
	headroom *redisx.Headroom
	rates    *cache[tasks.Kind, float64]
	faults   zerolog.Logger // thinned
}

// NewFeeder returns a feeder; Run starts it.
func NewFeeder(cfg FeederConfig) *Feeder {
	return &Feeder{
		FeederConfig: cfg, batches: NewStore(cfg.Store), headroom: redisx.NewHeadroom(cfg.Redis),
		rates: &cache[tasks.Kind, float64]{life: paceLife}, faults: cfg.Log.Hook(logx.Thin()),
	}
}

// The feed tasks.
const (
	// Queue is the queue of the feed tasks.
	Queue    = "feed"
	feedType = "kycq:feed"
	// feedParallel is how many batches a process feeds at once. More batches take turns.
	feedParallel = 4
	// maxDelay is more than a feed task is delayed: one that is due later, after a clock was wrong, runs at once.
	maxDelay = 5 * time.Minute
	// feedTimeout bounds one delivery: the report of the longest batch takes about an hour.
	feedTimeout = 6 * time.Hour
	// feedPoll is how often asynq looks for tasks in the queue.
	feedPoll = time.Second
	// maxRetry is near the limit of asynq's int32: a feed task is delivered until its batch is done.
	maxRetry = 1 << 30
	// shutdownTimeout is for a feed step in progress.
	shutdownTimeout = 20 * time.Second
	// errorDelay is how long a batch waits after an error of S3 or Redis.
	errorDelay = 5 * time.Second
)

// Schedule enqueues the feed task of a batch, unless it exists.
func Schedule(ctx context.Context, client redis.UniversalClient, id string) error {
	task := asynq.NewTask(feedType, []byte(id), asynq.MaxRetry(maxRetry), asynq.Timeout(feedTimeout))
	if _, err := asynqx.Enqueue(ctx, asynq.NewClientFromRedisClient(client), client, Queue, id, maxDelay, task); err != nil {
		return fmt.Errorf("schedule the feeding of batch %s: %w", id, err)
	}
	return nil
}

// ScheduleAll enqueues the feed tasks of all batches with a marker, unless they exist. The sweep calls it each minute.
func (f *Feeder) ScheduleAll(ctx context.Context) error {
	ids, err := f.batches.openIDs(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		errs = append(errs, Schedule(ctx, f.Redis, id))
	}
	return errors.Join(errs...)
}

// Run feeds until ctx ends. It returns when no handler is running. It may be called again.
func (f *Feeder) Run(ctx context.Context) error {
	draining, drain := context.WithCancel(context.WithoutCancel(ctx))
	defer drain()
	srv := asynq.NewServerFromRedisClient(f.Redis, asynq.Config{
		Queues:                   map[string]int{Queue: 1},
		Concurrency:              feedParallel,
		TaskCheckInterval:        feedPoll,
		DelayedTaskCheckInterval: 2 * feedPoll,
		JanitorInterval:          time.Minute,
		RetryDelayFunc:           f.retryDelay,
		// The handler returns an error to be called again; that must not count as a retry.
		IsFailure:       func(error) bool { return false },
		ShutdownTimeout: shutdownTimeout,
		Logger:          f.AsynqLog,
		LogLevel:        asynq.WarnLevel,
	})
	if err := srv.Start(f.handler(draining)); err != nil {
		return fmt.Errorf("start the feeder: %w", err)
	}
	if err := f.ScheduleAll(ctx); err != nil && ctx.Err() == nil {
		f.Log.Warn().Err(err).Msg("open batches could not be listed; the sweep tries again in a minute")
	}
	<-ctx.Done()
	srv.Stop()
	drain()
	srv.Shutdown()
	return nil
}

// again makes asynq deliver a feed task again. Its text is stored in Redis and shown, so it contains only a code.
type again struct {
	after time.Duration
	code  string
}

func (a *again) Error() string { return "later: " + a.code }

func (f *Feeder) retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	after := time.Second
	var a *again
	if errors.As(err, &a) {
		after = a.after
	}
	if f.Ahead != nil {
		after -= f.Ahead()
	}
	return after
}

func (f *Feeder) handler(draining context.Context) asynq.HandlerFunc {
	return func(ctx context.Context, task *asynq.Task) error { return f.handle(ctx, draining, task) }
}

// handle runs one feed step of a batch.
func (f *Feeder) handle(ctx, draining context.Context, task *asynq.Task) error {
	id := string(task.Payload())
	if CheckID(id) != nil {
		f.Log.Error().Msg("dropped a feed task that kycq did not write")
		return fmt.Errorf("foreign_task: %w", asynq.SkipRetry)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(draining, cancel)()
	after, err := f.step(ctx, id)
	switch {
	case draining.Err() != nil:
		return &again{0, "interrupted"}
	case err == nil && after == done:
		return nil
	case err != nil:
		f.faults.Warn().Err(err).Str("batch", id).Msg("feeding failed and is tried again")
		return &again{max(after, errorDelay), "internal_error"}
	}
	return &again{after, "feed_continues"}
}
