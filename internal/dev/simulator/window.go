package simulator

import (
	"fmt"
	"time"
)

// quota holds the values of the X-RateLimit headers after a call.
type quota struct {
	limit     int
	remaining int
	// reset is the time until more calls are available; after a refusal, until the next call can be admitted.
	reset time.Duration
}

// window admits calls. It is not safe for concurrent use. Refused calls do not count.
type window interface {
	take(now time.Time) (quota, bool)
}

// Limit is a rate limit and its algorithm, as in /_sim/limit and /_sim/state.
type Limit struct {
	// Calls per Per; 0 is no limit.
	Calls int
	// Per is the length of the window; 0 is a minute.
	Per time.Duration
	// Window is "fixed", "sliding", "bucket" or "none"; empty is "fixed" if Calls is above 0.
	Window string
	// Burst is the bucket's size in calls; 0 is 1.
	Burst int
}

func (l Limit) withDefaults() Limit {
	if l.Per == 0 {
		l.Per = DefaultPer
	}
	if l.Burst == 0 {
		l.Burst = 1
	}
	if l.Window == "" {
		l.Window = "fixed"
	}
	if l.Calls == 0 {
		l.Window = "none"
	}
	return l
}

// window creates the window; nil is no limit.
func (l Limit) window() (window, error) {
	if l.Calls < 0 || l.Per < 0 || l.Burst < 0 {
		return nil, fmt.Errorf("limit %d per %v, burst %d: must not be negative", l.Calls, l.Per, l.Burst)
	}
	switch l.Window {
	case "none":
		return nil, nil
	case "fixed":
		return &fixedWindow{limit: l.Calls, per: l.Per}, nil
	case "sliding":
		return &slidingWindow{limit: l.Calls, per: l.Per}, nil
	case "bucket":
		if l.Per/time.Duration(l.Calls) == 0 {
			return nil, fmt.Errorf("limit %d per %v: more than one call per nanosecond", l.Calls, l.Per)
		}
		return &bucket{limit: l.Calls, burst: l.Burst, interval: l.Per / time.Duration(l.Calls)}, nil
	}
	return nil, fmt.Errorf("window %q: use fixed, sliding, bucket or none", l.Window)
}

// fixedWindow counts calls between multiples of its length. Up to twice the limit can pass in a span across a border.
type fixedWindow struct {
	limit, used int
	per         time.Duration
	start       time.Time
}

func (w *fixedWindow) take(now time.Time) (quota, bool) {
	if start := now.Truncate(w.per); !start.Equal(w.start) {
		w.start, w.used = start, 0
	}
	ok := w.used < w.limit
	if ok {
		w.used++
	}
	return quota{w.limit, w.limit - w.used, w.start.Add(w.per).Sub(now)}, ok
}

// slidingWindow admits a call if fewer than limit were admitted in the length before it.
type slidingWindow struct {
	at    []time.Time // of the admitted calls, a ring once it is full
	next  int         // the oldest, if the ring is full
	limit int
	per   time.Duration
}

func (w *slidingWindow) take(now time.Time) (quota, bool) {
	full := len(w.at) == w.limit
	if full {
		if free := w.at[w.next].Add(w.per); now.Before(free) {
			return quota{w.limit, 0, free.Sub(now)}, false
		}
		w.at[w.next] = now
		w.next = (w.next + 1) % w.limit
	} else {
		w.at = append(w.at, now)
	}
	live, oldest := w.live(now)
	return quota{w.limit, w.limit - live, oldest.Add(w.per).Sub(now)}, true
}

// live counts the calls in the window and finds the oldest. The ring is in order of time.
func (w *slidingWindow) live(now time.Time) (n int, oldest time.Time) {
	lo, hi := 0, len(w.at)
	for lo < hi {
		mid := (lo + hi) / 2
		if now.Before(w.at[(w.next+mid)%len(w.at)].Add(w.per)) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return len(w.at) - lo, w.at[(w.next+lo)%len(w.at)]
}

// bucket is a token bucket, stored as the time at which it is full (GCRA), in whole nanoseconds: calls spaced at exactly the
// interval are not refused because of rounding.
type bucket struct {
	limit    int // only shown
	burst    int
	interval time.Duration
	full     time.Time
}

func (b *bucket) take(now time.Time) (quota, bool) {
	full := b.full
	if full.Before(now) {
		full = now
	}
	if wait := full.Sub(now) - time.Duration(b.burst-1)*b.interval; wait > 0 {
		return quota{b.limit, 0, wait}, false
	}
	b.full = full.Add(b.interval)
	owed := b.full.Sub(now)
	remaining := b.burst - int((owed+b.interval-1)/b.interval)
	return quota{b.limit, remaining, owed}, true
}
