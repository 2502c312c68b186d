package cashfree

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	unknown = -1

	// maxWait is twice the vendor's window of a minute.
	maxWait = 120 * time.Second

	// Numbers from here on are not waits but Unix times, in seconds (from 2001) or milliseconds.
	epochSeconds = 1e9
	epochMillis  = 1e12
)

// Rate holds the rate limit headers of an answer: X-RateLimit-Limit, -Remaining and -Reset on every answer, Retry-After on
// 429 (vendor page "API Rate Limits").
type Rate struct {
	// Limit and Remaining are calls in the vendor's window, or -1 if unknown.
	Limit     int
	Remaining int
	// Reset and RetryAfter are durations from now, at most 120 s; 0 if unknown or in the past.
	Reset      time.Duration
	RetryAfter time.Duration
}

// readRate treats malformed values as unknown. It measures times against the Date of the answer, if there is one, so clocks
// need not agree.
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

// readWait parses seconds, also with a fraction, a Unix time or an HTTP date.
func readWait(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	if at, err := http.ParseTime(s); err == nil {
		return capWait(at.Sub(now).Seconds())
	}
	if strings.Trim(s, "0123456789.") != "" {
		return 0 // ParseFloat accepts Inf and hexadecimal too
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
