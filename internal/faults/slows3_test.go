package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

// vendorLimit has the vendor refuse more than so many calls per second of a kind.
func vendorLimit(calls int) option {
	return func(p *config) { p.sim.Limit, p.sim.Per = calls, time.Second }
}

// TestS3Slow delays each write to S3 by 0.6 s, and for a while by 2 s more. The calls wait for their intents, but they do not
// leave together afterwards.
func TestS3Slow(t *testing.T) {
	t.Parallel()
	runS3Slow(t, 16, 3*time.Second)
}

// TestSoakS3Slow does the same with more jobs.
func TestSoakS3Slow(t *testing.T) {
	t.Parallel()
	soak(t)
	runS3Slow(t, 48, 10*time.Second)
}

func runS3Slow(t *testing.T, jobs int, slower time.Duration) {
	t.Helper()
	s := newStack(t, withLatency(100*time.Millisecond), atRate("3/s"), vendorLimit(5))
	s.enqueue(jobs)
	var extra atomic.Int64
	s.recorder.inject(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut {
			pause(t, 600*time.Millisecond+time.Duration(extra.Load()))
		}
		next.ServeHTTP(w, r)
	})
	s.startWorker()
	until(t, "some jobs are finished", func() bool { return s.charges() >= jobs/6 })
	extra.Store(int64(2 * time.Second))
	began, before := time.Now(), s.charges()
	until(t, "S3 was slower for a while", func() bool { return time.Since(began) > slower && s.charges() > before })
	if len(s.unfinished()) == 0 {
		t.Error("all jobs were finished before S3 was fast again")
	}
	extra.Store(0)
	s.verify(noLoss)
	s.verifyCalls(1)
	if n := count(s.ledger(), func(e simulator.LedgerEntry) bool { return e.Status == http.StatusTooManyRequests }); n > 0 {
		t.Errorf("%d calls were refused with 429", n)
	}
}

// TestS3ReadOnly has S3 read, but take no writes for a while. No call leaves without its intent, and none counts against the
// limit of a batch.
func TestS3ReadOnly(t *testing.T) {
	t.Parallel()
	runS3ReadOnly(t, 20, 6*time.Second)
}

// TestSoakS3ReadOnly does the same for 30 s.
func TestSoakS3ReadOnly(t *testing.T) {
	t.Parallel()
	soak(t)
	runS3ReadOnly(t, 60, 30*time.Second)
}

func runS3ReadOnly(t *testing.T, rows int, outage time.Duration) {
	t.Helper()
	s := newStack(t, withLatency(100*time.Millisecond), atRate("5/s"))
	id := s.submitBatch(rows, "--max-calls", strconv.Itoa(rows))
	s.enqueueKind(rows/3, tasks.Aadhaar, tasks.Live)
	s.startWorker()
	until(t, "calls are made", func() bool { return s.charges() >= rows/6 })
	s.recorder.inject(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			storagetest.Drop()
		}
		next.ServeHTTP(w, r)
	})
	began := time.Now()
	until(t, "S3 took no writes for a while", func() bool { return time.Since(began) > outage })
	for _, e := range s.ledger() {
		if since := e.At.Sub(began); since > 10*time.Second { // a call whose intent was written may wait for its slot
			t.Errorf("a call was made %s after the last write to S3", since)
		}
	}
	if len(s.unfinished()) == 0 {
		t.Error("all jobs were finished before S3 took writes again")
	}
	s.recorder.inject(nil)
	s.verifyFirstWrite(time.Now())
	s.verify(noLoss)
	s.verifyCalls(1)
	if status := s.verifyBatchEnded(id, rows); status.Calls != rows {
		t.Errorf("%d calls are counted against the limit, want %d", status.Calls, rows)
	}
}

// submitBatch submits a passport batch whose rows the vendor finds valid, and returns its id.
func (s *stack) submitBatch(rows int, flags ...string) (id string) {
	s.t.Helper()
	var csv strings.Builder
	csv.WriteString("verification_id,file_number,dob,name\n")
	for i := range rows {
		j := job{kind: tasks.Passport, id: fmt.Sprintf("B-%05d", i+1), want: storage.StateValid}
		_, _ = fmt.Fprintf(&csv, "%s,%s%05d7,%s,%s\n", j.id, canaryNumber, i+1, canaryDOB, canaryName)
		s.mu.Lock()
		s.accepted = append(s.accepted, j)
		s.mu.Unlock()
	}
	args := append([]string{"batch", "submit", "passport", "-", "--name", "backfill", "--json"}, flags...)
	out, stderr, code := s.run(csv.String(), args...)
	var submitted struct{ Batch string }
	if err := json.Unmarshal([]byte(out), &submitted); err != nil || code != 0 {
		s.t.Fatalf("batch submit: exit code %d, %v\n%s%s", code, err, out, stderr)
	}
	return submitted.Batch
}

// batchStatus is what kycq batch status shows; zero while it fails.
func (s *stack) batchStatus(id string) (status batch.Status) {
	s.t.Helper()
	out, _, _ := s.run("", "batch", "status", id, "--json")
	_ = json.Unmarshal([]byte(out), &status)
	return status
}

// verifyBatchEnded waits until the batch has ended with every row valid.
func (s *stack) verifyBatchEnded(id string, rows int) (status batch.Status) {
	s.t.Helper()
	until(s.t, "the batch has ended", func() bool {
		status = s.batchStatus(id)
		return status.Done
	})
	if status.Outcomes["valid"] != rows {
		s.t.Errorf("the batch has ended with %+v, want %d valid rows", status, rows)
	}
	return status
}
