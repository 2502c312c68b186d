package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

// witness stands in front of S3 and notes every write of a record that took effect, before its writer hears of it: the
// history that the oracle judges. A fault that a scenario puts behind it is part of what the program sees, not of what is
// true.
type witness struct {
	mu     sync.Mutex
	writes map[string][]write // by records/<kind>/<id>.json
	reads  map[string][]time.Time
	fault  storagetest.Intercept
	all    []time.Time // of the writes to any bucket that took effect
}

// write is a record as it stood from a moment on.
type write struct {
	at  time.Time
	rec storage.Record
}

func newWitness() *witness {
	return &witness{writes: map[string][]write{}, reads: map[string][]time.Time{}}
}

// spoil puts a fault before the store; nil takes it away.
func (w *witness) spoil(fault storagetest.Intercept) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
}

func (w *witness) intercept(rw http.ResponseWriter, r *http.Request, next http.Handler) {
	w.mu.Lock()
	fault := w.fault
	w.mu.Unlock()
	noted := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.pass(rw, r, next) })
	if fault == nil {
		noted.ServeHTTP(rw, r)
		return
	}
	fault(rw, r, noted)
}

func (w *witness) pass(rw http.ResponseWriter, r *http.Request, next http.Handler) {
	key, isRecord := recordKey(r)
	switch {
	case r.Method == http.MethodPut && isRecord:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			storagetest.Drop()
		}
		// A writer that is killed now must not decide whether its write is noted: it takes effect to its end.
		r = r.Clone(context.WithoutCancel(r.Context()))
		r.Body = io.NopCloser(bytes.NewReader(body))
		rw = &noting{ResponseWriter: rw, done: func() { w.note(key, body) }}
	case r.Method == http.MethodPut:
		rw = &noting{ResponseWriter: rw, done: w.wrote}
	case r.Method == http.MethodGet && isRecord:
		w.mu.Lock()
		w.reads[key] = append(w.reads[key], time.Now())
		w.mu.Unlock()
	}
	next.ServeHTTP(rw, r)
}

func (w *witness) note(key string, body []byte) {
	var rec storage.Record
	if err := json.Unmarshal(body, &rec); err != nil {
		return // the oracle misses it in the history
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.all = append(w.all, now)
	w.writes[key] = append(w.writes[key], write{now, rec})
}

func (w *witness) wrote() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, time.Now())
}

// history lists the writes of a job's record.
func (w *witness) history(j job) []write {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]write(nil), w.writes[keyOf(j)]...)
}

// firstTouch is when the record was read or written first after a moment; zero if it was not. (A worker that has a job in
// hand writes without reading.)
func (w *witness) firstTouch(j job, after time.Time) (first time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	touches := slices.Clone(w.reads[keyOf(j)])
	for _, written := range w.writes[keyOf(j)] {
		touches = append(touches, written.at)
	}
	for _, at := range touches {
		if at.After(after) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// firstWrite is when anything was written first after a moment; zero if nothing was.
func (w *witness) firstWrite(after time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.all {
		if at.After(after) {
			return at
		}
	}
	return time.Time{}
}

func keyOf(j job) string { return "records/" + string(j.kind) + "/" + j.id + ".json" }

func recordKey(r *http.Request) (string, bool) {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return key, strings.HasPrefix(key, "records/") && strings.HasSuffix(key, ".json")
}

// noting calls done once the store has said yes, before the answer goes on.
type noting struct {
	http.ResponseWriter
	done func()
}

func (n *noting) WriteHeader(status int) {
	if status/100 == 2 {
		n.done()
	}
	n.ResponseWriter.WriteHeader(status)
}

func (n *noting) Unwrap() http.ResponseWriter { return n.ResponseWriter }
