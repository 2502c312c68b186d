package gate

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/redisx"
)

var balanceOut = hold.Hold{Cause: hold.Balance, Reason: "the balance is used up", Code: "insufficient_balance", NextAction: "top up", By: "worker"}

// raise must raise the hold, as the first or not.
func raise(t *testing.T, g *Gate, first bool) {
	t.Helper()
	got, err := g.RaiseHold(t.Context(), balanceOut)
	if err != nil || got != first {
		t.Fatalf("raise the hold: first %v, %v; want %v", got, err, first)
	}
}

// readHold reads the hold of the kind aadhaar.
func readHold(t *testing.T, g *Gate) *hold.Hold {
	t.Helper()
	holds, err := g.Holds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return hold.Of("aadhaar", holds)
}

// The hold of a denial lasts while its answer waits, whatever other answers do.
func TestADeniedWriteHoldsTheKindUntilAnAnswerIsStored(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		step := func(do func(context.Context, hold.Hold, int) (bool, error), job, code string, want bool) {
			t.Helper()
			changed, err := do(t.Context(), hold.Hold{Cause: hold.Storage, Kind: "aadhaar", Job: job, Code: code}, 3)
			if err != nil || changed != want {
				t.Fatalf("%s: changed %v, %v; want %v", job, changed, err, want)
			}
		}
		step(g.AddUnstored, "A", "image_not_fetched", false)
		step(g.AddUnstored, "B", hold.Denied, true)
		step(g.AddUnstored, "C", hold.Denied, false)
		step(g.DropUnstored, "", "", false)         // the leader's look
		step(g.DropUnstored, "finished", "", false) // a job whose answer never waited
		step(g.AddUnstored, "A", "image_not_fetched", false)
		refused(t, g, "X", ReasonHeld)
		step(g.DropUnstored, "B", "", true)
		step(g.AddUnstored, "C", hold.Denied, true)
		step(g.DropUnstored, "A", "", true) // S3 takes answers again
		step(g.AddUnstored, "C", hold.Denied, true)
		step(g.DropUnstored, "C", "", true)
		report(t, g, acquire(t, g, Bulk, "X"), Outcome{Kind: Answered})
	})
}

func TestJobsWhoseAnswersAreNotStoredHoldTheirKind(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g, other := f.process(twoKinds), f.process(twoKinds)
		step := func(do func(context.Context, hold.Hold, int) (bool, error), job string, want bool) {
			t.Helper()
			changed, err := do(t.Context(), hold.Hold{Cause: hold.Storage, Kind: "aadhaar", Job: job, Code: "image_not_fetched"}, 3)
			if err != nil || changed != want {
				t.Fatalf("%s: changed %v, %v; want %v", job, changed, err, want)
			}
		}
		for _, job := range []string{"A", "B", "B"} { // each job counts once
			step(g.AddUnstored, job, false)
		}
		report(t, g, acquire(t, g, Bulk, "X"), Outcome{Kind: Answered})
		step(g.AddUnstored, "C", true)
		step(other.AddUnstored, "D", false)
		refused(t, other, "X", ReasonHeld)
		if p, err := g.Acquire(t.Context(), Call{Kind: "passport", Lane: Live, JobID: "P"}); err != nil {
			t.Errorf("the other kind: %v", err)
		} else {
			report(t, g, p, Outcome{Kind: Answered})
		}
		if h := readHold(t, g); h.Since.IsZero() || h.Job != "C" || h.Worker == "" {
			t.Errorf("%+v", h)
		}
		if err := g.ResumeHolds(t.Context(), *readHold(t, g)); err != nil {
			t.Fatal(err)
		}
		step(g.AddUnstored, "A", false) // tested, and restored by the next failure
		refused(t, g, "X", ReasonHeld)
		step(g.DropUnstored, "A", false)
		step(g.DropUnstored, "B", true)
		report(t, g, acquire(t, g, Bulk, "X"), Outcome{Kind: Answered})
		if jobs, err := other.Unstored(t.Context(), "aadhaar"); err != nil || len(jobs) != 2 {
			t.Errorf("%v, %v", jobs, err)
		}
	})
}

