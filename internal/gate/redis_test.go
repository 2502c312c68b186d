package gate

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/rate"
)

func TestWaitersNoticeThatRedisIsGoneAndCallAgainSoonAfterItIsBack(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var v vendor
		g := f.process(hundred)
		backlog(ctx, &wg, g, "aadhaar", Bulk, 8, &v, time.Second)
		time.Sleep(20 * time.Second)
		f.cut()
		start := time.Now()
		var closed *ClosedError
		if _, err := g.Acquire(ctx, Call{Kind: "aadhaar", Lane: Bulk, JobID: "a"}); err == nil || errors.As(err, &closed) {
			t.Errorf("acquire without Redis: %v, want an error of Redis", err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("noticed it after %s", took)
		}
		time.Sleep(time.Minute)
		f.restore()
		back := time.Now()
		for v.between(back, time.Now()) == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(back); took > 5*time.Second {
			t.Errorf("the first call came %s after Redis was back", took)
		}
		time.Sleep(2 * time.Minute)
		if most := v.most(time.Minute); most > 100 {
			t.Errorf("%d calls in a minute", most)
		}
		cancel()
		wg.Wait()
	})
}

func TestSilentRedisIsNoticedWithinSeconds(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		report(t, g, acquire(t, g, Bulk, "a"), Outcome{Kind: Answered})
		f.freeze()
		start := time.Now()
		_, err := g.Acquire(t.Context(), Call{Kind: "aadhaar", Lane: Bulk, JobID: "a"})
		if err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestIdleProcessAsksRedisNothing(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		var sent counter
		g := f.process(twoKinds, func(c *Config) { c.Redis.AddHook(&sent) })
		report(t, g, acquire(t, g, Bulk, "a"), Outcome{Kind: Answered})
		time.Sleep(time.Second)
		before := sent.n.Load()
		time.Sleep(time.Minute)
		if n := sent.n.Load() - before; n > 0 {
			t.Errorf("%d commands in an idle minute", n)
		}
	})
}

func TestCloseEndsWaiting(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				p, err := g.Acquire(t.Context(), Call{Kind: "aadhaar", Lane: Bulk, JobID: "a"})
				if p == nil && !errors.Is(err, ErrClosed) {
					t.Errorf("acquire: %v", err)
				}
			})
		}
		time.Sleep(time.Second)
		g.Close()
		wg.Wait()
		if _, err := g.Acquire(t.Context(), Call{Kind: "aadhaar", Lane: Bulk, JobID: "a"}); !errors.Is(err, ErrClosed) {
			t.Errorf("acquire after Close: %v", err)
		}
		g.Close()
	})
}

func TestMisuseIsAnError(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		for _, c := range []Call{{Kind: "pan", Lane: Bulk}, {Kind: "aadhaar", Lane: "fast"}} {
			if _, err := g.Acquire(t.Context(), c); err == nil {
				t.Errorf("acquired as %+v", c)
			}
		}
		p := acquire(t, g, Bulk, "a")
		if err := g.Report(t.Context(), p, Outcome{}); err == nil {
			t.Error("reported without an outcome")
		}
		report(t, g, p, Outcome{Kind: Answered})
		if err := g.Report(t.Context(), p, Outcome{Kind: Answered}); err == nil {
			t.Error("reported twice")
		}
		if err := g.Report(t.Context(), nil, Outcome{Kind: Answered}); err == nil {
			t.Error("reported nothing")
		}
		for name, cfg := range map[string]Config{
			"no redis":      {Rates: hundred},
			"no rates":      {Redis: f.client()},
			"absurd rate":   {Redis: f.client(), Rates: map[string]rate.Rate{"aadhaar": {}}},
			"negative lead": {Redis: f.client(), Rates: hundred, Lead: -1},
		} {
			if _, err := New(cfg); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	})
}
