package cashfree

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// unknown stands for a limit that the answer does not tell.
	unknown = -1

	// maxWait caps what a header can make us wait: twice the vendor's window of a minute.
	maxWait = 120 * time.Second

	// A number this big is not a wait in seconds: it is a Unix time in seconds (from 2001), or in milliseconds.
	epochSeconds = 1e9
	epochMillis  = 1e12
)

// Rate is what the answer's headers tell about the account's limit: X-RateLimit-Limit, -Remaining and -Reset on every
// answer, Retry-After on 429 (vendor page "API Rate Limits").
type Rate struct {
	// Limit and Remaining are calls in the vendor's window; -1 where unknown.
	Limit     int
	Remaining int
	// Reset and RetryAfter are waits from now, at most 120 s; 0 where unknown or past.
	Reset      time.Duration
	RetryAfter time.Duration
}

// readRate never fails: what it does not understand is unknown. A moment in time is measured against the answer's own
// Date where there is one, so that a wrong clock on either side does not matter.
func readRate(h http.Header, now time.Time) Rate {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return Rate{
		Limit:      readCount(h.Get("X-RateLimit-Limit")),
		Remaining:  readCount(h.Get("X-RateLimit-Remaining")),
		Reset:      readWait(h.Get("X-RateLimit-Reset"), now),
		RetryAfter: readWait(h.Get("Retry-After"), now),
	}
}

// readCount reads "100" and the "100, 100;w=60" of the IETF draft.
func readCount(s string) int {
	if i := strings.IndexAny(s, ",;"); i >= 0 {
		s = s[:i]
	}
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	if err != nil {
		return unknown
	}
	return int(n)
}

// readWait reads seconds (with a fraction, too), a Unix time, or an HTTP date.
func readWait(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	if at, err := http.ParseTime(s); err == nil {
		return capWait(at.Sub(now).Seconds())
	}
	if strings.Trim(s, "0123456789.") != "" {
		return 0 // ParseFloat would take Inf and hexadecimal, too
	}
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil:
		return 0
	case n >= epochMillis:
		n = n/1000 - float64(now.UnixMilli())/1000
	case n >= epochSeconds:
		n -= float64(now.UnixMilli()) / 1000
	}
	return capWait(n)
}

func capWait(seconds float64) time.Duration {
	if seconds <= 0 {
		return 0
	}
	return time.Duration(min(seconds, maxWait.Seconds()) * float64(time.Second))
}
