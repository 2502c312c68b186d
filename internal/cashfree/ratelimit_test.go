package cashfree

import (
	"net/http"
	"testing"
	"time"
)

func TestRateHeadersAreReadInEveryFormAndCapped(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	waits := map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"30":                             30 * time.Second,
		" 30 ":                           30 * time.Second,
		"0.5":                            500 * time.Millisecond,
		"119":                            119 * time.Second,
		"121":                            120 * time.Second,
		"999999999":                      120 * time.Second,
		"1772366460":                     60 * time.Second, // Unix seconds
		"1772366460500":                  60*time.Second + 500*time.Millisecond,
		"1772366399":                     0, // past
		"9999999999999999999999999":      120 * time.Second,
		"Sun, 01 Mar 2026 12:00:45 GMT":  45 * time.Second,
		"Sunday, 01-Mar-26 12:00:45 GMT": 45 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT":  0,
		"Sun, 01 Mar 2099 11:00:00 GMT":  120 * time.Second,
		"-5":                             0,
		"Inf":                            0,
		"NaN":                            0,
		"0x10":                           0,
		"1e9":                            0,
		"1.2.3":                          0,
		"soon":                           0,
	}
	for text, want := range waits {
		h := http.Header{}
		h.Set("X-RateLimit-Reset", text)
		h.Set("Retry-After", text)
		if got := readRate(h, now); got != (Rate{Limit: -1, Remaining: -1, Reset: want, RetryAfter: want}) {
			t.Errorf("%q: got %+v, want %s", text, got, want)
		}
	}
	counts := map[string]int{
		"": -1, "100": 100, "0": 0, " 7 ": 7, "100, 100;w=60": 100, "100;w=60": 100, "-1": -1, "many": -1, "1.5": -1, "99999999999": -1,
	}
	for text, want := range counts {
		h := http.Header{}
		h.Set("X-RateLimit-Limit", text)
		h.Set("X-RateLimit-Remaining", text)
		if got := readRate(h, now); got.Limit != want || got.Remaining != want {
			t.Errorf("%q: got %+v, want %d", text, got, want)
		}
	}
}

func TestTimesAreRelativeToTheVendorsClock(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	h.Set("Date", "Sun, 01 Mar 2026 12:00:00 GMT")
	h.Set("X-RateLimit-Reset", "1772366410")
	h.Set("Retry-After", "Sun, 01 Mar 2026 12:00:20 GMT")
	ours := time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC) // three hours off
	if got := readRate(h, ours); got.Reset != 10*time.Second || got.RetryAfter != 20*time.Second {
		t.Errorf("got %+v", got)
	}
}
