package gate

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestWaitersLearnPromptlyThatRedisIsGoneAndCallAgainSoonAfterItIsBack(t *testing.T) {
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
			t.Errorf("enter without Redis: %v, want an error of the infrastructure", err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("learned of it after %s", took)
		}
		time.Sleep(time.Minute)
		f.mend()
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
		done(t, g, enter(t, g, Bulk, "a"), Outcome{Kind: Answered})
		f.freeze()
		start := time.Now()
		_, err := g.Acquire(t.Context(), Call{Kind: "aadhaar", Lane: Bulk, JobID: "a"})
		if err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestIdleProcessHardlyAsksRedis(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		var sent counter
		g := f.process(twoKinds, func(c *Config) { c.Redis.AddHook(&sent) })
		done(t, g, enter(t, g, Bulk, "a"), Outcome{Kind: Answered})
		time.Sleep(time.Second)
		before := sent.n.Load()
		time.Sleep(time.Minute)
		if n := sent.n.Load() - before; n > 60 {
			t.Errorf("%d commands in an idle minute", n)
		}
	})
}

func TestLostMessagesDelayNothingForLong(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		slow := map[string]Rate{"aadhaar": {1, time.Hour}}
		deaf := f.process(slow)
		done(t, deaf, enter(t, deaf, Bulk, "a"), Outcome{Kind: Answered})
		var wg sync.WaitGroup
		start := time.Now()
		wg.Go(func() { done(t, deaf, enter(t, deaf, Bulk, "b"), Outcome{Kind: Answered}) })
		time.Sleep(time.Second)
		if _, err := deaf.onKind(t.Context(), rateScript, "aadhaar", Rate{100, time.Minute}); err != nil { // and no message
			t.Fatal(err)
		}
		wg.Wait()
		if took := time.Since(start); took > pollEvery+2*time.Second {
			t.Errorf("the new rate was found after %s", took)
		}
	})
}

func TestClosedGateSendsWaitersAway(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				p, err := g.Acquire(t.Context(), Call{Kind: "aadhaar", Lane: Bulk, JobID: "a"})
				if p == nil && !errors.Is(err, ErrClosed) {
					t.Errorf("enter: %v", err)
				}
			})
		}
		time.Sleep(time.Second)
		g.Close()
		wg.Wait()
		if _, err := g.Acquire(t.Context(), Call{Kind: "aadhaar", Lane: Bulk, JobID: "a"}); !errors.Is(err, ErrClosed) {
			t.Errorf("enter after the end: %v", err)
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
				t.Errorf("entered as %+v", c)
			}
		}
		p := enter(t, g, Bulk, "a")
		if err := g.Report(t.Context(), p, Outcome{}); err == nil {
			t.Error("handed back without an outcome")
		}
		done(t, g, p, Outcome{Kind: Answered})
		if err := g.Report(t.Context(), p, Outcome{Kind: Answered}); err == nil {
			t.Error("handed back twice")
		}
		if err := g.Report(t.Context(), nil, Outcome{Kind: Answered}); err == nil {
			t.Error("handed back nothing")
		}
		for name, cfg := range map[string]Config{
			"no redis":      {Rates: hundred},
			"no rates":      {Redis: f.client()},
			"absurd rate":   {Redis: f.client(), Rates: map[string]Rate{"aadhaar": {}}},
			"negative lead": {Redis: f.client(), Rates: hundred, Lead: -1},
		} {
			if _, err := New(cfg); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	})
}
