package gate

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/internal/rate"
)

// A test call must count, however long its answer takes and however far apart the slots are.
func TestHoldAndBreakerEndUnderSlowAnswersAndSlowRates(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lane  string
		rate  rate.Rate
		takes time.Duration
	}{
		"answers after 70 s":        {Live, rate.Rate{Calls: 100, Per: time.Minute}, 70 * time.Second},
		"answers after 4 min":       {Bulk, rate.Rate{Calls: 100, Per: time.Minute}, 4 * time.Minute},
		"30 an hour":                {Bulk, rate.Rate{Calls: 30, Per: time.Hour}, 100 * time.Millisecond},
		"1 a minute":                {Live, rate.Rate{Calls: 1, Per: time.Minute}, 100 * time.Millisecond},
		"30 an hour, answers 100 s": {Live, rate.Rate{Calls: 30, Per: time.Hour}, 100 * time.Second},
		"10 an hour, answers 70 s":  {Bulk, rate.Rate{Calls: 10, Per: time.Hour}, 70 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, f *fleet) {
				g := f.process(map[string]rate.Rate{"aadhaar": tt.rate})
				fail(t, g, "1", "2", "3", "4", "5")
				raise(t, g, true)
				if err := g.ResumeHolds(t.Context(), balanceOut); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				var v vendor
				backlog(ctx, &wg, g, "aadhaar", tt.lane, 3, &v, tt.takes)
				time.Sleep(10*time.Minute + 2*tt.rate.Interval())
				st, holds, err := g.Status(t.Context())
				cancel()
				wg.Wait()
				if err != nil || len(holds) > 0 || st[0].Breaker != BreakerClosed {
					t.Errorf("after %d answered calls: holds %+v, breaker %s, %v", v.count(), holds, st[0].Breaker, err)
				}
			})
		})
	}
}

// skew lets Redis' clock differ from the others'.
func (f *fleet) skew(by *atomic.Int64) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	f.mini.SetTime(time.Now().Add(time.Duration(by.Load())))
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			f.mini.SetTime(time.Now().Add(time.Duration(by.Load())))
			pause(ctx, 200*time.Millisecond)
		}
	}()
	return func() { cancel(); <-done }
}

func TestHoldAndBreakerEndAfterTheClockWentBack(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, g *Gate) {
		t.Helper()
		raise(t, g, true)
		if err := g.ResumeHolds(t.Context(), balanceOut); err != nil {
			t.Fatal(err)
		}
	}
	for name, before := range map[string]func(t *testing.T, g *Gate) *Permit{
		"breaker": func(t *testing.T, g *Gate) *Permit { fail(t, g, "1", "2", "3", "4", "5"); return nil },
		"trial is out": func(t *testing.T, g *Gate) *Permit {
			fail(t, g, "1", "2", "3", "4", "5")
			time.Sleep(30 * time.Second)
			return acquire(t, g, Bulk, "a")
		},
		"test call is out":     func(t *testing.T, g *Gate) *Permit { test(t, g); return acquire(t, g, Bulk, "a") },
		"test call is lost":    func(t *testing.T, g *Gate) *Permit { test(t, g); acquire(t, g, Bulk, "a"); return nil },
		"hold without a trial": func(t *testing.T, g *Gate) *Permit { test(t, g); return nil },
	} {
		for _, back := range []time.Duration{10 * time.Second, time.Hour} {
			t.Run(name+" "+back.String(), func(t *testing.T) {
				t.Parallel()
				inFakeTime(t, func(t *testing.T, f *fleet) {
					var ahead atomic.Int64
					ahead.Store(int64(back))
					defer f.skew(&ahead)()
					g := f.process(map[string]rate.Rate{"aadhaar": {Calls: 30, Per: time.Minute}})
					p := before(t, g)
					ahead.Store(0)
					time.Sleep(time.Second)
					if p != nil { // its answer comes after the clock went back and must count
						report(t, g, p, Outcome{Kind: Answered})
						if st, holds, err := g.Status(t.Context()); err != nil || len(holds) > 0 || st[0].Breaker != BreakerClosed {
							t.Errorf("holds %+v, breaker %s, %v", holds, st[0].Breaker, err)
						}
					}
					ctx, cancel := context.WithCancel(t.Context())
					var wg sync.WaitGroup
					var v vendor
					backlog(ctx, &wg, g, "aadhaar", Bulk, 2, &v, 100*time.Millisecond)
					time.Sleep(6 * time.Minute)
					st, holds, err := g.Status(t.Context())
					cancel()
					wg.Wait()
					if err != nil || len(holds) > 0 || st[0].Breaker != BreakerClosed || st[0].LastMinute < 24 {
						t.Errorf("holds %+v, kind %+v, %v", holds, st, err)
					}
				})
			})
		}
	}
}

