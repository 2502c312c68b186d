package simulator

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// operation is the rate limit of an endpoint, and the peak of its calls.
type operation struct {
	mu     sync.Mutex
	limit  Limit
	window window // nil: no limit
	seen   meter
}

func newOperation(l Limit) (*operation, error) {
	o := &operation{}
	return o, o.setLimit(l)
}

// setLimit starts a new window and resets the peak.
func (o *operation) setLimit(l Limit) error {
	l = l.withDefaults()
	w, err := l.window()
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limit, o.window, o.seen = l, w, meter{per: l.Per}
	return nil
}

// admit counts a call. The quota is nil if there is no limit.
func (o *operation) admit(now time.Time) (*quota, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen.count(now)
	if o.window == nil {
		return nil, true
	}
	q, ok := o.window.take(now)
	return &q, ok
}

func (o *operation) state() (l Limit, peak int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.limit, o.seen.peak
}

// meter records the most calls in any span of its length, including refused ones. It takes eight bytes per call.
type meter struct {
	per  time.Duration
	at   []int64 // nanoseconds, the oldest at head
	head int
	peak int
}

func (m *meter) count(now time.Time) {
	ns := now.UnixNano()
	for m.head < len(m.at) && ns-m.at[m.head] >= int64(m.per) {
		m.head++
	}
	if m.head > len(m.at)/2 {
		m.at, m.head = append(m.at[:0], m.at[m.head:]...), 0
	}
	m.at = append(m.at, ns)
	m.peak = max(m.peak, len(m.at)-m.head)
}

// addresses limits the calls per address to both endpoints.
type addresses struct {
	mu    sync.Mutex
	limit int // 0: none
	per   time.Duration
	start time.Time
	used  map[netip.Addr]int
}

// admit clears the map when a new window begins, which bounds its size.
func (a *addresses) admit(from netip.Addr, now time.Time) (quota, bool) {
	if a.limit == 0 {
		return quota{}, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if start := now.Truncate(a.per); !start.Equal(a.start) || a.used == nil {
		a.start, a.used = start, make(map[netip.Addr]int)
	}
	ok := a.used[from] < a.limit
	if ok {
		a.used[from]++
	}
	return quota{a.limit, a.limit - a.used[from], a.start.Add(a.per).Sub(now)}, ok
}

// write sets the vendor's three headers. Reset is in whole seconds, rounded up.
func (q quota) write(h http.Header) {
	h.Set("X-RateLimit-Limit", strconv.Itoa(q.limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(q.remaining))
	h.Set("X-RateLimit-Reset", seconds(q.reset))
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10)
}
