package gate

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/rate"
)

func TestFleetUsesItsBudgetAndNotOneCallMore(t *testing.T) {
	t.Parallel()
	for r, fleets := range map[rate.Rate][]int{{Calls: 100, Per: time.Minute}: {1, 4, 8}, {Calls: 300, Per: 6 * time.Second}: {4}} {
		for _, procs := range fleets {
			t.Run(fmt.Sprintf("%s by %d processes", r, procs), func(t *testing.T) {
				t.Parallel()
				inFakeTime(t, func(t *testing.T, f *fleet) {
					const windows = 3
					ctx, cancel := context.WithTimeout(t.Context(), windows*r.Per+time.Second)
					defer cancel()
					var wg sync.WaitGroup
					var v vendor
					var sent counter
					for range procs {
						g := f.process(map[string]rate.Rate{"aadhaar": r}, func(c *Config) { c.Redis.AddHook(&sent) })
						backlog(ctx, &wg, g, "aadhaar", Bulk, 8, &v, min(4*r.Interval(), 300*time.Millisecond))
					}
					wg.Wait()
					if most := v.most(r.Per); most > r.Calls {
						t.Errorf("%d calls in %s, allowed are %d", most, r.Per, r.Calls)
					}
					if closest := v.closest(); closest < r.Interval() {
						t.Errorf("two calls left within %s, a bucket of one call wants %s", closest, r.Interval())
					}
					if used := float64(v.between(v.at[0], v.at[0].Add(windows*r.Per))) / float64(windows*r.Calls); used < 0.975 {
						t.Errorf("used %.3f of the limit", used)
					}
					// A slot and a report for each call, and every 2 s a look at what has changed.
					most := 2.1 + float64(procs)*r.Interval().Seconds()/2
					if each := float64(sent.n.Load()) / float64(v.count()); each > most {
						t.Errorf("%.2f commands to Redis for a call, allowed are %.2f", each, most)
					}
				})
			})
		}
	}
}

func TestKindsDoNotBlockEachOther(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		rates := map[string]rate.Rate{"aadhaar": {Calls: 100, Per: time.Minute}, "passport": {Calls: 300, Per: time.Minute}}
		g := f.process(rates)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+600*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		vendors := map[string]*vendor{"aadhaar": {}, "passport": {}}
		for kind, v := range vendors {
			backlog(ctx, &wg, g, kind, Bulk, 10, v, time.Second)
		}
		wg.Wait()
		for kind, v := range vendors {
			if used := float64(v.count()) / float64(2*rates[kind].Calls); used < 0.97 || used > 1 {
				t.Errorf("%s used %.3f of its limit", kind, used)
			}
		}
	})
}

func TestDeadProcessCostsAtMostItsSlotAndItsTurn(t *testing.T) {
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
		"flushed": func(f *fleet) {
			f.mini.FlushAll()
			restore(t, f.process(hundred))
		},
		"went back a second, as after a restart": func(f *fleet) {
			last := f.number("last")
			f.cut()
			f.mini.HSet(kindKey("aadhaar"), "last", fmt.Sprint(last-1_000_000))
			f.restore()
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
		report(t, g, acquire(t, g, Live, "a"), Outcome{Kind: Answered})
		ahead := fmt.Sprint(time.Now().Add(time.Hour).UnixMicro())
		for _, field := range []string{"last", "estimate_live", "estimate_bulk", "until", "margin_at", "floor_until", "limited_at"} {
			f.mini.HSet(kindKey("aadhaar"), field, ahead)
		}
		start := time.Now()
		report(t, g, acquire(t, g, Bulk, "b"), Outcome{Kind: Answered})
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the next call took %s", took)
		}
	})
}

func TestClockSetBackDoesNotBlockTheTrialOrTheTestCall(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		fail(t, g, "1", "2", "3", "4", "5")
		ahead := fmt.Sprint(time.Now().Add(time.Hour).UnixMicro())
		f.mini.HSet(kindKey("aadhaar"), "open_until", ahead)
		f.mini.HSet(kindKey("aadhaar"), "probe_until", ahead)
		raise(t, g, true)
		if err := g.ResumeHolds(t.Context(), balanceOut); err != nil {
			t.Fatal(err)
		}
		f.mini.HSet(hold.Key, hold.Balance, `{"probing":true,"token":"lost","token_until":"`+ahead+`"}`)
		if p := acquire(t, g, Bulk, "6"); !p.Test {
			t.Error("not a test call")
		} else {
			report(t, g, p, Outcome{Kind: Answered})
		}
		if p := acquire(t, g, Bulk, "7"); p.Test {
			t.Error("an answer neither closed the breaker nor lifted the hold")
		}
	})
}

