package gate

import (
	"context"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/testenv"
)

// onEachRedis runs a test on miniredis, which the tests in fake time use, and on a real server.
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

// taker asks for slots as a process does.
type taker struct {
	t     *testing.T
	g     *Gate
	doubt bool // Redis failed
	more  bool // more calls wait
	per   time.Duration
}

func newTaker(t *testing.T, client *redis.Client) taker {
	t.Helper()
	g, err := New(Config{Redis: client, Rates: hundred})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	restore(t, g)
	return taker{t: t, g: g, per: time.Minute}
}

// taken is a result of take.lua.
type taken struct{ code, wait, slot, test, estimate, ask int64 }

// at is the slot or, if none is granted yet, the estimate.
func (r taken) at() int64 { return max(r.slot, r.estimate) }

func (k taker) take(process, lane string, estimate, newest int64) taken {
	k.t.Helper()
	r := k.run(takeScript, 100, k.per.Microseconds(), lane, "job", "nonce", newest, k.doubt, estimate, k.more, process, 1, 1, 60_000_000, 0, "*")
	if len(r) < 7 {
		return taken{code: r[0], wait: r[1]}
	}
	return taken{r[0], r[1], r[2], r[3], r[4], r[5]}
}

// granted asks until there is a slot.
func (k taker) granted(process, lane string, newest int64) taken {
	k.t.Helper()
	var estimate int64
	for range 20 {
		got := k.take(process, lane, estimate, newest)
		if got.code == codeGranted {
			return got
		}
		estimate = got.estimate
		time.Sleep(micros(got.wait))
	}
	k.t.Fatal("no slot")
	return taken{}
}

func (k taker) run(script *redis.Script, args ...any) []int64 {
	k.t.Helper()
	r, err := k.g.run(k.t.Context(), script, k.g.kinds["aadhaar"], args...)
	if err != nil {
		k.t.Fatal(err)
	}
	return r
}

// now is Redis' clock.
func (k taker) now() int64 {
	k.t.Helper()
	at, err := k.g.cfg.Redis.Time(k.t.Context()).Result()
	if err != nil {
		k.t.Fatal(err)
	}
	return at.UnixMicro()
}

const (
	ahead = 150_000 // take.lua's NEAR
	step  = 612_245 // of 100/m at a margin of 2 %
)

func TestScriptSpacesSlotsAndWaitsAStepIfNothingIsKnown(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		start := k.now()
		first := k.granted("a", Live, 0)
		if first.slot < start+ahead+step {
			t.Errorf("first slot %d µs after the start, want a step of %d and %d at least", first.slot-start, step, ahead)
		}
		if next := k.granted("b", Live, 0); next.slot < first.slot+step || next.slot > k.now()+ahead {
			t.Errorf("next: %+v, want a slot a step behind %d", next, first.slot)
		}
		all, err := client.HGetAll(t.Context(), kindKey("aadhaar")).Result()
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range all {
			if !regexp.MustCompile(`^\d+([:/]\d+)*$`).MatchString(value) {
				t.Errorf("field %s contains %q", name, value)
			}
		}
	})
}

func TestScriptGivesProcessesTurnsOneAfterTheOther(t *testing.T) {
	t.Parallel()
	for _, lane := range []string{Live, Bulk} {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(t *testing.T, client *redis.Client) {
				k := newTaker(t, client)
				k.per = time.Hour
				const step = 36_734_694 // of 100/h
				var estimates []int64
				for _, process := range []string{"a", "b", "c"} {
					got := k.take(process, lane, 0, 0)
					if got.code != codeLater || got.estimate == 0 {
						t.Fatalf("process %s: %+v, want an estimate", process, got)
					}
					if n := len(estimates); n > 0 && got.estimate != estimates[n-1]+step {
						t.Errorf("process %s: estimate %d behind %d", process, got.estimate, estimates[n-1])
					}
					estimates = append(estimates, got.estimate)
				}
				if again := k.take("b", lane, estimates[1], 0); again.code != codeLater || again.estimate != estimates[1] {
					t.Errorf("asked too early: %+v, want the estimate %d again", again, estimates[1])
				}
				if forgotten := k.take("b", lane, estimates[2]+1, 0); forgotten.estimate != estimates[2]+step {
					t.Errorf("estimate %d, which is not in Redis: %+v, want a new one", estimates[2]+1, forgotten)
				}
			})
		})
	}
}

func TestScriptGivesTheNextTurnWithASlot(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		k.more = true
		got := k.granted("a", Bulk, 0)
		if got.estimate != got.slot+step || got.ask > step {
			t.Errorf("%+v, want an estimate a step behind the slot", got)
		}
	})
}

func TestScriptLeavesSlotsToLiveCallsThatWait(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		live := k.take("a", Live, 0, 0)
		bulk := k.take("b", Bulk, 0, 0)
		if bulk.code != codeLater || bulk.estimate != live.estimate+step {
			t.Errorf("bulk: %+v, want an estimate behind that of a live call, %d", bulk, live.estimate)
		}
		time.Sleep(micros(live.wait))
		if bulk := k.take("b", Bulk, live.estimate, 0); bulk.code == codeGranted && bulk.slot <= live.estimate {
			t.Errorf("bulk: %+v, took the slot of the live call that waits", bulk)
		}
		if live := k.take("a", Live, live.estimate, 0); live.code != codeGranted {
			t.Errorf("live: %+v", live)
		}
	})
}

