package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/logx"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

// ServerConfig configures a Server. The gate limits the rate of calls; the concurrency must only be high enough for jobs to
// use every slot of the gate.
type ServerConfig struct {
	Redis     redis.UniversalClient
	Processor *Processor
	// OpenPayload authenticates the payload of a task: tasks.Client.OpenPayload.
	OpenPayload func(ctx context.Context, queue, taskID string, payload []byte) (tasks.JobSpec, error)
	// BulkConcurrency is the number of jobs processed at once in the bulk queue of each kind. Default: 8.
	BulkConcurrency map[tasks.Kind]int
	// LiveConcurrency is the same for each live queue. Default: 4.
	LiveConcurrency int
	// ShutdownTimeout limits the wait for calls in flight and their records. It must be longer than the call timeout.
	// Default: 45 s.
	ShutdownTimeout time.Duration
	// Ahead is how far this machine's clock is ahead of Redis'. asynq schedules delayed tasks by this machine's. Default: 0.
	Ahead func() time.Duration
	Log   zerolog.Logger
	// AsynqLog is shared by all asynq servers of the process: it thins what they repeat.
	AsynqLog asynq.Logger
}

// WithDefaults replaces zero values by defaults.
func (c ServerConfig) WithDefaults() ServerConfig {
	bulk := map[tasks.Kind]int{}
	for _, k := range tasks.Kinds() {
		bulk[k] = cmp.Or(c.BulkConcurrency[k], 8)
	}
	c.BulkConcurrency = bulk
	c.LiveConcurrency = cmp.Or(c.LiveConcurrency, 4)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, 45*time.Second)
	if c.Ahead == nil {
		c.Ahead = func() time.Duration { return 0 }
	}
	return c
}

// Server runs one asynq server for each queue. In a shared server, jobs of one kind that wait at the gate occupy the slots
// of the other (measured: the faster kind used 0.08 of its limit).
type Server struct {
	cfg  ServerConfig
	thin zerolog.Logger // of faults that all tasks may have
}

// NewServer returns a server; Run starts it.
func NewServer(cfg ServerConfig) *Server {
	cfg = cfg.WithDefaults()
	return &Server{cfg: cfg, thin: cfg.Log.Hook(logx.Thin())}
}

func (s *Server) newServers() map[string]*asynq.Server {
	servers := map[string]*asynq.Server{}
	for _, k := range tasks.Kinds() {
		live, bulk := tasks.Queue(k, tasks.Live), tasks.Queue(k, tasks.Bulk)
		servers[live] = s.newServer(live, s.cfg.LiveConcurrency, livePoll)
		servers[bulk] = s.newServer(bulk, s.cfg.BulkConcurrency[k], bulkPoll)
	}
	return servers
}

const (
	livePoll = 200 * time.Millisecond
	bulkPoll = 1250 * time.Millisecond
	// delayedPoll is how often asynq looks for tasks whose retry is due, in two sets of each queue. At one second, that was a
	// quarter of the commands that an idle worker sends to Redis.
	delayedPoll = 3 * time.Second
	// lostTaskDelay is the delay of a task whose context ended before its handler returned.
	lostTaskDelay = time.Second
)

func (s *Server) newServer(queue string, concurrency int, poll time.Duration) *asynq.Server {
	return asynq.NewServerFromRedisClient(s.cfg.Redis, asynq.Config{
		Queues:                   map[string]int{queue: 1},
		Concurrency:              concurrency,
		TaskCheckInterval:        poll,
		DelayedTaskCheckInterval: delayedPoll,
		JanitorInterval:          time.Minute, // it only deletes completed tasks whose retention has ended
		RetryDelayFunc:           s.retryDelay,
		IsFailure:                isFailure,
		ShutdownTimeout:          s.cfg.ShutdownTimeout,
		Logger:                   s.cfg.AsynqLog,
		LogLevel:                 asynq.WarnLevel,
	})
}

// Run processes tasks until ctx ends. Then it returns jobs that wait at the gate to their queues, stops fetching, waits for
// calls in flight to be recorded, and releases the leases, in this order. It may be called again.
func (s *Server) Run(ctx context.Context) error {
	s.cfg.Processor.Resume()
	var started []*asynq.Server
	for queue, srv := range s.newServers() {
		if err := srv.Start(asynq.HandlerFunc(s.handle)); err != nil {
			forAll(started, (*asynq.Server).Shutdown)
			return fmt.Errorf("start the server of queue %s: %w", queue, err)
		}
		started = append(started, srv)
	}
	<-ctx.Done()
	s.cfg.Log.Info().Dur("timeout_ms", s.cfg.ShutdownTimeout).Msg("stopping: calls in flight are finished and recorded")
	// Stop takes up to one poll interval. The tasks that are fetched meanwhile are returned, too.
	s.cfg.Processor.Drain()
	forAll(started, (*asynq.Server).Stop)
	forAll(started, (*asynq.Server).Shutdown)
	return nil
}