func TestEveryCallDecidesWhileAHoldIsTested(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind    string
		outcome OutcomeKind
		held    bool
		probing bool
	}{
		"answer of another kind": {"passport", Answered, false, false},
		"409":                    {"aadhaar", Duplicate, false, false},
		"refusal":                {"passport", Refused, true, false},
		"429":                    {"aadhaar", Limited, true, true},
		"failure":                {"aadhaar", Failed, true, true},
		"not the vendor's":       {"aadhaar", Foreign, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, f *fleet) {
				g := f.process(twoKinds)
				p, err := g.Acquire(t.Context(), Call{Kind: tt.kind, Lane: Bulk, JobID: "left before the hold"})
				if err != nil {
					t.Fatal(err)
				}
				raise(t, g, true)
				if err := g.ResumeHolds(t.Context(), balanceOut); err != nil {
					t.Fatal(err)
				}
				acquire(t, g, Bulk, "test call, out")
				report(t, g, p, Outcome{Kind: tt.outcome})
				if h := readHold(t, g); (h != nil) != tt.held || h != nil && h.Probing != tt.probing {
					t.Errorf("hold: %+v", h)
				}
			})
		})
	}
}

func TestNoCallLiftsAHoldThatIsNotTested(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		a, b := acquire(t, g, Bulk, "a"), acquire(t, g, Bulk, "b")
		raise(t, g, true)
		report(t, g, a, Outcome{Kind: Answered})
		report(t, g, b, Outcome{Kind: Duplicate})
		refused(t, g, "x", ReasonHeld)
	})
}

// A consumed id is refused even while the vendor fails.
func TestDuplicateNeitherResetsNorClosesTheBreaker(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		fail(t, g, "1", "2", "3", "4")
		report(t, g, acquire(t, g, Bulk, "6"), Outcome{Kind: Duplicate})
		fail(t, g, "5")
		refused(t, g, "x", ReasonBreaker)
		time.Sleep(30 * time.Second)
		report(t, g, acquire(t, g, Bulk, "7"), Outcome{Kind: Duplicate})
		p := acquire(t, g, Bulk, "8")
		if !p.Test {
			t.Fatal("a 409 closed the breaker")
		}
		report(t, g, p, Outcome{Kind: Failed})
		refused(t, g, "x", ReasonBreaker)
	})
}

// The vendor times out slowly: a trial's failure counts after its token, and once.
func TestFailureOfATrialWhoseTokenExpiredOpensTheBreakerAgain(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		fail(t, g, "1", "2", "3", "4", "5")
		time.Sleep(30 * time.Second)
		first := acquire(t, g, Bulk, "first")
		time.Sleep(61 * time.Second)
		second := acquire(t, g, Bulk, "second")
		report(t, g, first, Outcome{Kind: Failed})
		if closed := refused(t, g, "x", ReasonBreaker); closed.RetryAfter < 59*time.Second {
			t.Errorf("try again in %s", closed.RetryAfter)
		}
		report(t, g, second, Outcome{Kind: Failed})
		if closed := refused(t, g, "x", ReasonBreaker); closed.RetryAfter > time.Minute {
			t.Errorf("two trials at once doubled the time twice: %s", closed.RetryAfter)
		}
	})
}

func TestOneTestCallAtATimeThroughTheCallTimeout(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds, func(c *Config) { c.CallTimeout = 2 * time.Minute })
		raise(t, g, true)
		if err := g.ResumeHolds(t.Context(), balanceOut); err != nil {
			t.Fatal(err)
		}
		calls := 0
		for end := time.Now().Add(9 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
			var closed *ClosedError
			_, err := g.Acquire(t.Context(), Call{Kind: "aadhaar", Lane: Bulk, JobID: strconv.Itoa(calls)})
			if err == nil {
				calls++ // the process dies
			} else if !errors.As(err, &closed) {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if calls < 3 || calls > 4 {
			t.Errorf("%d test calls in 9 min, want one every 2.5 min", calls)
		}
	})
}
