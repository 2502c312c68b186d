package faults

import (
	"slices"
	"testing"
	"time"

	"github.com/kycq/kycq/tasks"
)

// mostWait is what the fleet may need after Redis or S3 is back.
const mostWait = 10 * time.Second

// firstCall is when the vendor was called first after a moment.
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

func (s *stack) judgeWait(what string, back, first time.Time) {
	s.t.Helper()
	s.t.Logf("from %s to the first call: %s", what, first.Sub(back).Round(100*time.Millisecond))
	if first.Sub(back) > mostWait {
		s.t.Errorf("%s: the first call came %s later, want at most %s", what, first.Sub(back), mostWait)
	}
}

// TestRedisKilledAndRestarted ends Redis with SIGKILL in the middle of the work and starts it again from its append-only
// file.
func TestRedisKilledAndRestarted(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	s := newStack(t, on(server, nil), atRate("5/s"), few)
	s.enqueue(100)
	s.work()
	s.work()
	until(t, "the work is in full swing", func() bool { return s.charges() >= 20 })
	server.process.kill()
	until(t, "the calls have stopped", func() bool { return time.Since(server.process.died) > 5*time.Second })
	onTheirWay := len(s.open())
	server.start()
	back := time.Now()
	first := s.firstCall(back)
	s.judgeWait("Redis restarted", back, first)
	s.judge(nothing)
	s.judgeCalls(1)
	if onTheirWay == 0 || !server.process.running() {
		t.Error("there was no work left when Redis came back")
	}
}

// TestRedisFlushed wipes Redis in the middle of the work, and leaves it to the workers to find all jobs in S3 again; or
// has the producer hand everything in again at the same time.
func TestRedisFlushed(t *testing.T) {
	t.Parallel()
	for _, resubmit := range []bool{false, true} {
		t.Run(map[bool]string{false: "alone", true: "resubmitted"}[resubmit], func(t *testing.T) {
			t.Parallel()
			playFlush(t, 120, resubmit)
		})
	}
}

// TestSoakRedisFlushed does so over 1,000 jobs.
func TestSoakRedisFlushed(t *testing.T) {
	t.Parallel()
	soak(t)
	for _, resubmit := range []bool{false, true} {
		t.Run(map[bool]string{false: "alone", true: "resubmitted"}[resubmit], func(t *testing.T) {
			t.Parallel()
			playFlush(t, 1000, resubmit)
		})
	}
}

func playFlush(t *testing.T, jobs int, resubmit bool) {
	t.Helper()
	server := startRedis(t)
	s := newStack(t, on(server, nil), atRate("10/s"), slowly(500*time.Millisecond))
	s.enqueue(jobs)
	s.work()
	s.work()
	until(t, "a quarter of the work is done, and calls are in flight", func() bool {
		return s.final() >= jobs/4 && count(s.open(), s.isSent) >= 2
	})
	check(t, s.redis.FlushAll(t.Context()).Err())
	if left := len(s.open()); left < jobs/4 {
		t.Errorf("only %d jobs were left when Redis was wiped", left)
	}
	if resubmit {
		s.resubmit()
	}
	n := s.judge(nothing)
	if n.charges != jobs {
		t.Errorf("%d charges for %d jobs", n.charges, jobs)
	}
	s.judgeCalls(1)
}

// resubmit hands every job in again, as a producer does that does not know how far it had come. Those whose call is in
// flight come first: a second worker then has them while the first waits for its answer.
func (s *stack) resubmit() {
	s.t.Helper()
	jobs := s.jobs()
	slices.SortStableFunc(jobs, func(a, b job) int { return rank(s.isSent(a)) - rank(s.isSent(b)) })
	for _, j := range jobs {
		var receipt tasks.Receipt
		s.insist("enqueue "+j.id+" again", func() (err error) {
			receipt, err = s.client.Enqueue(s.t.Context(), s.taskAgain(j))
			return err
		})
		if receipt.Status == tasks.AlreadyDone && receipt.Outcome != string(j.want) {
			s.t.Errorf("%s is done as %s", j.id, receipt.Outcome)
		}
	}
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// TestRedisBlackholed has Redis swallow everything for 40 s, which is longer than a lease lives.
func TestRedisBlackholed(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	thru := startProxy(t, server.addr)
	s := newStack(t, on(server, thru), atRate("5/s"), few, slowly(200*time.Millisecond))
	s.enqueue(100)
	s.work()
	s.work()
	until(t, "the work is in full swing", func() bool { return s.charges() >= 20 })
	for _, stream := range []string{"upstream", "downstream"} {
		thru.spoil(toxic{Type: "timeout", Stream: stream, Attributes: map[string]any{"timeout": 0}})
	}
	began := time.Now()
	until(t, "40 s have passed", func() bool { return time.Since(began) > 40*time.Second })
	for _, e := range s.ledger() {
		if since := e.At.Sub(began); since > 15*time.Second {
			t.Errorf("a call left %s after Redis had fallen silent: no slot can have been given out for it", since)
		}
	}
	thru.heal()
	back := time.Now()
	s.judgeWait("Redis heard again", back, s.firstCall(back))
	s.judge(nothing)
	s.judgeCalls(1)
}
