package gate

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fail makes failing calls for these jobs.
func fail(t *testing.T, g *Gate, jobs ...string) {
	t.Helper()
	for _, job := range jobs {
		report(t, g, acquire(t, g, Bulk, job), Outcome{Kind: Failed})
	}
}

func TestBreakerOpensAfterFiveFailuresInARowOfThreeJobs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		meet func(t *testing.T, a, b *Gate)
		open bool
	}{
		"five of three jobs": {func(t *testing.T, a, b *Gate) { fail(t, a, "1", "2", "3", "1", "2") }, true},
		"in two processes": {func(t *testing.T, a, b *Gate) {
			fail(t, a, "1", "2")
			fail(t, b, "3", "4", "5")
		}, true},
		"four":         {func(t *testing.T, a, b *Gate) { fail(t, a, "1", "2", "3", "4") }, false},
		"many of two":  {func(t *testing.T, a, b *Gate) { fail(t, a, "1", "2", "1", "2", "1", "2", "1") }, false},
		"third is new": {func(t *testing.T, a, b *Gate) { fail(t, a, "1", "2", "1", "2", "1", "2", "3") }, true},
		"an answer of another process between": {func(t *testing.T, a, b *Gate) {
			p := acquire(t, b, Bulk, "4") // left before the failures
			fail(t, a, "1", "2", "3")
			synctest.Wait()
			report(t, b, p, Outcome{Kind: Answered})
			fail(t, a, "5", "6", "7", "8")
		}, false},
		"a refusal between: the vendor answers": {func(t *testing.T, a, b *Gate) {
			fail(t, a, "1", "2", "3")
			report(t, a, acquire(t, a, Bulk, "4"), Outcome{Kind: Refused})
			fail(t, a, "5", "6", "7", "8")
		}, false},
		"calls that were not sent do not count": {func(t *testing.T, a, b *Gate) {
			for i := range 9 {
				report(t, a, acquire(t, a, Bulk, strconv.Itoa(i)), Outcome{Kind: NotSent})
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, f *fleet) {
				a, b := f.process(twoKinds), f.process(twoKinds)
				report(t, b, acquire(t, b, Bulk, "0"), Outcome{Kind: Answered})
				tt.meet(t, a, b)
				synctest.Wait()
				if !tt.open {
					report(t, b, acquire(t, b, Live, "x"), Outcome{Kind: Answered})
					return
				}
				for _, g := range []*Gate{a, b} {
					if closed := refused(t, g, "x", ReasonBreaker); closed.RetryAfter > 30*time.Second {
						t.Errorf("try again in %s", closed.RetryAfter)
					}
				}
				p, err := a.Acquire(t.Context(), Call{Kind: "passport", Lane: Bulk, JobID: "x"})
				if err != nil {
					t.Fatalf("the other kind: %v", err)
				}
				report(t, a, p, Outcome{Kind: Answered})
			})
		})
	}
}

func TestOpenBreakerSendsWaitersAway(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		a, b := f.process(twoKinds), f.process(twoKinds)
		fail(t, a, "1", "2", "3", "4")
		last := acquire(t, a, Bulk, "5")
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { refused(t, b, "waits", ReasonBreaker) })
		}
		synctest.Wait()
		start := time.Now()
		report(t, a, last, Outcome{Kind: Failed})
		wg.Wait()
		if took := time.Since(start); took > maxSleep+maxSleep/4 {
			t.Errorf("waiters of the other process noticed it after %s", took)
		}
	})
}

func TestFailedTrialsDoubleTheTimeUpToFiveMinutes(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		fail(t, g, "1", "2", "3", "4", "5")
		for i, want := range []time.Duration{30, 60, 120, 240, 300, 300} {
			opened := time.Now()
			for {
				p, err := g.Acquire(t.Context(), Call{Kind: "aadhaar", Lane: Bulk, JobID: strconv.Itoa(i)})
				var closed *ClosedError
				if errors.As(err, &closed) {
					time.Sleep(closed.RetryAfter)
					continue
				}
				if err != nil || !p.Test {
					t.Fatalf("want a trial: %+v, %v", p, err)
				}
				report(t, g, p, Outcome{Kind: Failed})
				break
			}
			if rest := time.Since(opened); rest < want*time.Second || rest > want*time.Second+2*time.Second {
				t.Errorf("open time number %d lasted %s, want %d s", i+1, rest, want)
			}
		}
		time.Sleep(300 * time.Second)
		report(t, g, acquire(t, g, Bulk, "y"), Outcome{Kind: Answered})
		if p := acquire(t, g, Bulk, "z"); p.Test {
			t.Error("the breaker did not close after an answer")
		} else {
			report(t, g, p, Outcome{Kind: Failed})
		}
		fail(t, g, "1", "2", "3", "4")
		if closed := refused(t, g, "x", ReasonBreaker); closed.RetryAfter != 30*time.Second {
			t.Errorf("a breaker that had closed opens for %s at first", closed.RetryAfter)
		}
	})
}

