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

// outage takes S3 down when a request comes that marks a step of a job, for as long as the scenario says.
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

// since is how long S3 has been down; zero before.
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

// writesState matches the write of a record in one of the states.
func writesState(states ...storage.State) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return matchesRecord(r, func(rec *storage.Record) bool { return slices.Contains(states, rec.State) })
	}
}

// matchesRecord tells whether a request writes a record that matches.
func matchesRecord(r *http.Request, match func(*storage.Record) bool) bool {
	if _, is := recordKey(r); !is || r.Method != http.MethodPut {
		return false
	}
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var rec storage.Record
	return err == nil && json.Unmarshal(body, &rec) == nil && match(&rec)
}

func requests(method, part string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == method && strings.Contains(r.URL.Path, part) }
}

var s3Steps = map[string]func(*http.Request) bool{
	"claim":        requests(http.MethodGet, "/records/"),
	"read-picture": requests(http.MethodGet, "-inbox/single/"),
	"intent":       writesState(storage.StateSent),
	"answer":       writesState(storage.StateAnswered, storage.StateInvalid),
	"mask":         requests(http.MethodPut, "/masked/"),
	"final":        writesState(storage.StateValid),
	"tail":         requests(http.MethodDelete, "-inbox/single/"),
}

// TestS3Down takes S3 away for 30 s at each step of a job. Before the call, nothing is called; after it, the answer is
// never bought again.
func TestS3Down(t *testing.T) {
	t.Parallel()
	for step, trips := range s3Steps {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, slowly(100*time.Millisecond), atRate("5/s"))
			s.enqueue(24)
			down := &outage{trips: trips}
			s.witness.spoil(down.intercept)
			s.work()
			until(t, "S3 was down for 30 s", func() bool { return down.since() > 30*time.Second })
			if down.dropped == 0 {
				t.Error("nothing met the outage")
			}
			left := len(s.open())
			down.end()
			back := time.Now()
			if left > 0 {
				s.judgeFirstWrite(back)
			}
			s.judge(nothing)
			s.judgeCalls(1)
		})
	}
}

// TestS3RepliesLost has S3 do what it is asked and lose its reply, for the first write of every state.
func TestS3RepliesLost(t *testing.T) {
	t.Parallel()
	for _, state := range []storage.State{storage.StateSent, storage.StateAnswered, storage.StateValid} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.enqueue(12)
			lost := 0
			var mu sync.Mutex
			s.witness.spoil(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
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
			s.work()
			s.judge(nothing)
			s.judgeCalls(1)
			if lost != 4 {
				t.Errorf("%d replies were lost", lost)
			}
		})
	}
}

// discard takes an answer that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

func (s *stack) judgeFirstWrite(back time.Time) {
	s.t.Helper()
	var first time.Time
	until(s.t, "something is written", func() bool {
		first = s.witness.firstWrite(back)
		return !first.IsZero()
	})
	s.t.Logf("from S3's return to the first write: %s", first.Sub(back).Round(100*time.Millisecond))
	if first.Sub(back) > mostWait {
		s.t.Errorf("the first write came %s after S3's return, want at most %s", first.Sub(back), mostWait)
	}
}