func TestScriptTakesASlotBackUnlessALaterOneIsGranted(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		unused := func(got taken) { k.run(reportScript, "unused", "job", "", got.slot, 0, 0, 100) }
		a := k.granted("a", Live, 0)
		unused(a)
		again := k.take("a", Live, 0, 0)
		if again.code != codeGranted || again.slot < a.slot || again.slot > max(a.slot, k.now()) {
			t.Errorf("%+v, want the slot %d again", again, a.slot)
		}
		b := k.granted("b", Live, 0)
		unused(again)
		if c := k.granted("c", Live, 0); c.slot < b.slot+step {
			t.Errorf("slot %d after %d", c.slot, b.slot)
		}
		all, _, err := k.g.Status(t.Context())
		if err != nil || all[0].LastMinute > 2 {
			t.Errorf("status: %+v, %v; two slots are used", all, err)
		}
	})
}

// A Redis that restarts from its append-only file may have lost a second, and with it slots that are still in use.
func TestScriptKeepsClearOfSlotsThatRedisLost(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		out := k.granted("a", Bulk, 0)
		if err := client.HSet(t.Context(), kindKey("aadhaar"), "last", out.slot-1_000_000).Err(); err != nil {
			t.Fatal(err)
		}
		k.doubt = true
		if after := k.take("b", Live, 0, 0); after.at() < out.slot+step {
			t.Errorf("%+v after a slot at %d", after, out.slot)
		}
	})
}

func TestScriptLearnsFromAProcessWhatALostKeyForgot(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		k := newTaker(t, client)
		a := k.granted("a", Live, 0)
		if err := client.HSet(t.Context(), kindKey("aadhaar"), "last", a.slot-1_000_000).Err(); err != nil {
			t.Fatal(err)
		}
		if after := k.take("a", Live, 0, a.slot); after.at() < a.slot+step {
			t.Errorf("%+v after a slot at %d", after, a.slot)
		}
		if err := client.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		restore(t, k.g)
		if after := k.take("b", Live, 0, 0); after.at() < a.slot+step {
			t.Errorf("%+v after a slot at %d and a flush", after, a.slot)
		}
	})
}

func TestEveryScriptRunsOnEveryRedis(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		ctx := t.Context()
		k := newTaker(t, client)
		k.granted("a", Live, 0)
		for i, job := range []string{"x", "y", "z", "x"} {
			if r := k.run(reportScript, "failed", job, "", 1, 0, 0, 100); r[0] != 0 {
				t.Fatalf("failure number %d: %v", i, r)
			}
		}
		if r := k.run(reportScript, "failed", "y", "", 1, 0, 0, 100); r[0] != 1 {
			t.Fatalf("fifth failure: %v", r)
		}
		if got := k.take("a", Live, 0, 0); got.code != codeBreaker || got.wait <= 29_000_000 {
			t.Errorf("take with an open breaker: %+v", got)
		}
		if r := k.run(reportScript, "limited", "x", "", 1, 5_000_000, 50, 100); r[1] != 50 {
			t.Errorf("429: %v", r)
		}
		all, _, err := k.g.Status(ctx)
		if err != nil || all[0].VendorLimit != 50 || all[0].Limited != 1 || all[0].StoppedFor <= 0 {
			t.Errorf("status after a 429: %+v, %v", all, err)
		}
		if err := k.g.SetRate(ctx, "aadhaar", rate.Rate{Calls: 600, Per: 6 * time.Second}, "asha"); err != nil {
			t.Fatal(err)
		}
		if first, err := k.g.RaiseHold(ctx, balanceOut); err != nil || !first {
			t.Fatalf("raise: %v, %v", first, err)
		}
		if got := k.take("a", Live, 0, 0); got.code != codeHeld {
			t.Errorf("take during a hold: %+v", got)
		}
		all, holds, err := k.g.Status(ctx)
		if err != nil || len(holds) != 1 || len(all) != 1 {
			t.Fatalf("status: %+v, %+v, %v", all, holds, err)
		}
		if h := holds[0]; time.Since(h.Since).Abs() > time.Minute || h.Code != balanceOut.Code || h.By != balanceOut.By {
			t.Errorf("hold: %+v", h)
		}
		if st := all[0]; st.Limit() != (rate.Rate{Calls: 600, Per: 6 * time.Second}) || st.VendorLimit != 0 || st.Breaker != BreakerOpen {
			t.Errorf("status: %+v", st)
		}
		if err := k.g.ResumeHolds(ctx, balanceOut); err != nil {
			t.Error(err)
		}
		if err := k.g.ClearHold(ctx, hold.Balance, ""); err != nil {
			t.Error(err)
		}
	})
}

// Real time and real sockets.
func TestFleetPacesOverSockets(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, client *redis.Client) {
		r := rate.Rate{Calls: 300, Per: 3 * time.Second}
		var v vendor
		var wg sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 3 {
			g, err := New(Config{Redis: client, Rates: map[string]rate.Rate{"aadhaar": r}})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			restore(t, g)
			backlog(ctx, &wg, g, "aadhaar", Bulk, 4, &v, 10*time.Millisecond)
		}
		wg.Wait()
		// A busy machine makes calls late, none makes them early.
		if n := v.count(); n < 1 || n > 101 {
			t.Errorf("%d calls in a second, about 98 are due", n)
		}
	})
}
