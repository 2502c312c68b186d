package simulator_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
)

// probe sends calls under fake time and returns which were admitted.
type probe struct {
	t   *testing.T
	sim *simulator.Simulator
	n   int
}

func newProbe(t *testing.T, cfg simulator.Config) *probe { return &probe{t: t, sim: newSim(t, cfg)} }

func (p *probe) call() reply {
	p.n++
	return call(p.sim, passportRequest("", passportBody(fmt.Sprint("id", p.n))))
}

// burst sends n calls at one moment and wants so many of them admitted.
func (p *probe) burst(n, admitted int) {
	p.t.Helper()
	got := 0
	for range n {
		if p.call().Status == 200 {
			got++
		}
	}
	if got != admitted {
		p.t.Errorf("at %v: %d of %d calls admitted, want %d", time.Now().Format("15:04:05.000"), got, n, admitted)
	}
}

// rate wants the headers of the last call; after 200 retry is "".
func (p *probe) rate(status int, remaining, reset, retry string) {
	p.t.Helper()
	got := p.call()
	h := got.Header
	if got.Status != status || h.Get("X-RateLimit-Remaining") != remaining || h.Get("X-RateLimit-Reset") != reset ||
		h.Get("Retry-After") != retry || h.Get("X-RateLimit-Limit") == "" {
		p.t.Errorf("at %v: got %d %v, want %d, remaining %s, reset %s, retry %q",
			time.Now().Format("15:04:05.000"), got.Status, h, status, remaining, reset, retry)
	}
}

func limited(window string, calls, burst int) simulator.Config {
	return simulator.Config{Limit: calls, Per: time.Minute, Window: window, Burst: burst}
}

func TestAFixedWindowResetsAtEachBorder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProbe(t, limited("fixed", 100, 0))
		pass(59*time.Second + 500*time.Millisecond) // fake time begins at a full minute
		p.rate(200, "99", "1", "")
		p.burst(150, 99)
		p.rate(429, "0", "1", "1")
		pass(500 * time.Millisecond)
		p.burst(150, 100) // twice the limit within half a second: that is the shape
		pass(20 * time.Second)
		p.rate(429, "0", "40", "40")
	})
}

func TestASlidingWindowHoldsTheLimitInEverySpan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProbe(t, limited("sliding", 100, 0))
		pass(59 * time.Second)
		p.burst(40, 40)
		pass(30 * time.Second)
		p.burst(100, 60)
		p.rate(429, "0", "30", "30")
		pass(30*time.Second - time.Nanosecond)
		p.burst(1, 0)
		pass(time.Nanosecond)
		p.rate(200, "39", "30", "") // the 40 left; the oldest is now of the 60
		p.burst(100, 39)
	})
}

func TestABucketOfOneAdmitsExactSpacingAndNothingCloser(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProbe(t, limited("bucket", 100, 0))
		for range 300 {
			p.burst(1, 1)
			pass(600 * time.Millisecond)
		}
		p.burst(2, 1)
		pass(600*time.Millisecond - time.Nanosecond)
		p.rate(429, "0", "1", "1")
		pass(time.Nanosecond)
		p.burst(1, 1)
		pass(time.Hour) // saves up no more than its burst
		p.burst(10, 1)
	})
}

func TestABucketAdmitsABurstAndThenItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProbe(t, limited("bucket", 60, 10))
		p.rate(200, "9", "1", "")
		p.burst(20, 9)
		pass(3 * time.Second)
		p.burst(20, 3)
	})
}

func TestEndpointsHaveSeparateLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := limited("fixed", 1, 0)
		cfg.Masker = blank
		p := newProbe(t, cfg)
		p.burst(2, 1)
		if got := call(p.sim, maskRequest("", "a", picture(t))); got.Status != 200 {
			t.Errorf("the other endpoint: %d", got.Status)
		}
	})
}

func TestOneAddressIsLimitedOverBothEndpoints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProbe(t, simulator.Config{LimitPerIP: 3, Masker: blank})
		p.burst(2, 2)
		call(p.sim, maskRequest("", "a", picture(t)))
		got := p.call()
		wantError(t, got, 429, "too_many_requests_per_ip")
		if got.Header.Get("Retry-After") != "60" {
			t.Errorf("headers %v", got.Header)
		}
		pass(time.Minute)
		p.burst(4, 3)
	})
}

func TestARefusedCallIsNotChargedAndKeepsItsID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := limited("fixed", 1, 0)
		cfg.TakeIDs = simulator.TakeOnArrival
		sim := newSim(t, cfg)
		call(sim, passportRequest("", passportBody("first")))
		for range 3 {
			wantError(t, call(sim, passportRequest("", passportBody("second"))), 429, "too_many_requests_per_operation")
		}
		pass(time.Minute)
		if got := call(sim, passportRequest("", passportBody("second"))); got.Status != 200 {
			t.Errorf("after the window: %d %s", got.Status, got.Raw)
		}
		if n := sim.State().Charged; n != 2 {
			t.Errorf("%d charges", n)
		}
	})
}

func TestThePeakIsTheMostCallsInAnySpan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProbe(t, limited("fixed", 10, 0))
		pass(55 * time.Second)
		p.burst(10, 10)
		pass(10 * time.Second)
		p.burst(12, 10)
		pass(5 * time.Minute)
		for range 100 {
			p.burst(1, 1)
			pass(6 * time.Second)
		}
		if peak := p.sim.State().Endpoints[simulator.Passport].PeakInWindow; peak != 22 {
			t.Errorf("peak %d, want the 22 around the minute's border", peak)
		}
	})
}
