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
		done(t, g, enter(t, g, Bulk, job), Outcome{Kind: Failed})
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
			p := enter(t, b, Bulk, "4") // left before the failures
			fail(t, a, "1", "2", "3")
			synctest.Wait()
			done(t, b, p, Outcome{Kind: Answered})
			fail(t, a, "5", "6", "7", "8")
		}, false},
		"a refusal between: the vendor answers": {func(t *testing.T, a, b *Gate) {
			fail(t, a, "1", "2", "3")
			done(t, a, enter(t, a, Bulk, "4"), Outcome{Kind: Refused})
			fail(t, a, "5", "6", "7", "8")
		}, false},
		"calls that were not sent do not count": {func(t *testing.T, a, b *Gate) {
			for i := range 9 {
				done(t, a, enter(t, a, Bulk, strconv.Itoa(i)), Outcome{Kind: NotSent})
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, f *fleet) {
				a, b := f.process(twoKinds), f.process(twoKinds)
				done(t, b, enter(t, b, Bulk, "0"), Outcome{Kind: Answered})
				tt.meet(t, a, b)
				synctest.Wait()
				if !tt.open {
					done(t, b, enter(t, b, Live, "x"), Outcome{Kind: Answered})
					return
				}
				for _, g := range []*Gate{a, b} {
					if closed := refused(t, g, "x", ReasonBreaker); closed.RetryAfter > 30*time.Second {
						t.Errorf("come again in %s", closed.RetryAfter)
					}
				}
				p, err := a.Acquire(t.Context(), Call{Kind: "passport", Lane: Bulk, JobID: "x"})
				if err != nil {
					t.Fatalf("the other kind: %v", err)
				}
				done(t, a, p, Outcome{Kind: Answered})
			})
		})
	}
}

func TestOpenBreakerSendsWaitersAway(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		a, b := f.process(twoKinds), f.process(twoKinds)
		fail(t, a, "1", "2", "3", "4")
		last := enter(t, a, Bulk, "5")
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { refused(t, b, "waits", ReasonBreaker) })
		}
		synctest.Wait()
		start := time.Now()
		done(t, a, last, Outcome{Kind: Failed})
		wg.Wait()
		if took := time.Since(start); took > 0 {
			t.Errorf("waiters of the other process learned of it after %s", took)
		}
	})
}

func TestFailedProbesDoubleTheRestUpToFiveMinutes(t *testing.T) {
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
				if err != nil || !p.Probe {
					t.Fatalf("want a probe: %+v, %v", p, err)
				}
				done(t, g, p, Outcome{Kind: Failed})
				break
			}
			if rest := time.Since(opened); rest < want*time.Second || rest > want*time.Second+2*time.Second {
				t.Errorf("rest number %d lasted %s, want %d s", i+1, rest, want)
			}
		}
		time.Sleep(300 * time.Second)
		done(t, g, enter(t, g, Bulk, "y"), Outcome{Kind: Answered})
		if p := enter(t, g, Bulk, "z"); p.Probe {
			t.Error("the breaker did not close after an answer")
		} else {
			done(t, g, p, Outcome{Kind: Failed})
		}
		fail(t, g, "1", "2", "3", "4")
		if closed := refused(t, g, "x", ReasonBreaker); closed.RetryAfter != 30*time.Second {
			t.Errorf("a breaker that had closed rests for %s at first", closed.RetryAfter)
		}
	})
}

func TestOneProbeAtATimeAndNotTheSameJobTwiceWhereOthersWait(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		a, b := f.process(twoKinds), f.process(twoKinds)
		fail(t, a, "1", "2", "3", "4", "5")
		synctest.Wait()
		time.Sleep(30 * time.Second)
		p := enter(t, a, Bulk, "bad")
		refused(t, b, "good", ReasonProbing)
		done(t, a, p, Outcome{Kind: Failed})
		synctest.Wait()
		refused(t, b, "good", ReasonBreaker)
		time.Sleep(60 * time.Second)
		refused(t, a, "bad", ReasonProbing)
		p = enter(t, b, Bulk, "good")
		done(t, b, p, Outcome{Kind: Answered})
		synctest.Wait()
		if p := enter(t, a, Bulk, "bad"); p.Probe {
			t.Error("the breaker did not close")
		}
	})
}

func TestLonelyJobMayProbeAgain(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		fail(t, g, "1", "2", "3", "4", "5")
		time.Sleep(30 * time.Second)
		fail(t, g, "lonely")
		time.Sleep(60 * time.Second)
		fail(t, g, "lonely")
	})
}

func TestProbeOfTheBreakerIsReplaced(t *testing.T) {
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
				p := enter(t, a, Bulk, "first")
				refused(t, b, "second", ReasonProbing)
				if tt.outcome.Kind != 0 {
					done(t, a, p, tt.outcome)
				}
				time.Sleep(tt.wait)
				if p := enter(t, b, Bulk, "second"); !p.Probe {
					t.Error("not the probe")
				}
			})
		})
	}
}

func TestProbeThatHadRunOutDoesNotCloseTheBreaker(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		fail(t, g, "1", "2", "3", "4", "5")
		time.Sleep(30 * time.Second)
		lost := enter(t, g, Bulk, "lost")
		time.Sleep(time.Minute)
		p := enter(t, g, Bulk, "second")
		done(t, g, lost, Outcome{Kind: Answered}) // comes back from the dead
		refused(t, g, "third", ReasonProbing)
		done(t, g, p, Outcome{Kind: Failed})
		refused(t, g, "third", ReasonBreaker)
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
						if !p.Probe {
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

func TestHoldIsLookedAtBeforeTheBreaker(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		fail(t, g, "1", "2", "3", "4", "5")
		raise(t, g, true)
		refused(t, g, "x", ReasonHeld)
		if err := g.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		refused(t, g, "x", ReasonBreaker)
		time.Sleep(30 * time.Second)
		p := enter(t, g, Bulk, "x") // the token of the hold came back when the breaker refused
		done(t, g, p, Outcome{Kind: Answered})
		if h := standing(t, g); h != nil {
			t.Errorf("still held: %+v", h)
		}
		if p := enter(t, g, Bulk, "y"); p.Probe {
			t.Error("the breaker did not close")
		}
	})
}
