package gate

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestFleetUsesItsBudgetAndNotOneCallMore(t *testing.T) {
	t.Parallel()
	for _, rate := range []Rate{{100, time.Minute}, {100, 6 * time.Second}, {600, 6 * time.Second}} {
		for _, procs := range []int{1, 4, 8} {
			t.Run(fmt.Sprintf("%s by %d processes", rate, procs), func(t *testing.T) {
				t.Parallel()
				inFakeTime(t, func(t *testing.T, f *fleet) {
					const windows = 3
					ctx, cancel := context.WithTimeout(t.Context(), windows*rate.Per+rate.Interval())
					defer cancel()
					var wg sync.WaitGroup
					var v vendor
					var sent counter
					for range procs {
						g := f.process(map[string]Rate{"aadhaar": rate}, func(c *Config) { c.Redis.AddHook(&sent) })
						backlog(ctx, &wg, g, "aadhaar", Bulk, 8, &v, min(4*rate.Interval(), 300*time.Millisecond))
					}
					wg.Wait()
					if most := v.most(rate.Per); most > rate.Calls {
						t.Errorf("%d calls in %s, allowed are %d", most, rate.Per, rate.Calls)
					}
					if closest := v.closest(); closest < rate.Interval() {
						t.Errorf("two calls left within %s, a bucket of one call wants %s", closest, rate.Interval())
					}
					if used := float64(v.count()) / float64(windows*rate.Calls); used < 0.98 {
						t.Errorf("used %.3f of the limit", used)
					}
					if each := float64(sent.n.Load()) / float64(v.count()); each > 2 {
						t.Errorf("%.2f commands to Redis for a call", each)
					}
				})
			})
		}
	}
}

func TestKindsDoNotBlockEachOther(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		rates := map[string]Rate{"aadhaar": {100, time.Minute}, "passport": {1000, time.Minute}}
		g := f.process(rates)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+600*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		vendors := map[string]*vendor{"aadhaar": {}, "passport": {}}
		for kind, v := range vendors {
			backlog(ctx, &wg, g, kind, Bulk, 30, v, time.Second)
		}
		wg.Wait()
		for kind, v := range vendors {
			if used := float64(v.count()) / float64(2*rates[kind].Calls); used < 0.97 || used > 1 {
				t.Errorf("%s used %.3f of its limit", kind, used)
			}
		}
	})
}

func TestDeadProcessCostsAtMostTwoSlotsAndItsTurn(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		doomed, kill := context.WithCancel(ctx)
		var wg sync.WaitGroup
		var v vendor
		backlog(ctx, &wg, f.process(hundred), "aadhaar", Bulk, 8, &v, time.Second)
		victim := f.client()
		backlog(doomed, &wg, f.process(hundred, func(c *Config) { c.Redis = victim }), "aadhaar", Bulk, 8, &v, time.Second)
		time.Sleep(30 * time.Second)
		_ = victim.Close() // nothing can be given back
		kill()
		died := time.Now()
		wg.Wait()
		if n := v.between(died, died.Add(time.Minute)); n < 96 || n > 100 {
			t.Errorf("%d calls in the minute after a process died, want 96 to 100", n)
		}
	})
}

func TestLostStateNeitherStopsTheFleetNorLetsABurstThrough(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(f *fleet){
		"flushed": func(f *fleet) { f.mini.FlushAll() },
		"went back a second, as after a restart": func(f *fleet) {
			last := f.number("last")
			f.cut()
			f.mini.HSet(kindKey("aadhaar"), "last", fmt.Sprint(last-1_000_000))
			f.mend()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, f *fleet) {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				var v vendor
				for range 4 {
					backlog(ctx, &wg, f.process(hundred), "aadhaar", Bulk, 8, &v, time.Second)
				}
				time.Sleep(80 * time.Second)
				lose(f)
				lost := time.Now()
				wg.Wait()
				if most := v.most(time.Minute); most > 100 {
					t.Errorf("%d calls in a minute", most)
				}
				if n := v.between(lost, lost.Add(time.Minute)); n < 94 {
					t.Errorf("%d calls in the minute after", n)
				}
				if n := v.between(lost, lost.Add(5*time.Second)); n == 0 {
					t.Error("no call within 5 s")
				}
			})
		})
	}
}

