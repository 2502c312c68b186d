package gate

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var balanceOut = Hold{Reason: "the balance is used up", Code: "insufficient_balance", NextAction: "top up", By: "worker"}

// raise must raise the hold, as the first or not.
func raise(t *testing.T, g *Gate, first bool) {
	t.Helper()
	got, err := g.RaiseHold(t.Context(), balanceOut)
	if err != nil || got != first {
		t.Fatalf("raise the hold: first %v, %v; want %v", got, err, first)
	}
}

// standing reads the hold.
func standing(t *testing.T, g *Gate) *Hold {
	t.Helper()
	h, err := g.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

var twoKinds = map[string]Rate{"aadhaar": {100, time.Minute}, "passport": {100, time.Minute}}

func TestHoldStopsEveryKindInTheWholeFleet(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		var wg sync.WaitGroup
		var v vendor
		ctx, cancel := context.WithCancel(t.Context())
		var fleet []*Gate
		for range 3 {
			g := f.process(twoKinds)
			fleet = append(fleet, g)
			backlog(ctx, &wg, g, "aadhaar", Bulk, 8, &v, 100*time.Millisecond)
			backlog(ctx, &wg, g, "passport", Live, 2, &v, 100*time.Millisecond)
		}
		time.Sleep(20 * time.Second)
		raise(t, fleet[0], true)
		raise(t, fleet[1], false)
		synctest.Wait()
		before := v.count()
		time.Sleep(2 * time.Minute)
		if n := v.count() - before; n > 0 {
			t.Errorf("%d calls during the hold", n)
		}
		h := standing(t, fleet[2])
		if h == nil || h.Code != balanceOut.Code || h.NextAction != balanceOut.NextAction || h.By != "worker" || h.Probing {
			t.Fatalf("hold: %+v", h)
		}
		if since := time.Since(h.Since); since < 2*time.Minute || since > 3*time.Minute {
			t.Errorf("held since %s", h.Since)
		}
		if err := fleet[2].ClearHold(ctx); err != nil {
			t.Fatal(err)
		}
		before = v.count()
		time.Sleep(10 * time.Second)
		if v.count() == before {
			t.Error("no call within 10 s of the end of the hold")
		}
		cancel()
		wg.Wait()
	})
}

func TestNewProcessSeesAStandingHoldBeforeItsFirstCall(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		raise(t, f.process(twoKinds), true)
		closed := refused(t, f.process(twoKinds), "a", ReasonHeld)
		if closed.Hold == nil || closed.Hold.Reason != balanceOut.Reason {
			t.Errorf("refused with the hold %+v", closed.Hold)
		}
	})
}

func TestResumedAccountLetsOneCallFindOut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		outcome OutcomeKind
		after   func(t *testing.T, g *Gate)
	}{
		"an answer ends the hold": {Answered, func(t *testing.T, g *Gate) {
			if h := standing(t, g); h != nil {
				t.Fatalf("still held: %+v", h)
			}
			done(t, g, enter(t, g, Bulk, "next"), Outcome{Kind: Answered})
		}},
		"a refusal restores it": {Refused, func(t *testing.T, g *Gate) {
			if h := standing(t, g); h == nil || h.Probing || h.Code != balanceOut.Code {
				t.Fatalf("hold: %+v", h)
			}
			refused(t, g, "next", ReasonHeld)
			raise(t, g, false)
		}},
		"a failure says nothing": {Failed, func(t *testing.T, g *Gate) {
			if p := enter(t, g, Bulk, "next"); !p.Probe {
				t.Fatal("the next call is no probe")
			}
		}},
		"a call that was not made says nothing": {Unused, func(t *testing.T, g *Gate) {
			if p := enter(t, g, Bulk, "next"); !p.Probe {
				t.Fatal("the next call is no probe")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, f *fleet) {
				a, b := f.process(twoKinds), f.process(twoKinds)
				if err := a.Resume(t.Context()); !errors.Is(err, ErrNotHeld) {
					t.Fatalf("resume without a hold: %v", err)
				}
				raise(t, a, true)
				if err := b.Resume(t.Context()); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				p := enter(t, b, Bulk, "probe")
				if !p.Probe {
					t.Fatal("the first call after a resume is no probe")
				}
				for _, g := range []*Gate{a, b} {
					if closed := refused(t, g, "other", ReasonProbing); closed.Hold == nil || !closed.Hold.Probing {
						t.Errorf("refused with the hold %+v", closed.Hold)
					}
				}
				synctest.Wait() // both listen
				done(t, b, p, Outcome{Kind: tt.outcome})
				synctest.Wait()
				tt.after(t, a)
			})
		})
	}
}

func TestProbeOfADeadProcessIsReplacedAfterAMinute(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		a, b := f.process(twoKinds), f.process(twoKinds)
		raise(t, a, true)
		if err := a.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		lost := enter(t, a, Bulk, "lost")
		time.Sleep(50 * time.Second)
		refused(t, b, "other", ReasonProbing)
		time.Sleep(10 * time.Second)
		if p := enter(t, b, Bulk, "other"); !p.Probe {
			t.Fatal("not the probe")
		}
		done(t, a, lost, Outcome{Kind: Answered}) // comes back from the dead
		if h := standing(t, a); h == nil {
			t.Error("a probe that had run out ended the hold")
		}
	})
}

func TestMarkOfAHoldThatNeverStoodHeals(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		if err := g.markKinds(t.Context(), "1"); err != nil { // and dies
			t.Fatal(err)
		}
		refused(t, g, "a", ReasonHeld)
		time.Sleep(11 * time.Second)
		done(t, g, enter(t, g, Bulk, "a"), Outcome{Kind: Answered})
	})
}

func TestHoldLostWithRedisIsRaisedAgainByTheNextRefusal(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		raise(t, g, true)
		f.mini.FlushAll()
		time.Sleep(2 * time.Second)
		done(t, g, enter(t, g, Bulk, "a"), Outcome{Kind: Refused})
		raise(t, g, true)
	})
}