func TestOneTrialAtATimeAndNotTheSameJobTwiceIfOthersWait(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		a, b := f.process(twoKinds), f.process(twoKinds)
		fail(t, a, "1", "2", "3", "4", "5")
		synctest.Wait()
		time.Sleep(30 * time.Second)
		p := acquire(t, a, Bulk, "bad")
		refused(t, b, "good", ReasonProbing)
		report(t, a, p, Outcome{Kind: Failed})
		synctest.Wait()
		refused(t, b, "good", ReasonBreaker)
		time.Sleep(60 * time.Second)
		refused(t, a, "bad", ReasonProbing)
		p = acquire(t, b, Bulk, "good")
		report(t, b, p, Outcome{Kind: Answered})
		synctest.Wait()
		if p := acquire(t, a, Bulk, "bad"); p.Test {
			t.Error("the breaker did not close")
		}
	})
}

func TestOnlyJobMayBeTheTrialAgain(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		fail(t, g, "1", "2", "3", "4", "5")
		time.Sleep(30 * time.Second)
		fail(t, g, "only")
		time.Sleep(60 * time.Second)
		fail(t, g, "only")
	})
}

func TestTrialOfTheBreakerIsReplaced(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		outcome Outcome
		wait    time.Duration
	}{
		"at once when it did not call":    {Outcome{Kind: Unused}, 0},
		"at once when nothing was sent":   {Outcome{Kind: NotSent}, 0},
		"after a minute when it was lost": {Outcome{}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, f *fleet) {
				a, b := f.process(twoKinds), f.process(twoKinds)
				fail(t, a, "1", "2", "3", "4", "5")
				synctest.Wait()
				time.Sleep(30 * time.Second)
				p := acquire(t, a, Bulk, "first")
				refused(t, b, "second", ReasonProbing)
				if tt.outcome.Kind != "" {
					report(t, a, p, tt.outcome)
				}
				time.Sleep(tt.wait)
				if p := acquire(t, b, Bulk, "second"); !p.Test {
					t.Error("not the trial")
				}
			})
		})
	}
}

func TestTrialWhoseTokenExpiredClosesTheBreaker(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		fail(t, g, "1", "2", "3", "4", "5")
		time.Sleep(30 * time.Second)
		lost := acquire(t, g, Bulk, "lost")
		time.Sleep(time.Minute)
		p := acquire(t, g, Bulk, "second")
		refused(t, g, "third", ReasonProbing)
		report(t, g, lost, Outcome{Kind: Answered}) // after its token has expired
		report(t, g, p, Outcome{Kind: Failed})      // the first failure of a closed breaker
		if p := acquire(t, g, Bulk, "third"); p.Test {
			t.Error("the breaker did not close")
		}
	})
}

func TestOutageOfAnHourCostsFewCalls(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var wg sync.WaitGroup
		var v vendor
		counted := 0
		var mu sync.Mutex
		for range 2 {
			g := f.process(hundred)
			for job := range 8 {
				wg.Go(func() {
					for ctx.Err() == nil {
						p, err := g.Acquire(ctx, Call{Kind: "aadhaar", Lane: Bulk, JobID: strconv.Itoa(job)})
						var closed *ClosedError
						if errors.As(err, &closed) {
							pause(ctx, closed.RetryAfter)
						}
						if err != nil {
							continue
						}
						v.call()
						pause(ctx, 200*time.Millisecond)
						mu.Lock()
						if !p.Test {
							counted++
						}
						mu.Unlock()
						_ = g.Report(context.WithoutCancel(ctx), p, Outcome{Kind: Failed})
					}
				})
			}
		}
		wg.Wait()
		if counted > 8 || v.count() > 30 {
			t.Errorf("an hour cost %d calls, %d of them attempts", v.count(), counted)
		}
	})
}

func TestHoldIsCheckedBeforeTheBreaker(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		fail(t, g, "1", "2", "3", "4", "5")
		raise(t, g, true)
		refused(t, g, "x", ReasonHeld)
		if err := g.ResumeHolds(t.Context(), balanceOut); err != nil {
			t.Fatal(err)
		}
		refused(t, g, "x", ReasonBreaker)
		time.Sleep(30 * time.Second)
		p := acquire(t, g, Bulk, "x") // the breaker refused before the test call of the hold was given out
		report(t, g, p, Outcome{Kind: Answered})
		if h := readHold(t, g); h != nil {
			t.Errorf("still held: %+v", h)
		}
		if p := acquire(t, g, Bulk, "y"); p.Test {
			t.Error("the breaker did not close")
		}
	})
}
