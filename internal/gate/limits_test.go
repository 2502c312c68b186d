package gate

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// meet makes one call with that outcome while a fleet of three is saturated, and returns how long no call left from 100 ms
// after it on (until then calls may be on their way).
func meet(t *testing.T, f *fleet, rates map[string]Rate, o Outcome) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var v vendor
	for range 3 {
		backlog(ctx, &wg, f.process(rates), "aadhaar", Bulk, 8, &v, time.Second)
	}
	g := f.process(rates)
	time.Sleep(20 * time.Second)
	p := enter(t, g, Live, "met it")
	done(t, g, p, o)
	start := time.Now()
	time.Sleep(100 * time.Millisecond)
	before := v.count()
	for v.count() == before {
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(start)
}

func TestFleetIsSilentForAsLongAsTheVendorAsks(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		outcome Outcome
		want    time.Duration
	}{
		"429 with Retry-After":             {Outcome{Kind: Limited, RetryAfter: 7 * time.Second, Reset: 3 * time.Second}, 7 * time.Second},
		"429 with Reset":                   {Outcome{Kind: Limited, Reset: 4 * time.Second}, 4 * time.Second},
		"429 with an absurd time":          {Outcome{Kind: Limited, RetryAfter: time.Hour}, 120 * time.Second},
		"429 without a time":               {Outcome{Kind: Limited}, time.Second},
		"nothing remains":                  {Outcome{Kind: Answered, Limit: 100, Remaining: 0, Reset: 5 * time.Second}, 5 * time.Second},
		"nothing remains of a refused one": {Outcome{Kind: Refused, Limit: 100, Remaining: 0, Reset: 5 * time.Second}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, f *fleet) {
				if got := meet(t, f, hundred, tt.outcome); got < tt.want || got > tt.want+2*time.Second {
					t.Errorf("silent for %s, asked for %s", got, tt.want)
				}
			})
		})
	}
}

func TestSmallRestOfTheWindowStopsNobody(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Outcome{
		"no header":     {Kind: Answered},
		"one remains":   {Kind: Answered, Limit: 100, Remaining: 1, Reset: 30 * time.Second},
		"not sent":      {Kind: NotSent, Remaining: -1},
		"limit unknown": {Kind: Answered, Limit: -1, Remaining: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFakeTime(t, func(t *testing.T, f *fleet) {
				if got := meet(t, f, hundred, o); got > time.Second {
					t.Errorf("silent for %s", got)
				}
			})
		})
	}
}

func TestRepeated429sWithoutATimeDoubleTheSilence(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		var last time.Time
		for i, want := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
			p := enter(t, g, Bulk, "a")
			if got := time.Since(last); i > 0 && (got < want-time.Millisecond || got > want+time.Second) {
				t.Errorf("429 number %d: silent for %s, want %s", i, got, want)
			}
			done(t, g, p, Outcome{Kind: Limited})
			last = time.Now()
		}
	})
}

func TestCallsStayApartWhenASilenceEndsBetweenTheirSlots(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var v vendor
		for range 3 {
			backlog(ctx, &wg, f.process(hundred), "aadhaar", Bulk, 8, &v, time.Second)
		}
		g := f.process(hundred)
		time.Sleep(20 * time.Second)
		for i := range 20 {
			p := enter(t, g, Live, "limited")
			v.call()
			time.Sleep(200 * time.Millisecond)
			done(t, g, p, Outcome{Kind: Limited, RetryAfter: time.Duration(600+i*60) * time.Millisecond})
			time.Sleep(5 * time.Second)
		}
		cancel()
		wg.Wait()
		if closest := v.closest(); closest < 600*time.Millisecond {
			t.Errorf("two calls left within %s", closest)
		}
	})
}

func TestPaceIsLoweredAfterA429AndCreepsBack(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		pace := func() float64 {
			all, _, err := g.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return all[0].PerMinute
		}
		full := pace()
		done(t, g, enter(t, g, Bulk, "a"), Outcome{Kind: Limited, RetryAfter: time.Second})
		lower := pace()
		if lower > full*0.996 || lower < full*0.9 {
			t.Errorf("pace %.1f before, %.1f after a 429", full, lower)
		}
		time.Sleep(2 * time.Minute)
		if half := pace(); half <= lower || half >= full {
			t.Errorf("pace %.2f after 2 min, want between %.2f and %.2f", half, lower, full)
		}
		time.Sleep(10 * time.Minute)
		if back := pace(); back != full {
			t.Errorf("pace %.2f after 12 min, want %.2f again", back, full)
		}
	})
}

func Test429sOfCallsThatWereOutTogetherLowerThePaceOnce(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		var out []*Permit
		for range 5 {
			out = append(out, enter(t, g, Bulk, "a"))
		}
		for _, p := range out {
			done(t, g, p, Outcome{Kind: Limited, RetryAfter: time.Second})
		}
		if cut := f.number("cut"); cut == 0 || cut > 20_000 {
			t.Errorf("five 429s at once took %d millionths off the pace", cut)
		}
		if n := f.number("limited"); n != 5 {
			t.Errorf("counted %d 429s", n)
		}
	})
}

