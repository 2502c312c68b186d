package gate

import (
	"testing"
	"time"

	"github.com/kycq/kycq/internal/hold"
)

// A firewall's answer to the test call leaves the hold to the next call, at once.
func TestAForeignAnswerToATestCallDecidesNothing(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(twoKinds)
		raise(t, g, true)
		if err := g.ResumeHolds(t.Context(), balanceOut); err != nil {
			t.Fatal(err)
		}
		report(t, g, acquire(t, g, Bulk, "blocked"), Outcome{Kind: Foreign})
		began := time.Now()
		p := acquire(t, g, Bulk, "other")
		if h := readHold(t, g); h == nil || !h.Probing || !p.Test || time.Since(began) > 2*time.Second {
			t.Fatalf("hold %+v, test %v after %s", h, p.Test, time.Since(began))
		}
		report(t, g, p, Outcome{Kind: Answered})
		if h := readHold(t, g); h != nil {
			t.Errorf("hold: %+v", h)
		}
	})
}

// The same for all processes, on a real server too.
func TestOddAnswersAreCountedUntilAGoodOne(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		a, b := f.process(twoKinds), f.process(twoKinds)
		odd := func(g *Gate, job string, jobs, tries int, good bool) {
			t.Helper()
			want := hold.Streak{Jobs: jobs, Tries: tries, GoodSince: good}
			if got, err := g.OddAnswer(t.Context(), "passport", job); err != nil || got != want {
				t.Errorf("%s: %+v, %v; want %+v", job, got, err, want)
			}
		}
		well := func(kind string) {
			t.Helper()
			if err := a.GoodAnswer(t.Context(), kind); err != nil {
				t.Error(err)
			}
		}
		well("passport")
		odd(a, "A", 1, 1, false)
		odd(b, "A", 1, 2, false)
		odd(b, "B", 2, 1, false)
		well("aadhaar")
		odd(a, "C", 3, 1, false)
		well("passport")
		odd(a, "A", 1, 1, true)
		odd(b, "D", 2, 1, false)
		odd(b, "A", 2, 2, true)
		if err := a.ResumeHolds(t.Context(), hold.Hold{Cause: hold.Vendor, Kind: "passport"}); err != hold.ErrNotHeld { //nolint:errorlint // returned as it is
			t.Error(err)
		}
		odd(a, "D", 1, 1, false) // a resume is no good answer
		odd(a, "A", 2, 1, true)
		f.mini.FlushAll()
		odd(a, "A", 1, 1, false)
	})
}