func TestClockSetBackDoesNotStopTheFleet(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		done(t, g, enter(t, g, Live, "a"), Outcome{Kind: Answered})
		ahead := fmt.Sprint(time.Now().Add(time.Hour).UnixMicro())
		for _, field := range []string{"last", "tail", "keep", "until"} {
			f.mini.HSet(kindKey("aadhaar"), field, ahead)
		}
		start := time.Now()
		done(t, g, enter(t, g, Bulk, "b"), Outcome{Kind: Answered})
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the next call took %s", took)
		}
	})
}

func TestWakingAfterALongSleepLetsNoBurstThrough(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		done(t, g, enter(t, g, Bulk, "a"), Outcome{Kind: Answered})
		l := g.lines["aadhaar"]
		l.mu.Lock()
		now := l.clock.redis + time.Since(l.clock.local).Microseconds()
		l.slots = []int64{now - 70_000_000, now - 69_400_000} // stopped for 70 s with two slots in hand
		l.mu.Unlock()
		var v vendor
		for _, job := range []string{"b", "c", "d"} {
			done(t, g, enter(t, g, Bulk, job), Outcome{Kind: Answered})
			v.call()
		}
		if closest := v.closest(); closest < 600*time.Millisecond {
			t.Errorf("two calls left within %s", closest)
		}
	})
}

func TestProcessThatWasLateForItsSlotLosesOnlyTheTimeThatItWasLate(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		var wg sync.WaitGroup
		for range 3 { // one is served, the others hold a slot and a turn
			wg.Go(func() { done(t, g, enter(t, g, Bulk, "a"), Outcome{Kind: Answered}) })
		}
		time.Sleep(1200 * time.Millisecond)
		l := g.lines["aadhaar"]
		l.mu.Lock()
		if len(l.slots) != 1 || len(l.bulk) != 2 {
			t.Errorf("%d slots in hand, %d wait", len(l.slots), len(l.bulk))
		}
		l.clock.local = l.clock.local.Add(-300 * time.Millisecond) // so the slot seems to be long past
		l.mu.Unlock()
		l.poke()
		start := time.Now()
		wg.Wait()
		if took := time.Since(start); took > 700*time.Millisecond {
			t.Errorf("the two that waited left within %s, want about a step", took)
		}
	})
}

func TestUnusedSlotGoesToTheNextCaller(t *testing.T) {
	t.Parallel()
	t.Run("of this process", func(t *testing.T) {
		t.Parallel()
		inFakeTime(t, func(t *testing.T, f *fleet) {
			g := f.process(hundred)
			p := enter(t, g, Bulk, "a")
			start := time.Now()
			var wg sync.WaitGroup
			wg.Go(func() {
				done(t, g, enter(t, g, Bulk, "b"), Outcome{Kind: Answered})
				if took := time.Since(start); took != 0 {
					t.Errorf("the next caller waited %s for a slot that was free", took)
				}
			})
			synctest.Wait()
			done(t, g, p, Outcome{Kind: Unused})
			wg.Wait()
		})
	})
	t.Run("of another process", func(t *testing.T) {
		t.Parallel()
		inFakeTime(t, func(t *testing.T, f *fleet) {
			a, b := f.process(hundred), f.process(hundred)
			done(t, a, enter(t, a, Live, "a"), Outcome{Kind: Answered})
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 2 { // two slots are reserved, 0.6 and 1.2 s ahead
				wg.Go(func() { _, _ = a.Acquire(ctx, Call{Kind: "aadhaar", Lane: Live, JobID: "given up"}) })
			}
			time.Sleep(time.Millisecond)
			cancel()
			wg.Wait()
			synctest.Wait()
			start := time.Now()
			done(t, b, enter(t, b, Live, "b"), Outcome{Kind: Answered})
			if took := time.Since(start); took > 700*time.Millisecond {
				t.Errorf("the next caller waited %s: slots that were given up are lost", took)
			}
		})
	})
}

func TestEnterReturnsALeadBeforeTheSlotAndLeaveWaitsForIt(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred, func(c *Config) { c.Lead = 50 * time.Millisecond })
		var v vendor
		for i := range 20 {
			p := enter(t, g, Bulk, "a")
			entered := time.Now()
			time.Sleep(time.Duration(i) * 2 * time.Millisecond) // the record is written
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if lead := time.Since(entered); lead != 50*time.Millisecond {
				t.Errorf("left %s after entering", lead)
			}
			v.call()
			done(t, g, p, Outcome{Kind: Answered})
		}
		if closest := v.closest(); closest < 600*time.Millisecond {
			t.Errorf("two calls left within %s", closest)
		}
		p := enter(t, g, Bulk, "a")
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Wait(gone); err == nil {
			t.Error("left although the context had ended")
		}
	})
}
