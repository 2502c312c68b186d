package gate

import (
	"context"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/testenv"
)

// onEachRedis runs a test on the two servers that must behave alike: what fake time proves on miniredis then holds for
// the real one.
func onEachRedis(t *testing.T, test func(t *testing.T, client *redis.Client)) {
	for name, url := range map[string]func(t *testing.T) string{
		"miniredis": func(t *testing.T) string { return "redis://" + miniredis.RunT(t).Addr() },
		"redis":     func(t *testing.T) string { return testenv.Redis(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opt, err := redis.ParseURL(url(t))
			if err != nil {
				t.Fatal(err)
			}
			addr := opt.Addr
			quiet(opt).Addr = addr
			client := redis.NewClient(opt)
			t.Cleanup(func() { _ = client.Close() })
			test(t, client)
		})
	}
}

// taker asks for slots as a process would.
type taker struct {
	t       *testing.T
	g       *Gate
	late    int64 // the slot that it was too late for
	caution bool  // it met an error
}

func newTaker(t *testing.T, client *redis.Client) taker {
	t.Helper()
	g, err := New(Config{Redis: client, Rates: hundred})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return taker{t: t, g: g}
}

type taken struct {
	code, now, turn, come, step int64
	slots                       []int64
}

// take asks as a process: lane, slots wanted, turn held, whether more wait, newest slot known.
func (k taker) take(process, lane string, want int, turn int64, more bool, known int64) taken {
	k.t.Helper()
	r := k.run(takeScript, process, lane, want, turn, flag(more), known, flag(k.caution), 0, "", 0, 0, 0, -1, -1, 0, 0, k.late, 0)
	return taken{r[0], r[1], r[2], r[3], r[4], r[8:]}
}

func (k taker) run(script *redis.Script, args ...any) []int64 {
	k.t.Helper()
	r, err := k.g.onKind(k.t.Context(), script, "aadhaar", hundred["aadhaar"], args...)
	if err != nil {
		k.t.Fatal(err)
	}
	return r
}

func TestScriptSpacesSlotsAndWaitsAStepWhereNothingIsKnown(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		first := k.take("a", Live, 2, 0, false, 0)
		if want := []int64{first.now + first.step, first.now + 2*first.step}; first.code != codeGranted || !slices.Equal(first.slots, want) {
			t.Fatalf("first: %+v, want the slots %v", first, want)
		}
		if first.step < 600_000 || first.step > 612_000 {
			t.Errorf("a step of %d µs", first.step)
		}
		next := k.take("b", Live, 1, 0, false, 0)
		if want := []int64{max(first.slots[1]+first.step, next.now)}; !slices.Equal(next.slots, want) {
			t.Errorf("next: %+v, want the slot %v", next, want)
		}
		all, err := client.HGetAll(t.Context(), kindKey("aadhaar")).Result()
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range all {
			if !regexp.MustCompile(`^\d+(:\d+)*$`).MatchString(value) {
				t.Errorf("field %s holds %q", name, value)
			}
		}
	})
}

func TestScriptGivesBulkCallersTurnsOneAfterTheOther(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		var turns []int64
		for _, process := range []string{"a", "b", "c"} {
			got := k.take(process, Bulk, 1, 0, true, 0)
			if got.code != codeLater || got.come >= got.turn {
				t.Fatalf("process %s: %+v, want a turn", process, got)
			}
			if n := len(turns); n > 0 && got.turn != turns[n-1]+got.step {
				t.Errorf("process %s: turn %d behind %d", process, got.turn, turns[n-1])
			}
			turns = append(turns, got.turn)
		}
		if again := k.take("b", Bulk, 1, turns[1], true, 0); again.code != codeLater || again.turn != turns[1] {
			t.Errorf("came too early: %+v, want the turn %d kept", again, turns[1])
		}
	})
}

func TestScriptKeepsTheNextSlotForLiveCallersThatWait(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		live := k.take("a", Live, 1, 0, true, 0)
		bulk := k.take("b", Bulk, 1, 0, true, 0)
		if bulk.code != codeLater || bulk.turn <= live.slots[0]+live.step {
			t.Errorf("bulk: %+v, want a turn behind the slot %d that is kept", bulk, live.slots[0]+live.step)
		}
	})
}

func TestScriptTakesSlotsBackAsLongAsNothingIsBehindThem(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		a := k.take("a", Live, 2, 0, false, 0)
		if back := k.run(backScript, a.slots[1], a.slots[0]); back[0] != 2 {
			t.Fatalf("took %d back, want 2", back[0])
		}
		again := k.take("a", Live, 2, 0, false, 0)
		if want := max(a.slots[0], again.now); again.slots[0] != want {
			t.Errorf("slots %v, want %v again", again.slots, a.slots)
		}
		k.take("b", Live, 1, 0, false, 0)
		if back := k.run(backScript, again.slots[1], again.slots[0]); back[0] != 0 {
			t.Errorf("took %d back from under another slot", back[0])
		}
	})
}