var twoKinds = map[string]rate.Rate{"aadhaar": {Calls: 100, Per: time.Minute}, "passport": {Calls: 100, Per: time.Minute}}

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
			backlog(ctx, &wg, g, "aadhaar", Bulk, 3, &v, 100*time.Millisecond)
			backlog(ctx, &wg, g, "passport", Live, 1, &v, 100*time.Millisecond)
		}
		time.Sleep(20 * time.Second)
		raise(t, fleet[0], true)
		raise(t, fleet[1], false)
		time.Sleep(150 * time.Millisecond) // slots that were granted before the hold
		before := v.count()
		time.Sleep(2 * time.Minute)
		if n := v.count() - before; n > 0 {
			t.Errorf("%d calls during the hold", n)
		}
		h := readHold(t, fleet[2])
		if h == nil || h.Code != balanceOut.Code || h.NextAction != balanceOut.NextAction || h.By != "worker" || h.Probing {
			t.Fatalf("hold: %+v", h)
		}
		if since := time.Since(h.Since); since < 2*time.Minute || since > 3*time.Minute {
			t.Errorf("held since %s", h.Since)
		}
		if err := fleet[2].ClearHold(ctx, hold.Balance, ""); err != nil {
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

func TestNewProcessObeysAHoldBeforeItsFirstCall(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		raise(t, f.process(twoKinds), true)
		closed := refused(t, f.process(twoKinds), "a", ReasonHeld)
		if closed.Hold == nil || closed.Hold.Reason != balanceOut.Reason {
			t.Errorf("refused with the hold %+v", closed.Hold)
		}
	})
}

func TestResumedAccountAllowsOneTestCall(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		outcome OutcomeKind
		after   func(t *testing.T, g *Gate)
	}{
		"an answer lifts the hold": {Answered, func(t *testing.T, g *Gate) {
			if h := readHold(t, g); h != nil {
				t.Fatalf("still held: %+v", h)
			}
			report(t, g, acquire(t, g, Bulk, "next"), Outcome{Kind: Answered})
		}},
		"a refusal restores it": {Refused, func(t *testing.T, g *Gate) {
			if h := readHold(t, g); h == nil || h.Probing || h.Code != balanceOut.Code {
				t.Fatalf("hold: %+v", h)
			}
			refused(t, g, "next", ReasonHeld)
			raise(t, g, false)
		}},
		"a failure says nothing": {Failed, func(t *testing.T, g *Gate) {
			if p := acquire(t, g, Bulk, "next"); !p.Test {
				t.Fatal("the next call is not the test call")
			}
		}},
		"a call that was not made says nothing": {Unused, func(t *testing.T, g *Gate) {
			if p := acquire(t, g, Bulk, "next"); !p.Test {
				t.Fatal("the next call is not the test call")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, f *fleet) {
				a, b := f.process(twoKinds), f.process(twoKinds)
				if err := a.ResumeHolds(t.Context(), balanceOut); !errors.Is(err, hold.ErrNotHeld) {
					t.Fatalf("resume without a hold: %v", err)
				}
				raise(t, a, true)
				if err := b.ResumeHolds(t.Context(), balanceOut); err != nil {
					t.Fatal(err)
				}
				p := acquire(t, b, Bulk, "test")
				if !p.Test {
					t.Fatal("the first call after a resume is not the test call")
				}
				for _, g := range []*Gate{a, b} {
					if closed := refused(t, g, "other", ReasonProbing); closed.Hold == nil || !closed.Hold.Probing {
						t.Errorf("refused with the hold %+v", closed.Hold)
					}
				}
				report(t, b, p, Outcome{Kind: tt.outcome})
				tt.after(t, a)
			})
		})
	}
}

func TestTestCallOfADeadProcessIsReplacedAfterAMinute(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		a, b := f.process(twoKinds), f.process(twoKinds)
		raise(t, a, true)
		if err := a.ResumeHolds(t.Context(), balanceOut); err != nil {
			t.Fatal(err)
		}
		lost := acquire(t, a, Bulk, "lost")
		time.Sleep(50 * time.Second)
		refused(t, b, "other", ReasonProbing)
		time.Sleep(10 * time.Second)
		if p := acquire(t, b, Bulk, "other"); !p.Test {
			t.Fatal("not the test call")
		}
		report(t, a, lost, Outcome{Kind: Refused}) // after its token has expired
		if h := readHold(t, a); h == nil || h.Probing {
			t.Errorf("a refusal after the token has expired: hold %+v", h)
		}
		if err := a.ResumeHolds(t.Context(), balanceOut); err != nil {
			t.Fatal(err)
		}
		lost = acquire(t, a, Bulk, "lost")
		time.Sleep(time.Minute)
		acquire(t, b, Bulk, "other")
		report(t, a, lost, Outcome{Kind: Answered}) // after its token has expired
		if h := readHold(t, a); h != nil {
			t.Errorf("still held: %+v", h)
		}
	})
}

func TestHoldLostWithRedisIsRaisedAgainByTheNextRefusal(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		raise(t, g, true)
		f.mini.FlushAll()
		restore(t, g)
		time.Sleep(2 * time.Second)
		report(t, g, acquire(t, g, Bulk, "a"), Outcome{Kind: Refused})
		raise(t, g, true)
	})
}

// causes lists the causes, with their kinds, and a "?" for what is tested.
func causes(t *testing.T, g *Gate) string {
	t.Helper()
	all, err := g.Holds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, h := range all {
		text += " " + h.Cause + h.Kind + map[bool]string{true: "?"}[h.Probing]
	}
	return strings.TrimSpace(text)
}

