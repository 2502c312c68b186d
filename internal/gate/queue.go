package gate

import (
	"slices"
	"sync"
	"time"
)

// lane is the wait queue of one kind and lane. The first caller asks Redis for slots.
type lane struct {
	mu       sync.Mutex
	waiting  []*waiter // by ticket
	estimate int64     // see take.lua
	ask      time.Time // when to ask next
}

type waiter struct {
	ticket uint64
	woken  chan struct{} // takes one: the plan has changed
}

func (l *lane) enter(ticket uint64) *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &waiter{ticket: ticket, woken: make(chan struct{}, 1)}
	i := len(l.waiting)
	for i > 0 && l.waiting[i-1].ticket > ticket {
		i--
	}
	l.wake() // it may no longer be the first
	l.waiting = slices.Insert(l.waiting, i, w)
	return w
}

func (l *lane) leave(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(other *waiter) bool { return other == w })
	if len(l.waiting) == 0 {
		l.estimate, l.ask = 0, time.Time{}
	}
	l.wake()
}

// plan sets the estimate of the lane and when its first caller asks.
func (l *lane) plan(estimate int64, ask time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.estimate, l.ask = estimate, ask
	l.wake()
}

func (l *lane) wake() {
	if len(l.waiting) > 0 {
		select {
		case l.waiting[0].woken <- struct{}{}:
		default:
		}
	}
}

// next returns the estimate of the lane and a timer for when the caller asks, nil while it is not the first.
func (l *lane) next(w *waiter) (estimate int64, due <-chan time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[0] != w {
		return 0, nil
	}
	d := time.Until(l.ask)
	if d > maxSleep+maxSleep/4 {
		d = maxSleep
	}
	return l.estimate, time.After(d)
}

func (l *lane) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// tickets number the calls of a kind in the order in which they come. A job that got a 429
// or gave its slot back keeps its place.
type tickets struct {
	mu   sync.Mutex
	last uint64
	kept map[string]uint64 // by job
}

func (t *tickets) draw(job string) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	ticket, ok := t.kept[job]
	if !ok {
		t.last++
		ticket = t.last
	}
	delete(t.kept, job)
	return ticket
}

func (t *tickets) keep(job string, ticket uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept == nil || len(t.kept) >= 1000 { // bounds the memory
		t.kept = map[string]uint64{}
	}
	t.kept[job] = ticket
}