// A Redis that restarts from its append-only file may have lost a second, and with it slots that are still out.
func TestScriptKeepsClearOfSlotsThatRedisForgot(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		k.take("a", Live, 1, 0, false, 0)
		out := k.take("b", Bulk, 1, 0, true, 0) // comes when its turn is due
		if err := client.HSet(t.Context(), kindKey("aadhaar"), "last", out.now-1_000_000).Err(); err != nil {
			t.Fatal(err)
		}
		k.caution = true
		horizon := out.step / 2
		if after := k.take("c", Live, 1, 0, false, 0); after.slots[0] < after.now+horizon+2*out.step {
			t.Errorf("slot %d µs from now; others may be out up to %d", after.slots[0]-after.now, horizon+out.step)
		}
	})
}

func TestScriptMovesALateSlotUnlessSomethingIsBehindIt(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		a := k.take("a", Live, 2, 0, false, 0)
		k.late = a.slots[0]
		if b := k.take("a", Live, 1, 0, false, 0); b.slots[0] != max(a.slots[1]+a.step, b.now) {
			t.Errorf("slot %d although %d stands", b.slots[0], a.slots[1])
		}
		k.late = a.slots[1] + a.step
		if b := k.take("a", Live, 1, 0, false, 0); b.slots[0] != max(k.late, b.now) {
			t.Errorf("slot %d, want %d again", b.slots[0], k.late)
		}
	})
}

func TestScriptLearnsFromAProcessWhatALostKeyForgot(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		a := k.take("a", Live, 2, 0, false, 0)
		if err := client.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		after := k.take("b", Live, 1, 0, false, a.slots[1])
		if after.slots[0] < a.slots[1]+a.step {
			t.Errorf("slot %d after one at %d", after.slots[0], a.slots[1])
		}
	})
}

func TestEveryScriptRunsOnEveryRedis(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		ctx := t.Context()
		k := newTaker(t, client)
		k.take("a", Live, 1, 0, false, 0)
		for i, job := range []string{"x", "y", "z", "x"} {
			if r := k.run(reportScript, sayFailed, job, "", 0, -1, -1, 0, 0); r[2] != 0 || r[3] != 1 {
				t.Fatalf("failure number %d: %v", i, r)
			}
		}
		if r := k.run(reportScript, sayFailed, "y", "", 0, -1, -1, 0, 0); r[2] != 1 {
			t.Fatalf("fifth failure: %v", r)
		}
		if r := k.run(probeScript, "x", "nonce"); r[0] != breakerOpen || r[1] <= 29_000_000 {
			t.Errorf("probe: %v", r)
		}
		if r := k.run(reportScript, sayLimited, "x", "", 5_000_000, 50, 0, 5_000_000, 0); r[1]-r[0] != 5_000_000 || r[4] != 50 {
			t.Errorf("429: %v", r)
		}
		if err := k.g.SetRate(ctx, "aadhaar", Rate{600, 6 * time.Second}); err != nil {
			t.Fatal(err)
		}
		if first, err := k.g.RaiseHold(ctx, balanceOut); err != nil || !first {
			t.Fatalf("raise: %v, %v", first, err)
		}
		if got := k.take("a", Live, 1, 0, false, 0); got.code != codeHeld {
			t.Errorf("take during a hold: %+v", got)
		}
		all, hold, err := k.g.Status(ctx)
		if err != nil || hold == nil || len(all) != 1 {
			t.Fatalf("status: %+v, %+v, %v", all, hold, err)
		}
		st := all[0]
		if st.Configured != (Rate{600, 6 * time.Second}) || st.Limited != 1 || st.Breaker != BreakerOpen || st.StoppedFor <= 0 {
			t.Errorf("status: %+v", st)
		}
		if err := k.g.Resume(ctx); err != nil {
			t.Error(err)
		}
		if err := k.g.ClearHold(ctx); err != nil {
			t.Error(err)
		}
	})
}

// Real time, real sockets: the pieces that fake time replaces.
func TestFleetPacesOverSockets(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		rate := Rate{300, 3 * time.Second}
		var v vendor
		var wg sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 3 {
			g, err := New(Config{Redis: client, Rates: map[string]Rate{"aadhaar": rate}})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			backlog(ctx, &wg, g, "aadhaar", Bulk, 4, &v, 10*time.Millisecond)
		}
		wg.Wait()
		// A busy machine makes calls late, none makes them early.
		if n := v.count(); n < 1 || n > 101 {
			t.Errorf("%d calls in a second, about 98 are due", n)
		}
	})
}
