// Package clocks compares the clock of this machine with those of Redis and S3. asynq schedules tasks, and signs leases, by
// the clock of each worker: one with a wrong clock would park jobs, or take them from others.
package clocks

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/sleep"
)

// The servers.
const (
	Redis = "redis"
	S3    = "s3"
)

// Clock returns how far this machine's clock is ahead of a server's (negative: behind).
type Clock func(ctx context.Context) (ahead time.Duration, err error)

const (
	// Every is the interval of comparisons; they also follow a step of this machine's clock.
	Every = time.Minute
	// MaxOffset is the offset from one server above which a worker warns.
	MaxOffset = 5 * time.Second
	// StopOffset is the offset from both servers above which a worker takes no jobs.
	StopOffset = 20 * time.Second

	tick = 5 * time.Second
	// patience limits one comparison.
	patience = 10 * time.Second
)

// Watch compares the clocks again and again. It is safe for concurrent use.
type Watch struct {
	servers map[string]Clock
	observe func(server string, ahead time.Duration)
	log     zerolog.Logger

	mu      sync.Mutex
	offsets map[string]offset
	changed chan struct{} // closed at the next comparison
}

type offset struct {
	ahead time.Duration
	at    time.Time
}

// step is how far this machine's clock was set, or its time stood still, since the comparison.
func (o offset) step() time.Duration {
	now := time.Now()
	return now.Round(0).Sub(o.at.Round(0)) - now.Sub(o.at)
}

// New compares with the clocks of Redis and S3. observe is called with the result of each comparison.
func New(redis, s3 Clock, observe func(server string, ahead time.Duration), log zerolog.Logger) *Watch {
	return &Watch{
		servers: map[string]Clock{Redis: redis, S3: s3}, observe: observe, log: log,
		offsets: map[string]offset{}, changed: make(chan struct{}),
	}
}

// Run compares until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	for last := time.Now(); ; {
		if sleep.For(ctx, tick) != nil {
			return
		}
		if w.Wrong() != "" || time.Since(last) >= Every || w.stepped() {
			w.Compare(ctx)
			last = time.Now()
		}
	}
}

func (w *Watch) stepped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.offsets {
		if o.step().Abs() > MaxOffset {
			return true
		}
	}
	return false
}

// Compare compares once. The offset from a server that does not answer is unknown.
func (w *Watch) Compare(ctx context.Context) {
	before := w.Wrong()
	offsets := map[string]offset{}
	for server, clock := range w.servers {
		limited, cancel := context.WithTimeout(ctx, patience)
		ahead, err := clock(limited)
		cancel()
		if err != nil {
			continue // other parts of the worker report that the server is unreachable
		}
		offsets[server] = offset{ahead, time.Now()}
		w.observe(server, ahead)
		if ahead.Abs() > MaxOffset {
			w.log.Warn().Str("server", server).Dur("ahead_ms", ahead).Msg("this machine's clock differs from the server's: run `kycq doctor`")
		}
	}
	w.mu.Lock()
	w.offsets = offsets
	close(w.changed)
	w.changed = make(chan struct{})
	w.mu.Unlock()
	switch after := w.Wrong(); {
	case before == "" && after != "":
		w.log.Error().Str("reason", after).Msg("this worker takes no jobs until its clock is right: enable NTP on this machine")
	case before != "" && after == "":
		w.log.Info().Msg("the clocks agree: this worker takes jobs again")
	}
}

// Ahead returns how far this machine's clock is ahead of the server's; 0 if that is unknown. It includes steps of this
// machine's clock since the last comparison.
func (w *Watch) Ahead(server string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, known := w.offsets[server]
	if !known {
		return 0
	}
	return o.ahead + o.step()
}

// Wrong returns why this worker must not take jobs: its clock is off from both servers. It is empty if it may.
func (w *Watch) Wrong() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	redis, ok1 := w.offsets[Redis]
	s3, ok2 := w.offsets[S3]
	if !ok1 || !ok2 || min(redis.ahead.Abs(), s3.ahead.Abs()) <= StopOffset {
		return ""
	}
	return fmt.Sprintf("the clock of this machine differs from those of Redis (%+.0f s) and S3 (%+.0f s)", redis.ahead.Seconds(), s3.ahead.Seconds())
}

// While calls work again and again while the clock is right. The context of a call ends when the clock is wrong, or with
// ctx. It returns when work has returned an error, or ctx has ended.
func (w *Watch) While(ctx context.Context, work func(ctx context.Context) error) error {
	for ctx.Err() == nil {
		if err := w.during(ctx, work); err != nil {
			return err
		}
	}
	return nil
}

func (w *Watch) during(ctx context.Context, work func(ctx context.Context) error) error {
	w.await(ctx, true)
	if ctx.Err() != nil {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		w.await(ctx, false)
		stop()
	}()
	return work(ctx)
}

// await waits until the clock is right, or wrong.
func (w *Watch) await(ctx context.Context, right bool) {
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		if (w.Wrong() == "") == right {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
