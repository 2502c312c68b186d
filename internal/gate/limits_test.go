package gate

import (
	"bytes"
	"context"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/rate"
)

// meet makes one call with that outcome while a fleet of three is saturated, and returns how long no call left from 100 ms
// after it on (until then calls may be on their way).
func meet(t *testing.T, f *fleet, rates map[string]rate.Rate, o Outcome) time.Duration {
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
	p := acquire(t, g, Live, "met it")
	report(t, g, p, o)
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
		"429 with Retry-After":    {Outcome{Kind: Limited, RetryAfter: 7 * time.Second, Reset: 3 * time.Second}, 7 * time.Second},
		"429 with Reset":          {Outcome{Kind: Limited, Reset: 4 * time.Second}, 4 * time.Second},
		"429 with an absurd time": {Outcome{Kind: Limited, RetryAfter: time.Hour}, 120 * time.Second},
		"429 without a time":      {Outcome{Kind: Limited}, time.Second},
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

func TestOnlyA429CausesASilence(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Outcome{
		"no header":     {Kind: Answered},
		"reset":         {Kind: Answered, Limit: 100, Reset: 30 * time.Second},
		"not sent":      {Kind: NotSent},
		"limit unknown": {Kind: Answered, Limit: -1},
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
			p := acquire(t, g, Bulk, "a")
			if got := time.Since(last); i > 0 && (got < want-time.Millisecond || got > want+time.Second) {
				t.Errorf("429 number %d: silent for %s, want %s", i, got, want)
			}
			report(t, g, p, Outcome{Kind: Limited})
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
			p := acquire(t, g, Live, "limited")
			v.call()
			time.Sleep(200 * time.Millisecond)
			report(t, g, p, Outcome{Kind: Limited, RetryAfter: time.Duration(600+i*60) * time.Millisecond})
			time.Sleep(5 * time.Second)
		}
		cancel()
		wg.Wait()
		if closest := v.closest(); closest < 600*time.Millisecond {
			t.Errorf("two calls left within %s", closest)
		}
	})
}

func TestVendorsLowerLimitIsObeyedAndLoggedOnce(t *testing.T) {
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
				report(t, g, acquire(t, g, Bulk, "a"), Outcome{Kind: Answered, Limit: 50})
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
		report(t, fleet[0], acquire(t, fleet[0], Bulk, "a"), Outcome{Kind: Answered, Limit: 200})
		if all, _, _ = fleet[0].Status(t.Context()); all[0].VendorLimit != 0 || all[0].PerMinute < 98 {
			t.Errorf("status after the vendor's limit rose: %+v", all[0])
		}
	})
}

func TestRateSetWhileRunningIsInForceWithinTwoSecondsAndAfterRestarts(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		rates := map[string]rate.Rate{"aadhaar": {Calls: 1, Per: time.Minute}}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var v vendor
		var g *Gate
		for range 4 {
			g = f.process(rates)
			backlog(ctx, &wg, g, "aadhaar", Bulk, 30, &v, 100*time.Millisecond)
		}
		time.Sleep(63 * time.Second) // all wait for slots that are minutes ahead
		operator := f.process(rates)
		if err := operator.SetRate(ctx, "aadhaar", rate.Rate{Calls: 600, Per: time.Minute}, "asha"); err != nil {
			t.Fatal(err)
		}
		set := time.Now()
		time.Sleep(12 * time.Second)
		if n := v.between(set.Add(2*time.Second), set.Add(12*time.Second)); n < 97 || n > 100 {
			t.Errorf("%d calls in 10 s at 600/m", n)
		}
		if err := operator.SetRate(ctx, "aadhaar", rate.Rate{Calls: 60, Per: time.Minute}, "asha"); err != nil {
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
		if got := all[0].Limit(); got != (rate.Rate{Calls: 60, Per: time.Minute}) {
			t.Errorf("a new process reads the rate %s", got)
		}
	})
}

func TestRateIsCheckedBeforeItIsSet(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		for kind, r := range map[string]rate.Rate{"aadhaar": {Calls: 0, Per: time.Minute}, "pan": {Calls: 10, Per: time.Minute}} {
			if err := g.SetRate(t.Context(), kind, r, "asha"); err == nil {
				t.Errorf("rate %v of %s was taken", r, kind)
			}
		}
	})
}

// minutes makes one call now and one a minute later, n times.
func minutes(t *testing.T, g *Gate, n int) {
	t.Helper()
	for range n {
		report(t, g, acquire(t, g, Bulk, "a"), Outcome{Kind: Answered})
		time.Sleep(time.Minute)
	}
	report(t, g, acquire(t, g, Bulk, "a"), Outcome{Kind: Answered})
}

func limited(t *testing.T, g *Gate) {
	t.Helper()
	report(t, g, acquire(t, g, Bulk, "a"), Outcome{Kind: Limited, RetryAfter: time.Second})
}

func wantMargin(t *testing.T, g *Gate, when string, percent float64) {
	t.Helper()
	all, _, err := g.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := 100 - all[0].PerMinute; math.Abs(got-percent) > 1e-6 {
		t.Errorf("margin %s: %.3f %%, want %.3f", when, got, percent)
	}
}

func TestMarginShrinksWithoutA429AndDoublesAtOne(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		wantMargin(t, g, "before the first call", 2)
		minutes(t, g, 1)
		wantMargin(t, g, "after a minute", 1.75)
		minutes(t, g, 4)
		wantMargin(t, g, "after five minutes", 0.75)
		minutes(t, g, 3)
		wantMargin(t, g, "after eight minutes", 0.5)
		limited(t, g)
		wantMargin(t, g, "after a 429", 1)
		time.Sleep(time.Hour)
		minutes(t, g, 1)
		wantMargin(t, g, "after an idle hour and a minute", 0.5)
		for range 5 {
			limited(t, g)
			time.Sleep(2 * time.Second)
		}
		wantMargin(t, g, "after many 429s", 5)
		if err := g.SetRate(t.Context(), "aadhaar", rate.Rate{Calls: 100, Per: time.Minute}, "asha"); err != nil {
			t.Fatal(err)
		}
		wantMargin(t, g, "after a rate is set", 2)
		minutes(t, g, 6)
		wantMargin(t, g, "six minutes after a rate is set", 0.5)
	})
}

func TestMarginStaysAboveWhatMetA429ForADay(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		minutes(t, g, 2)
		limited(t, g) // at 1.5 %
		wantMargin(t, g, "after a 429", 3)
		minutes(t, g, 20)
		wantMargin(t, g, "20 minutes after a 429", 1.5)
		time.Sleep(23 * time.Hour)
		minutes(t, g, 2)
		wantMargin(t, g, "23 hours after a 429", 1.5)
		time.Sleep(time.Hour)
		minutes(t, g, 10)
		wantMargin(t, g, "a day after a 429", 0.5)
	})
}

func Test429sOfCallsInFlightTogetherDoubleTheMarginOnce(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(t *testing.T, f *fleet) {
		g := f.process(hundred)
		var out []*Permit
		for range 5 {
			out = append(out, acquire(t, g, Bulk, "a"))
		}
		for _, p := range out {
			report(t, g, p, Outcome{Kind: Limited, RetryAfter: time.Second})
		}
		wantMargin(t, g, "after five 429s at once", 4)
		if n := f.number("limited"); n != 5 {
			t.Errorf("counted %d 429s", n)
		}
	})
}
