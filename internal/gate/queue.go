package gate

import (
	"context"
	"slices"
	"sync"
)

// waitQueue lets one caller in at a time, the one with the lowest ticket.
type waitQueue struct {
	mu      sync.Mutex
	busy    bool // a caller is in
	waiting []*waiter
}

type waiter struct {
	ticket uint64
	ready  chan struct{} // closed when the caller is in
}

// enter waits until the caller is in. The error is ctx's.
func (q *waitQueue) enter(ctx context.Context, ticket uint64) error {
	q.mu.Lock()
	if !q.busy {
		q.busy = true
		q.mu.Unlock()
		return nil
	}
	return q.wait(ctx, ticket)
}

// yield lets a caller with a lower ticket in first, if there is one. After an error the caller is not in.
func (q *waitQueue) yield(ctx context.Context, ticket uint64) error {
	q.mu.Lock()
	if len(q.waiting) == 0 || q.waiting[0].ticket > ticket {
		q.mu.Unlock()
		return nil
	}
	q.next()
	return q.wait(ctx, ticket)
}

// wait unlocks q.mu.
func (q *waitQueue) wait(ctx context.Context, ticket uint64) error {
	w := &waiter{ticket: ticket, ready: make(chan struct{})}
	i := slices.IndexFunc(q.waiting, func(other *waiter) bool { return other.ticket > ticket })
	if i < 0 {
		i = len(q.waiting)
	}
	q.waiting = slices.Insert(q.waiting, i, w)
	q.mu.Unlock()

	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	i = slices.Index(q.waiting, w)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.mu.Unlock()
	if i < 0 { // it came in at the same moment
		q.leave()
	}
	return ctx.Err()
}

// leave lets the next caller in.
func (q *waitQueue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.busy = false
		return
	}
	q.next()
}

func (q *waitQueue) next() {
	close(q.waiting[0].ready)
	q.waiting = slices.Delete(q.waiting, 0, 1)
}

// len counts the callers, including the one that is in.
func (q *waitQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) + flag(q.busy)
}

// tickets number the calls of a kind in the order in which they come. A job that got a 429 keeps its place.
type tickets struct {
	mu   sync.Mutex
	last uint64
	kept map[string]uint64 // by job
}

// maxKept bounds the memory for jobs that got a 429.
const maxKept = 1000

func (t *tickets) draw(job string) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ticket, ok := t.kept[job]; ok {
		delete(t.kept, job)
		return ticket
	}
	t.last++
	return t.last
}

func (t *tickets) keep(job string, ticket uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept == nil || len(t.kept) >= maxKept {
		t.kept = map[string]uint64{}
	}
	t.kept[job] = ticket
}
