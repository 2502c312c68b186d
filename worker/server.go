package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/tasks"
)

// ServerConfig says how many jobs are in hand at once. The gate paces calls; concurrency only has to cover the time that a
// job takes beside its slot.
type ServerConfig struct {
	Redis     redis.UniversalClient
	Processor *Processor
	// BulkConcurrency is per kind, 8 where zero; LiveConcurrency counts for each kind's live queue, 4 where zero.
	BulkConcurrency map[tasks.Kind]int
	LiveConcurrency int
	// ShutdownTimeout is how long calls in flight get to end and be recorded; 45 s where zero. It must be longer than the
	// call timeout.
	ShutdownTimeout time.Duration
	Log             zerolog.Logger
}

// WithDefaults fills what is zero.
func (c ServerConfig) WithDefaults() ServerConfig {
	bulk := map[tasks.Kind]int{}
	for _, k := range tasks.Kinds() {
		bulk[k] = 8
		if n := c.BulkConcurrency[k]; n > 0 {
			bulk[k] = n
		}
	}
	c.BulkConcurrency = bulk
	if c.LiveConcurrency == 0 {
		c.LiveConcurrency = 4
	}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = 45 * time.Second
	}
	return c
}

// Server runs one asynq server for each queue: kinds and lanes must never wait for each other's slots, and in a shared
// server they do (measured: the faster API was left at 0.08 of its limit).
type Server struct {
	cfg     ServerConfig
	servers map[string]*asynq.Server
}

// NewServer builds the servers without starting them.
func NewServer(cfg ServerConfig) *Server {
	cfg = cfg.WithDefaults()
	s := &Server{cfg: cfg, servers: map[string]*asynq.Server{}}
	for _, k := range tasks.Kinds() {
		s.servers[tasks.Queue(k, tasks.Live)] = s.newServer(tasks.Queue(k, tasks.Live), cfg.LiveConcurrency, livePoll)
		s.servers[tasks.Queue(k, tasks.Bulk)] = s.newServer(tasks.Queue(k, tasks.Bulk), cfg.BulkConcurrency[k], bulkPoll)
	}
	return s
}

const (
	livePoll = 200 * time.Millisecond
	bulkPoll = time.Second
	// lostTaskDelay is for a task whose context ended under its handler.
	lostTaskDelay = time.Second
)

func (s *Server) newServer(queue string, concurrency int, poll time.Duration) *asynq.Server {
	return asynq.NewServerFromRedisClient(s.cfg.Redis, asynq.Config{
		Queues:      map[string]int{queue: 1},
		Concurrency: concurrency,
		// How often the queue is asked for tasks, and for those whose delay is over.
		TaskCheckInterval:        poll,
		DelayedTaskCheckInterval: poll,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		ShutdownTimeout:          s.cfg.ShutdownTimeout,
		Logger:                   asynqx.NewLogger(s.cfg.Log),
		LogLevel:                 asynq.WarnLevel,
	})
}

// Run works until ctx ends, then shuts down in this order: fetch nothing more; send jobs at the gate back; let calls in
// flight end and be recorded; only then give up the leases. It returns when nothing runs any more.
func (s *Server) Run(ctx context.Context) error {
	var started []*asynq.Server
	for queue, srv := range s.servers {
		if err := srv.Start(asynq.HandlerFunc(s.handle)); err != nil {
			shutdownAll(started)
			return fmt.Errorf("start the server of queue %s: %w", queue, err)
		}
		started = append(started, srv)
	}
	<-ctx.Done()
	s.cfg.Log.Info().Dur("timeout_ms", s.cfg.ShutdownTimeout).Msg("stopping: calls in flight are finished and recorded")
	// asynq's Stop returns only once its fetching has ended, up to a poll later. What is fetched meanwhile goes back.
	var stopping sync.WaitGroup
	for _, srv := range started {
		stopping.Go(srv.Stop)
	}
	s.cfg.Processor.Drain()
	stopping.Wait()
	shutdownAll(started)
	return nil
}

func shutdownAll(servers []*asynq.Server) {
	var wg sync.WaitGroup
	for _, srv := range servers {
		wg.Go(srv.Shutdown)
	}
	wg.Wait()
}

// deferral carries a verdict through asynq: its text is stored and shown, so it holds a code and nothing else.
type deferral struct{ Verdict }

func (d *deferral) Error() string { return string(d.Decision) + ": " + d.Reason }

// handle turns a delivery into a verdict, and the verdict into what asynq wants: nil acknowledges, anything else brings
// the task back. A job ends by its record, never by its task; only what is no job at all is archived.
func (s *Server) handle(ctx context.Context, task *asynq.Task) error {
	payload, err := tasks.DecodePayload(task.Payload())
	switch {
	case errors.Is(err, tasks.ErrPayloadVersion):
		return &deferral{later(missingKeyDelay, "payload_version")}
	case err != nil:
		s.cfg.Log.Error().Err(err).Msg("a task that kycq did not write was dropped: no job is behind it")
		return fmt.Errorf("foreign_task: %w", asynq.SkipRetry)
	}
	verdict := s.process(ctx, payload)
	if verdict.Decision == Final {
		return nil
	}
	return &deferral{verdict}
}

// process turns a panic into a verdict: asynq would count it like a failure of the vendor's, and store its text.
func (s *Server) process(ctx context.Context, payload tasks.Payload) (v Verdict) {
	defer func() {
		if recover() != nil {
			// The panic's value may quote the input; the stack holds code positions and addresses only.
			s.cfg.Log.Error().Str("kind", string(payload.Kind)).Str("job", payload.VerificationID).
				Bytes("stack", debug.Stack()).Msg("a panic while handling this job: it comes back")
			v = later(infraDelay, "panic")
		}
	}()
	return s.cfg.Processor.Process(ctx, payload)
}

// retryDelay is asynq's question when a task comes back. A lease that ran out means that a worker died: its job is
// delivered again at once, and the record says what may be done.
func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	var d *deferral
	switch {
	case errors.As(err, &d):
		return d.After
	case errors.Is(err, asynq.ErrLeaseExpired):
		return 0
	}
	return lostTaskDelay
}

// isFailure keeps asynq's own count for attempts that were spent. Everything else must not spend the task's retries.
func isFailure(err error) bool {
	var d *deferral
	return errors.As(err, &d) && d.Decision == Retry
}
