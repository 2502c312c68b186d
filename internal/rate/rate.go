// Package rate holds a vendor's limit and its text form, such as 100/m.
package rate

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is a limit as the vendor states it: so many calls in a period.
type Rate struct {
	Calls int           // at least 1, at most 1,000,000
	Per   time.Duration // 1 s to 24 h
}

const (
	maxCalls = 1_000_000
	minPer   = time.Second
	maxPer   = 24 * time.Hour
)

// Parse reads "100/m", "600/6s", "5/s" or "6000/h": calls, a slash, and a unit (s, m, h) or a duration.
func Parse(text string) (Rate, error) {
	calls, per, ok := strings.Cut(strings.TrimSpace(text), "/")
	if !ok {
		return Rate{}, fmt.Errorf("rate %q: want calls/time, for example 100/m", text)
	}
	n, err := strconv.Atoi(strings.TrimSpace(calls))
	if err != nil {
		return Rate{}, fmt.Errorf("rate %q: %q is not a number of calls", text, calls)
	}
	per = strings.TrimSpace(per)
	if per == "s" || per == "m" || per == "h" {
		per = "1" + per
	}
	d, err := time.ParseDuration(per)
	if err != nil {
		return Rate{}, fmt.Errorf("rate %q: %q is neither s, m, h nor a duration such as 30s", text, per)
	}
	r := Rate{Calls: n, Per: d}
	if err := r.Validate(); err != nil {
		return Rate{}, fmt.Errorf("rate %q: %w", text, err)
	}
	return r, nil
}

// String is the form that Parse reads.
func (r Rate) String() string {
	switch r.Per {
	case time.Second:
		return fmt.Sprintf("%d/s", r.Calls)
	case time.Minute:
		return fmt.Sprintf("%d/m", r.Calls)
	case time.Hour:
		return fmt.Sprintf("%d/h", r.Calls)
	}
	return fmt.Sprintf("%d/%s", r.Calls, r.Per)
}

// PerMinute is the rate in calls a minute.
func (r Rate) PerMinute() float64 {
	if r.Per <= 0 {
		return 0
	}
	return float64(r.Calls) * float64(time.Minute) / float64(r.Per)
}

// Interval is the time between two calls at exactly this rate.
func (r Rate) Interval() time.Duration { return r.Per / time.Duration(max(r.Calls, 1)) }

// Validate returns an error if the calls or the period are out of range.
func (r Rate) Validate() error {
	if r.Calls < 1 || r.Calls > maxCalls {
		return fmt.Errorf("calls must be 1 to %d", maxCalls)
	}
	if r.Per < minPer || r.Per > maxPer {
		return fmt.Errorf("time must be %s to %s", minPer, maxPer)
	}
	return nil
}

// MarshalText is String: rates are text in JSON.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