// forAll calls do for all servers at once, and waits.
func forAll(servers []*asynq.Server, do func(*asynq.Server)) {
	var wg sync.WaitGroup
	for _, srv := range servers {
		wg.Go(func() { do(srv) })
	}
	wg.Wait()
}

// deferral passes a verdict through asynq as an error. asynq stores its text and the dashboard shows it.
type deferral struct{ Verdict }

func (d *deferral) Error() string { return string(d.Decision) + ": " + d.Reason }

// handle processes a task. For asynq, nil acknowledges the task and an error returns it to the queue. Only a task that
// kycq has not written is archived. A payload that is not authentic is not used for anything: if it took the place of a
// job's task, the leader enqueues the job again from S3.
func (s *Server) handle(ctx context.Context, task *asynq.Task) error {
	_ = growStack(0)
	queue, _ := asynq.GetQueueName(ctx)
	id, _ := asynq.GetTaskID(ctx)
	job, err := s.cfg.OpenPayload(ctx, queue, id, task.Payload())
	switch {
	case errors.Is(err, tasks.ErrPayloadVersion):
		return &deferral{later(missingKeyDelay, "payload_version")}
	case errors.Is(err, tasks.ErrPayloadUnsealed):
		s.thin.Warn().Str("queue", queue).Msg("dropped a task of an earlier version of kycq: its job is enqueued again within minutes")
		return nil
	case errors.Is(err, tasks.ErrPayloadForged):
		s.thin.Error().Err(err).Str("queue", queue).Msg("archived a task that kycq has not written: find out who else can write to Redis")
		return fmt.Errorf("foreign_task: %w", asynq.SkipRetry)
	case errors.Is(err, seal.ErrKeyMissing):
		s.thin.Warn().Err(err).Msg("the keyset lacks the key of a task: it waits")
		return &deferral{later(missingKeyDelay, "key_missing")}
	case errors.Is(err, tasks.ErrSealed):
		s.thin.Error().Err(err).Msg("this worker takes no jobs")
		return &deferral{later(missingKeyDelay, "key_missing")}
	case err != nil:
		s.thin.Warn().Err(err).Str("part", "storage").Msg("infrastructure fault: the job is retried")
		return &deferral{later(infraDelay, "storage_unreachable")}
	}
	if n, _ := asynq.GetRetryCount(ctx); n > 0 {
		job.Base = tasks.Base{} // the record has changed since
	}
	verdict := s.process(ctx, job)
	if verdict.Decision == Final {
		return nil
	}
	return &deferral{verdict}
}

// growStack grows the stack of a task's goroutine, which is new, in one step and while it is shallow. Otherwise it is copied
// several times below the deep calls of the AWS SDK, which took 7 % of the CPU time of a passport.
//
//go:noinline
func growStack(i int) byte {
	var frame [32 << 10]byte
	return frame[i]
}

// process maps a panic to a verdict, because asynq would store its text.
func (s *Server) process(ctx context.Context, job tasks.JobSpec) (v Verdict) {
	if catch(s.cfg.Log, job.Kind, job.VerificationID, func() { v = s.cfg.Processor.Process(ctx, job) }) {
		return later(infraDelay, "panic")
	}
	return v
}

// catch runs f, and reports and logs a panic. It does not log the value of the panic, which may quote the input; the stack
// holds positions and addresses only.
func catch(log zerolog.Logger, kind tasks.Kind, id string, f func()) (panicked bool) {
	defer func() {
		if recover() != nil {
			panicked = true
			log.Error().Str("kind", string(kind)).Str("job", id).Bytes("stack", debug.Stack()).
				Msg("panic while processing this job: the job is retried")
		}
	}()
	f()
	return false
}

// retryDelay returns the delay before the next delivery. After an expired lease, a crashed worker's task is delivered again
// at once; its record says what may be done. asynq adds the delay to this machine's time, the delay is for Redis'.
func (s *Server) retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	var d *deferral
	after := lostTaskDelay
	switch {
	case errors.As(err, &d):
		after = d.After
	case errors.Is(err, asynq.ErrLeaseExpired):
		after = 0
	}
	return after - s.cfg.Ahead()
}

// isFailure makes asynq count only counted attempts as retries.
func isFailure(err error) bool {
	var d *deferral
	return errors.As(err, &d) && d.Decision == Retry
}
