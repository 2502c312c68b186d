package clocks

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// servers are clocks that can be set, and may not answer.
type servers struct{ redis, s3, down atomic.Int64 }

func (s *servers) watch() *Watch {
	read := func(ahead *atomic.Int64, server int64) Clock {
		return func(context.Context) (time.Duration, error) {
			if s.down.Load() == server {
				return 0, errors.New("unreachable")
			}
			return time.Duration(ahead.Load()), nil
		}
	}
	return New(read(&s.redis, 1), read(&s.s3, 2), func(string, time.Duration) {}, zerolog.Nop())
}

func TestAWorkerWorksOnlyWhileItsClockIsRight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s servers
		s.redis.Store(int64(-time.Hour))
		s.s3.Store(int64(-time.Hour))
		w := s.watch()
		ctx, cancel := context.WithCancel(t.Context())
		w.Compare(ctx)
		go w.Run(ctx)
		var working atomic.Bool
		ended := make(chan error)
		go func() {
			ended <- w.While(ctx, func(ctx context.Context) error {
				working.Store(true)
				<-ctx.Done()
				working.Store(false)
				return nil
			})
		}()
		set := func(redis, s3 time.Duration, want bool) {
			t.Helper()
			s.redis.Store(int64(redis))
			s.s3.Store(int64(s3))
			time.Sleep(Every + tick)
			synctest.Wait()
			if working.Load() != want || (w.Wrong() == "") != want {
				t.Errorf("Redis %s, S3 %s: working %t, %q", redis, s3, working.Load(), w.Wrong())
			}
		}
		set(-time.Hour, -time.Hour, false)
		set(0, 0, true)
		set(365*24*time.Hour, 365*24*time.Hour, false)
		set(10*time.Second, 10*time.Second, true)
		set(time.Hour, 0, true)
		set(0, -time.Hour, true)
		set(-21*time.Second, 30*time.Second, false)
		set(19*time.Second, 30*time.Second, true)
		s.down.Store(2)
		set(time.Hour, time.Hour, true) // only one is known
		if got := w.Ahead(Redis); got != time.Hour {
			t.Errorf("ahead of Redis: %s", got)
		}
		if got := w.Ahead(S3); got != 0 {
			t.Errorf("ahead of an unknown clock: %s", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAnErrorOfTheWorkEndsIt(t *testing.T) {
	t.Parallel()
	var s servers
	want := errors.New("an error")
	if err := s.watch().While(t.Context(), func(context.Context) error { return want }); !errors.Is(err, want) {
		t.Error(err)
	}
}
