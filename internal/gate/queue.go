package gate

import (
	"slices"
	"sort"
)

// waiter is a caller inside Acquire.
type waiter struct {
	call   Call
	number uint64 // place in the line
	probe  probe
	result chan result // takes one
}

type result struct {
	pass *Permit
	err  error
}

// queue is a line of waiters in the order of their numbers. A job that was turned back by a 429 comes again with its
// old number.
type queue []*waiter

func (q *queue) add(w *waiter) {
	i := sort.Search(len(*q), func(i int) bool { return (*q)[i].number > w.number })
	*q = slices.Insert(*q, i, w)
}

func (q *queue) remove(w *waiter) bool {
	i := slices.Index(*q, w)
	if i < 0 {
		return false
	}
	*q = slices.Delete(*q, i, i+1)
	return true
}

// fail sends every waiter away.
func (q *queue) fail(err error) {
	for _, w := range *q {
		w.result <- result{err: err}
	}
	clear(*q)
	*q = (*q)[:0]
}
