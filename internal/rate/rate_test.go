package rate

import (
	"testing"
	"time"
)

func TestRatesAreReadAndPrinted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		rate  Rate
		print string
	}{
		"100/m":      {Rate{100, time.Minute}, "100/m"},
		" 5 / s ":    {Rate{5, time.Second}, "5/s"},
		"6000/h":     {Rate{6000, time.Hour}, "6000/h"},
		"600/6s":     {Rate{600, 6 * time.Second}, "600/6s"},
		"100/60s":    {Rate{100, time.Minute}, "100/m"},
		"1/24h":      {Rate{1, 24 * time.Hour}, "1/24h0m0s"},
		"3/1m30s":    {Rate{3, 90 * time.Second}, "3/1m30s"},
		"1000000/1h": {Rate{1_000_000, time.Hour}, "1000000/h"},
	} {
		got, err := Parse(text)
		if err != nil || got != want.rate || got.String() != want.print {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%q: printed as %q, which reads as %v, %v", text, got, again, err)
		}
	}
}

func TestBadRatesAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "100", "100/", "/m", "0/m", "-1/m", "1.5/m", "100/d", "100/0s", "100/10ms", "1/48h", "1000001/h", "100/m/s"} {
		if r, err := Parse(text); err == nil {
			t.Errorf("%q was read as %v", text, r)
		}
	}
}

func TestPerMinute(t *testing.T) {
	t.Parallel()
	for r, want := range map[Rate]float64{{100, time.Minute}: 100, {600, 6 * time.Second}: 6000, {60, time.Hour}: 1, {}: 0} {
		if got := r.PerMinute(); got != want {
			t.Errorf("%v: %v calls a minute, want %v", r, got, want)
		}
	}
}
