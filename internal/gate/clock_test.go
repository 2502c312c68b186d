package gate

import (
	"testing"
	"time"
)

func TestClockTrustsTheShortestRoundTrip(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(ms float64) time.Time { return start.Add(time.Duration(ms * float64(time.Millisecond))) }
	const base = int64(1_000_000_000)
	var c clock
	if c.known() {
		t.Fatal("known before the first sample")
	}
	check := func(what string, redis int64, wantMS float64) {
		t.Helper()
		if got := c.at(base + redis).Sub(at(wantMS)); got.Abs() > 10*time.Microsecond {
			t.Errorf("%s: off by %s", what, got)
		}
	}
	c.sample(at(0), at(2), base)
	check("first sample", 5000, 6)
	c.sample(at(100), at(160), base+150_000) // true middle 151 ms; a slow answer must not move the clock to 130
	check("slow answer", 200_000, 201)
	c.sample(at(200), at(200.2), base+199_200) // better: 200.1
	check("quick answer", 300_000, 300.9)
	c.sample(at(300), at(340), base+5_299_000) // Redis' clock was set 5 s ahead
	check("clock set ahead", 5_299_000, 320)
	c.sample(at(400), at(440), base+399_000) // and back
	check("clock set back", 399_000, 420)
}
