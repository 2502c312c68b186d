package faults

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

// outage drops every request to S3 from the first one that trips it until end.
type outage struct {
	trips func(*http.Request) bool

	mu      sync.Mutex
	began   time.Time
	ended   bool
	dropped int
}

func (o *outage) intercept(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if o.down(r) {
		storagetest.Drop()
	}
	next.ServeHTTP(w, r)
}

func (o *outage) down(r *http.Request) bool {
	trips := o.trips(r)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended || o.began.IsZero() && !trips {
		return false
	}
	if o.began.IsZero() {
		o.began = time.Now()
	}
	o.dropped++
	return true
}

// since is how long the outage has lasted; zero before it.
func (o *outage) since() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.began.IsZero() {
		return 0
	}
	return time.Since(o.began)
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
}

// writesState matches requests that write a record in one of the states.
func writesState(states ...storage.State) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return matchesRecord(r, func(rec *storage.Record) bool { return slices.Contains(states, rec.State) })
	}
}

// matchesRecord reports whether a request writes a record that matches.
func matchesRecord(r *http.Request, match func(*storage.Record) bool) bool {
	if _, is := recordKey(r); !is || r.Method != http.MethodPut {
		return false
	}
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var rec storage.Record
	return err == nil && json.Unmarshal(body, &rec) == nil && match(&rec)
}

// requests matches by method and a part of the path, except the tests of permissions at the start of a worker.
func requests(method, part string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == method && strings.Contains(r.URL.Path, part) && !strings.Contains(r.URL.Path, "/probe-")
	}
}

var s3Steps = map[string]func(*http.Request) bool{
	"claim":      requests(http.MethodGet, "/records/"),
	"read-image": requests(http.MethodGet, "-inbox/single/"),
	"intent":     writesState(storage.StateSent),
	"answer":     writesState(storage.StateAnswered, storage.StateInvalid),
	"mask":       requests(http.MethodPut, "/masked/"),
	"final":      writesState(storage.StateValid),
	"tail":       requests(http.MethodDelete, "-inbox/single/"),
}

// TestS3Down makes S3 unreachable for 30 s at each step of a job. A job whose intent cannot be written is not called, and
// none is called twice.
func TestS3Down(t *testing.T) {
	t.Parallel()
	for step, trips := range s3Steps {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, withLatency(100*time.Millisecond), atRate("5/s"))
			s.enqueue(24)
			down := &outage{trips: trips}
			s.recorder.inject(down.intercept)
			s.startWorker()
			until(t, "S3 was down for 30 s", func() bool { return down.since() > 30*time.Second })
			if down.dropped == 0 {
				t.Error("no request was dropped")
			}
			left := len(s.unfinished())
			down.end()
			back := time.Now()
			if left > 0 {
				s.verifyFirstWrite(back)
			}
			s.verify(noLoss)
			s.verifyCalls(1)
		})
	}
}

// TestS3RepliesLost has S3 execute a write and drop its reply, for the first writes of each state.
func TestS3RepliesLost(t *testing.T) {
	t.Parallel()
	for _, state := range []storage.State{storage.StateSent, storage.StateAnswered, storage.StateValid} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.enqueue(12)
			lost := 0
			var mu sync.Mutex
			s.recorder.inject(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				mu.Lock()
				hit := lost < 4 && writesState(state)(r)
				if hit {
					lost++
				}
				mu.Unlock()
				if !hit {
					next.ServeHTTP(w, r)
					return
				}
				next.ServeHTTP(discard{http.Header{}}, r)
				storagetest.Drop()
			})
			s.startWorker()
			s.verify(noLoss)
			s.verifyCalls(1)
			if lost != 4 {
				t.Errorf("%d replies were dropped, want 4", lost)
			}
		})
	}
}

// discard is a ResponseWriter that drops the reply.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

func (s *stack) verifyFirstWrite(back time.Time) {
	s.t.Helper()
	var first time.Time
	until(s.t, "S3 is written to", func() bool {
		first = s.recorder.firstWrite(back)
		return !first.IsZero()
	})
	s.verifyRecovery("S3 writable", back, first)
}