func TestHoldsOfTwoCausesAreKeptBesideEachOther(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		ip := hold.Hold{Cause: hold.IP, Reason: "not whitelisted", By: "worker", Job: "J"}
		raise(t, g, true)
		time.Sleep(time.Second)
		if first, err := g.RaiseHold(t.Context(), ip); err != nil || !first {
			t.Fatal(first, err)
		}
		raise(t, g, false)
		all, err := g.Holds(t.Context())
		if err != nil || len(all) != 2 || all[0].Reason != balanceOut.Reason || all[1].Reason != ip.Reason || all[1].Job != "J" ||
			all[1].Host == "" || all[1].Worker == "" || !all[1].Since.After(all[0].Since) {
			t.Fatalf("%+v, %v", all, err)
		}
		if err := g.ResumeHolds(t.Context(), balanceOut); err != nil {
			t.Fatal(err)
		}
		if closed := refused(t, g, "a", ReasonHeld); closed.Hold.Cause != hold.IP {
			t.Errorf("refused with the hold %+v", closed.Hold)
		}
		if err := g.ResumeHolds(t.Context(), ip); err != nil {
			t.Fatal(err)
		}
		p := acquire(t, g, Bulk, "a")
		refused(t, g, "b", ReasonProbing)
		report(t, g, p, Outcome{Kind: Refused})
		if got := causes(t, g); got != "balance ip" {
			t.Errorf("after a refusal: %s", got)
		}
		if err := g.ResumeHolds(t.Context(), ip, balanceOut); err != nil {
			t.Fatal(err)
		}
		report(t, g, acquire(t, g, Bulk, "a"), Outcome{Kind: Answered})
		if got := causes(t, g); got != "" {
			t.Errorf("after an answer: %s", got)
		}
	})
}

func TestAHoldOfOneKindIsTestedByThatKindAlone(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		vendor := hold.Hold{Cause: hold.Vendor, Kind: "aadhaar"}
		other := func() *Permit {
			p, err := g.Acquire(t.Context(), Call{Kind: "passport", Lane: Bulk, JobID: "p"})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		if first, err := g.RaiseHold(t.Context(), vendor); err != nil || !first {
			t.Fatal(first, err)
		}
		refused(t, g, "a", ReasonHeld)
		if p := other(); p.Test {
			t.Error("a test call of a kind that is not on hold")
		}
		if err := g.ResumeHolds(t.Context(), vendor); err != nil {
			t.Fatal(err)
		}
		p := acquire(t, g, Bulk, "a")
		report(t, g, other(), Outcome{Kind: Answered})
		if got := causes(t, g); got != "vendoraadhaar?" || !p.Test {
			t.Errorf("after an answer of the other kind: %s", got)
		}
		report(t, g, p, Outcome{Kind: Answered})
		if got := causes(t, g); got != "" {
			t.Errorf("after an answer: %s", got)
		}
	})
}

func TestNoSlotIsGrantedByARedisWithoutPausesOrOfAnotherName(t *testing.T) {
	t.Parallel()
	if kindKey("installation") != redisx.NameKey {
		t.Error("the gate reads another key than the installation writes")
	}
	inFakeTime(t, func(t *testing.T, f *fleet) {
		name := ""
		g := f.process(hundred, func(c *Config) { c.Installation = func() string { return name } })
		refused(t, g, "a", ReasonRestoring) // this process must not call
		name = "ours"
		refused(t, g, "a", ReasonRestoring)
		_ = f.mini.Set(redisx.NameKey, "theirs")
		refused(t, g, "a", ReasonRestoring)
		_ = f.mini.Set(redisx.NameKey, "ours")
		acquire(t, g, Bulk, "a")
		f.mini.Del(hold.RevisionKey)
		refused(t, g, "a", ReasonRestoring)
		restore(t, g, hold.Hold{Cause: hold.Operator}) // revision 1
		refused(t, g, "a", ReasonHeld)
		_ = f.mini.Set(hold.RevisionKey, "0") // an older state, in which nothing was paused
		f.mini.Del(hold.Key)
		refused(t, g, "a", ReasonRestoring)
	})
}

// The refusal raises a hold of its own, and the operator has ended the pause.
func TestARefusalDoesNotRestoreAPause(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		pause := hold.Hold{Cause: hold.Operator}
		if _, err := g.RaiseHold(t.Context(), pause); err != nil {
			t.Fatal(err)
		}
		if err := g.ResumeHolds(t.Context(), pause); err != nil {
			t.Fatal(err)
		}
		report(t, g, acquire(t, g, Bulk, "a"), Outcome{Kind: Refused})
		raise(t, g, true)
		if got := causes(t, g); got != "balance operator?" {
			t.Errorf("holds: %s", got)
		}
	})
}
