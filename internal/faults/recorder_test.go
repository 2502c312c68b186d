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

// recorder is a proxy in front of S3. It records every write of a record that S3 has executed, before the writer gets the
// reply: the history that the oracle checks. A fault is injected between the programs and the recorder, so that the recorder
// knows what S3 has executed although the program does not.
type recorder struct {
	keys   sync.Map // of *sync.RWMutex, by key: a record is not read between its write and the entry in writes
	mu     sync.Mutex
	writes map[string][]write // by records/<kind>/<id>.json
	reads  map[string][]time.Time
	fault  storagetest.Intercept
	all    []time.Time // of all executed writes to any bucket
}

// write is a state of a record, and when it was written.
type write struct {
	at  time.Time
	by  string // the worker, if it was one
	rec storage.Record
}

func newRecorder() *recorder {
	return &recorder{writes: map[string][]write{}, reads: map[string][]time.Time{}}
}

// inject lets a fault handle every request; nil removes it.
func (rec *recorder) inject(fault storagetest.Intercept) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.fault = fault
}

func (rec *recorder) intercept(rw http.ResponseWriter, r *http.Request, next http.Handler) {
	rec.mu.Lock()
	fault := rec.fault
	rec.mu.Unlock()
	recorded := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { rec.pass(rw, r, next) })
	if fault == nil {
		recorded.ServeHTTP(rw, r)
		return
	}
	fault(rw, r, recorded)
}

func (rec *recorder) pass(rw http.ResponseWriter, r *http.Request, next http.Handler) {
	key, isRecord := recordKey(r)
	switch {
	case r.Method == http.MethodPut && isRecord:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			storagetest.Drop()
		}
		// The write is executed and recorded although its writer is killed.
		r = r.Clone(context.WithoutCancel(r.Context()))
		r.Body = io.NopCloser(bytes.NewReader(body))
		rw = &notifier{ResponseWriter: rw, done: func() { rec.record(key, writer(r), body) }}
		lock := rec.lock(key)
		lock.Lock()
		defer lock.Unlock()
	case r.Method == http.MethodPut:
		rw = &notifier{ResponseWriter: rw, done: rec.recordTime}
	case r.Method == http.MethodGet && isRecord:
		rec.mu.Lock()
		rec.reads[key] = append(rec.reads[key], time.Now())
		rec.mu.Unlock()
		lock := rec.lock(key)
		lock.RLock()
		defer lock.RUnlock()
	}
	next.ServeHTTP(rw, r)
}

func (rec *recorder) lock(key string) *sync.RWMutex {
	lock, _ := rec.keys.LoadOrStore(key, new(sync.RWMutex))
	return lock.(*sync.RWMutex)
}

// writer is the app id that startWorker sets.
func writer(r *http.Request) string {
	_, name, _ := strings.Cut(r.UserAgent(), " app/")
	name, _, _ = strings.Cut(name, " ")
	return name
}

func (rec *recorder) record(key, by string, body []byte) {
	var written storage.Record
	if err := json.Unmarshal(body, &written); err != nil {
		return // the oracle reports that it is missing in the history
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	now := time.Now()
	rec.all = append(rec.all, now)
	rec.writes[key] = append(rec.writes[key], write{now, by, written})
}

func (rec *recorder) recordTime() {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.all = append(rec.all, time.Now())
}

// history lists the states of a job's record, the oldest first.
func (rec *recorder) history(j job) []write {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return append([]write(nil), rec.writes[keyOf(j)]...)
}

// firstAccess is when the record was first read or written after a moment; zero if it was not. (A worker that has read a
// record before writes it without reading it again.)
func (rec *recorder) firstAccess(j job, after time.Time) (first time.Time) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	accesses := slices.Clone(rec.reads[keyOf(j)])
	for _, written := range rec.writes[keyOf(j)] {
		accesses = append(accesses, written.at)
	}
	for _, at := range accesses {
		if at.After(after) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// firstWrite is when anything was first written after a moment; zero if nothing was.
func (rec *recorder) firstWrite(after time.Time) time.Time {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, at := range rec.all {
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

// notifier calls done when S3 has executed a request, before the reply is forwarded.
type notifier struct {
	http.ResponseWriter
	done func()
}

func (n *notifier) WriteHeader(status int) {
	if status/100 == 2 {
		n.done()
	}
	n.ResponseWriter.WriteHeader(status)
}

func (n *notifier) Unwrap() http.ResponseWriter { return n.ResponseWriter }