func TestSlotThatAProcessSleptThroughIsGivenBack(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{400 * time.Millisecond, 70 * time.Second} {
		t.Run(late.String(), func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, f *fleet) {
				g := f.process(hundred)
				k := g.kinds["aadhaar"]
				p, err := g.reserve(t.Context(), k, Call{Kind: "aadhaar", Lane: Bulk, JobID: "a"}, 1)
				if err != nil {
					t.Fatal(err)
				}
				_ = p.Wait(t.Context())
				if p.Late() {
					t.Error("a slot on time is not used")
				}
				time.Sleep(late)
				if !p.Late() {
					t.Error("a late slot is used")
				}
				report(t, g, p, Outcome{Kind: Unused})
				var v vendor
				for _, job := range []string{"b", "c", "d"} {
					start := time.Now()
					report(t, g, acquire(t, g, Bulk, job), Outcome{Kind: Answered})
					if took := time.Since(start); job == "b" && took > 0 {
						t.Errorf("the next call waited %s for the slot that was given back", took)
					}
					v.call()
				}
				if closest := v.closest(); closest < 600*time.Millisecond {
					t.Errorf("two calls left within %s", closest)
				}
			})
		})
	}
}

func TestUnusedSlotGoesToTheNextCaller(t *testing.T) {
	t.Parallel()
	t.Run("of this process", func(t *testing.T) {
		t.Parallel()
		inFakeTime(t, func(t *testing.T, f *fleet) {
			g := f.process(hundred)
			p := acquire(t, g, Bulk, "a")
			start := time.Now()
			var wg sync.WaitGroup
			wg.Go(func() {
				report(t, g, acquire(t, g, Bulk, "b"), Outcome{Kind: Answered})
				if took := time.Since(start); took != 0 {
					t.Errorf("the next caller waited %s for a slot that was free", took)
				}
			})
			synctest.Wait()
			report(t, g, p, Outcome{Kind: Unused})
			wg.Wait()
		})
	})
	t.Run("of another process", func(t *testing.T) {
		t.Parallel()
		inFakeTime(t, func(t *testing.T, f *fleet) {
			a, b := f.process(hundred), f.process(hundred)
			report(t, a, acquire(t, a, Live, "a"), Outcome{Kind: Answered})
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { _, _ = a.Acquire(ctx, Call{Kind: "aadhaar", Lane: Live, JobID: "given up"}) })
			}
			time.Sleep(500 * time.Millisecond) // a slot 0.1 s ahead is granted
			cancel()
			wg.Wait()
			synctest.Wait()
			start := time.Now()
			report(t, b, acquire(t, b, Live, "b"), Outcome{Kind: Answered})
			if took := time.Since(start); took > 200*time.Millisecond {
				t.Errorf("the next caller waited %s: the slot that was given up is lost", took)
			}
		})
	})
}

func TestAcquireReturnsALeadBeforeTheSlotAndWaitWaitsForIt(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred, func(c *Config) { c.Lead = 50 * time.Millisecond })
		var v vendor
		for i := range 20 {
			p := acquire(t, g, Bulk, "a")
			entered := time.Now()
			time.Sleep(time.Duration(i) * 2 * time.Millisecond) // the record is written
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if lead := time.Since(entered); lead != 50*time.Millisecond {
				t.Errorf("left %s after Acquire", lead)
			}
			v.call()
			report(t, g, p, Outcome{Kind: Answered})
		}
		if closest := v.closest(); closest < 600*time.Millisecond {
			t.Errorf("two calls left within %s", closest)
		}
		p := acquire(t, g, Bulk, "a")
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Wait(gone); err == nil {
			t.Error("left although the context had ended")
		}
	})
}