func TestVendorsLowerLimitIsKeptAndLoggedOnce(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		var logs bytes.Buffer
		log := zerolog.New(&logs)
		var fleet []*Gate
		for range 3 {
			fleet = append(fleet, f.process(hundred, func(c *Config) { c.Log = log }))
		}
		for range 3 {
			for _, g := range fleet {
				done(t, g, enter(t, g, Bulk, "a"), Outcome{Kind: Answered, Limit: 50, Remaining: 40, Reset: time.Minute})
			}
		}
		all, _, err := fleet[0].Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st := all[0]; st.VendorLimit != 50 || st.PerMinute > 50 || st.PerMinute < 48 || st.Configured.Calls != 100 {
			t.Errorf("status: %+v", st)
		}
		if n := strings.Count(logs.String(), "lower than configured"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, &logs)
		}
		// The account was upgraded.
		done(t, fleet[0], enter(t, fleet[0], Bulk, "a"), Outcome{Kind: Answered, Limit: 200, Remaining: 150, Reset: time.Minute})
		if all, _, _ = fleet[0].Status(t.Context()); all[0].VendorLimit != 0 || all[0].PerMinute < 98 {
			t.Errorf("status after the vendor's limit rose: %+v", all[0])
		}
	})
}

func TestVisibleHeadroomRaisesThePace(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		for i := range 3 {
			done(t, g, enter(t, g, Bulk, "a"), Outcome{Kind: Answered, Limit: 100, Remaining: 99 - i, Reset: time.Minute})
		}
		all, _, err := g.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st := all[0]; st.PerMinute <= 99 || st.PerMinute >= 100 {
			t.Errorf("pace %.2f a minute, want more than 99 and less than the limit", st.PerMinute)
		}
	})
}

// A bucket of one call says Remaining 0 with every answer, and its Reset of 0.6 s comes as a whole second.
func TestBucketOfOneCallDoesNotStopTheFleetAfterEachCall(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		start := time.Now()
		const calls = 100
		for range calls {
			done(t, g, enter(t, g, Bulk, "a"), Outcome{Kind: Answered, Limit: 100, Remaining: 0, Reset: time.Second})
		}
		if used := float64(calls) * 0.6 / time.Since(start).Seconds(); used < 0.97 || used > 1 {
			t.Errorf("used %.3f of the limit", used)
		}
	})
}

func TestEmptyWindowIsObeyedWhenOthersShareTheAccount(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		done(t, g, enter(t, g, Bulk, "a"), Outcome{Kind: Answered, Limit: 100, Remaining: 60, Reset: time.Minute})
		done(t, g, enter(t, g, Bulk, "a"), Outcome{Kind: Answered, Limit: 100, Remaining: 0, Reset: time.Second})
		start := time.Now()
		enter(t, g, Bulk, "a")
		if took := time.Since(start); took < time.Second {
			t.Errorf("left %s after the vendor said: nothing for a second", took)
		}
	})
}

func TestRateSetWhileRunningHoldsForAllWithinTwoSecondsAndOverRestarts(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		rates := map[string]Rate{"aadhaar": {1, time.Minute}}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var v vendor
		var g *Gate
		for range 4 {
			g = f.process(rates)
			backlog(ctx, &wg, g, "aadhaar", Bulk, 30, &v, 100*time.Millisecond)
		}
		time.Sleep(63 * time.Second) // everybody sleeps until the next poll
		operator := f.process(rates)
		if err := operator.SetRate(ctx, "aadhaar", Rate{600, time.Minute}); err != nil {
			t.Fatal(err)
		}
		set := time.Now()
		time.Sleep(12 * time.Second)
		if n := v.between(set.Add(2*time.Second), set.Add(12*time.Second)); n < 97 || n > 100 {
			t.Errorf("%d calls in 10 s at 600/m", n)
		}
		if err := operator.SetRate(ctx, "aadhaar", Rate{60, time.Minute}); err != nil {
			t.Fatal(err)
		}
		set = time.Now()
		time.Sleep(12 * time.Second)
		if n := v.between(set.Add(2*time.Second), set.Add(12*time.Second)); n < 9 || n > 10 {
			t.Errorf("%d calls in 10 s at 60/m", n)
		}
		cancel()
		wg.Wait()

		all, _, err := f.process(rates).Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := all[0].Configured; got != (Rate{60, time.Minute}) {
			t.Errorf("a new process reads the rate %s", got)
		}
	})
}

func TestRateIsCheckedBeforeItIsSet(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		for kind, r := range map[string]Rate{"aadhaar": {0, time.Minute}, "pan": {10, time.Minute}} {
			if err := g.SetRate(t.Context(), kind, r); err == nil {
				t.Errorf("rate %v of %s was taken", r, kind)
			}
		}
	})
}
