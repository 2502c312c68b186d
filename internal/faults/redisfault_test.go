package faults

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/kycq/kycq/tasks"
)

// maxRecovery limits the time from the return of Redis or S3 to the first call or write.
const maxRecovery = 10 * time.Second

// firstCall is when the vendor was first called after a moment.
func (s *stack) firstCall(after time.Time) (at time.Time) {
	s.t.Helper()
	until(s.t, "the vendor is called again", func() bool {
		for _, e := range s.ledger() {
			if e.At.After(after) {
				at = e.At
				return true
			}
		}
		return false
	})
	return at
}

// verifyRecovery states how long it took from the return of a server to the first call or write. Only make soak, which has the
// machine for itself, judges it.
func (s *stack) verifyRecovery(what string, back, first time.Time) {
	s.t.Helper()
	took := first.Sub(back).Round(100 * time.Millisecond)
	s.t.Logf("%s: it went on after %s", what, took)
	if os.Getenv("KYCQ_SOAK") != "" && took > maxRecovery {
		s.t.Errorf("%s: it went on after %s, want at most %s", what, took, maxRecovery)
	}
}

// TestRedisKilledAndRestarted kills Redis while jobs are processed, and restarts it from its append-only file.
func TestRedisKilledAndRestarted(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	s := newStack(t, onRedis(server, nil), atRate("5/s"), lowConcurrency)
	s.enqueue(100)
	s.startWorker()
	s.startWorker()
	until(t, "many jobs are in progress", func() bool { return s.charges() >= 20 })
	server.process.kill()
	until(t, "the calls have stopped", func() bool { return time.Since(server.process.endedAt) > 5*time.Second })
	unfinished := len(s.unfinished())
	server.start()
	back := time.Now()
	first := s.firstCall(back)
	s.verifyRecovery("Redis restarted", back, first)
	s.verify(noLoss)
	s.verifyCalls(1)
	if unfinished == 0 || !server.process.running() {
		t.Error("all jobs were finished when Redis was restarted")
	}
}

// TestRedisFlushed empties Redis while jobs are processed. The workers find all jobs in S3, in one variant while the
// producer submits them again.
func TestRedisFlushed(t *testing.T) {
	t.Parallel()
	for _, resubmit := range []bool{false, true} {
		t.Run(map[bool]string{false: "alone", true: "resubmitted"}[resubmit], func(t *testing.T) {
			t.Parallel()
			runFlush(t, 80, resubmit)
		})
	}
}

// TestSoakRedisFlushed does the same with 1,000 jobs.
func TestSoakRedisFlushed(t *testing.T) {
	t.Parallel()
	soak(t)
	for _, resubmit := range []bool{false, true} {
		t.Run(map[bool]string{false: "alone", true: "resubmitted"}[resubmit], func(t *testing.T) {
			t.Parallel()
			runFlush(t, 1000, resubmit)
		})
	}
}

func runFlush(t *testing.T, jobs int, resubmit bool) {
	t.Helper()
	server := startRedis(t)
	s := newStack(t, onRedis(server, nil), atRate("6/s"), withLatency(500*time.Millisecond))
	s.enqueue(jobs)
	s.startWorker()
	s.startWorker()
	until(t, "a quarter of the jobs is finished, and calls are in flight", func() bool {
		return s.finished() >= jobs/4 && count(s.unfinished(), s.isSent) >= 2
	})
	s.enqueue(jobs / 2) // however far the workers have come while the condition was read
	check(t, s.redis.FlushAll(t.Context()).Err())
	if len(s.unfinished()) == 0 {
		t.Error("all jobs were finished when Redis was emptied")
	}
	if resubmit {
		s.resubmit()
	}
	n := s.verify(noLoss)
	if all := len(s.jobs()); n.charges != all {
		t.Errorf("%d charges for %d jobs", n.charges, all)
	}
	s.verifyCalls(1)
}

// resubmit submits every job again, as a producer does that has lost its position. Jobs with a call in flight come first: a
// second worker gets them while the first one waits for the answer.
func (s *stack) resubmit() {
	s.t.Helper()
	jobs := s.jobs()
	sent := slices.DeleteFunc(slices.Clone(jobs), func(j job) bool { return !s.isSent(j) })
	others := slices.DeleteFunc(jobs, func(j job) bool { return slices.Contains(sent, j) })
	for _, j := range append(sent, others...) {
		var receipt tasks.Receipt
		s.retry("enqueue "+j.id+" again", func() (err error) {
			receipt, err = s.client.Enqueue(s.t.Context(), s.taskAgain(j))
			return err
		})
		if receipt.Status == tasks.AlreadyDone && receipt.Outcome != string(j.want) {
			s.t.Errorf("%s is finished as %s", j.id, receipt.Outcome)
		}
	}
}

// TestRedisBlackholed has Redis swallow all traffic for 40 s, longer than the life of a lease (30 s).
func TestRedisBlackholed(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	thru := startProxy(t, server.addr)
	s := newStack(t, onRedis(server, thru), atRate("5/s"), lowConcurrency, withLatency(200*time.Millisecond))
	s.enqueue(100)
	s.startWorker()
	s.startWorker()
	until(t, "many jobs are in progress", func() bool { return s.charges() >= 20 })
	for _, stream := range []string{"upstream", "downstream"} {
		thru.addToxic(toxic{Type: "timeout", Stream: stream, Attributes: map[string]any{"timeout": 0}})
	}
	began := time.Now()
	until(t, "40 s have passed", func() bool { return time.Since(began) > 40*time.Second })
	for _, e := range s.ledger() {
		if since := e.At.Sub(began); since > 15*time.Second {
			t.Errorf("a call was sent %s after Redis had become unreachable: no slot can have been assigned to it", since)
		}
	}
	thru.removeToxics()
	back := time.Now()
	s.verifyRecovery("Redis reachable", back, s.firstCall(back))
	s.verify(noLoss)
	s.verifyCalls(1)
}
