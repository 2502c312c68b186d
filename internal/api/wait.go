package api

import (
	"context"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

const (
	maxWait = 25 * time.Second
	// waitPause is the time between two reads of S3. Redis usually wakes the request before.
	waitPause = 2 * time.Second
	// maxWaiters limits the requests that wait at once, maxWaitersOfKey those of one key. Beyond that, the answer comes at once.
	maxWaiters, maxWaitersOfKey = 1000, 20
)

var waitForm = regexp.MustCompile(`(?:^|[,;\s])wait=([0-9]{1,6})(?:$|[,;\s])`)

// waitOf returns how long a request asks to wait (Prefer: wait=N), at most maxWait.
func waitOf(prefer string) time.Duration {
	m := waitForm.FindStringSubmatch(prefer)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1]) // at most six digits
	return min(time.Duration(n)*time.Second, maxWait)
}

// waiters are the requests that wait for jobs.
type waiters struct {
	mu    sync.Mutex
	jobs  map[string][]chan struct{}
	keys  map[string]int
	total int
}

func newWaiters() *waiters {
	return &waiters{jobs: map[string][]chan struct{}{}, keys: map[string]int{}}
}

func (w *waiters) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

// add returns a channel that wake sends to; ok is false if there are too many waiters.
func (w *waiters) add(key, job string) (woken chan struct{}, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.total >= maxWaiters || w.keys[key] >= maxWaitersOfKey {
		return nil, false
	}
	woken = make(chan struct{}, 1)
	w.jobs[job] = append(w.jobs[job], woken)
	w.keys[key]++
	w.total++
	return woken, true
}

func (w *waiters) remove(key, job string, woken chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, other := range w.jobs[job] {
		if other == woken {
			w.jobs[job] = append(w.jobs[job][:i:i], w.jobs[job][i+1:]...)
		}
	}
	if len(w.jobs[job]) == 0 {
		delete(w.jobs, job)
	}
	if w.keys[key]--; w.keys[key] == 0 {
		delete(w.keys, key)
	}
	w.total--
}

// wake wakes the requests that wait for a job. A late or lost event delays them by waitPause at most.
func (w *waiters) wake(kind, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, woken := range w.jobs[kind+"/"+id] {
		select {
		case woken <- struct{}{}:
		default:
		}
	}
}

// await returns the record of a job as soon as it is final, or as it is after d, at a shutdown, or at once if too many wait.
func (a *API) await(ctx context.Context, c *call, kind tasks.Kind, id string, d time.Duration) (*storage.Record, error) {
	job := string(kind) + "/" + id
	woken, ok := a.waiters.add(c.key.Name, job) // before the first read, so that no event is missed
	if ok {
		defer a.waiters.remove(c.key.Name, job, woken)
	}
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	read := time.NewTicker(waitPause)
	defer read.Stop()
	for {
		rec, _, err := a.cfg.Store.Record(ctx, kind, id)
		if err != nil || rec.State.Final() || !ok || d == 0 {
			return rec, err
		}
		select {
		case <-woken:
		case <-read.C:
		case <-deadline.C:
			return rec, nil
		case <-a.stopping:
			return rec, nil
		case <-ctx.Done(): // the client has gone
			return rec, nil
		}
	}
}
