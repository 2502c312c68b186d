package faults

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/kycq/kycq/storage"
)

// TestPausedWorker stops a worker with SIGSTOP for 70 s with calls in flight, and continues it. Its leases have expired by
// then, and another worker has taken over its jobs.
func TestPausedWorker(t *testing.T) {
	t.Parallel()
	for _, mode := range idModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, takesIDs(mode), withLatency(time.Second))
			s.enqueue(40)
			first := s.startWorker()
			until(t, "calls are in flight", func() bool { return count(s.unfinished(), s.isSent) >= 4 && s.charges() > 0 })
			first.signal(syscall.SIGSTOP)
			stopped := time.Now()
			inFlight := slices.DeleteFunc(s.unfinished(), func(j job) bool { return !s.isSent(j) })
			// A lease lives for 30 s, and asynq waits for another 30 s. A recoverer runs when its worker starts.
			until(t, "the leases have expired", func() bool { return time.Since(stopped) > 62*time.Second })
			s.startWorker()
			until(t, "70 s have passed, and a call in flight was taken over", func() bool {
				return time.Since(stopped) > 70*time.Second && count(inFlight, func(j job) bool { return s.met(j, "unknown") }) > 0
			})
			first.signal(syscall.SIGCONT)
			s.waitUntilDone()
			if !first.running() {
				t.Errorf("the worker that was stopped has exited:\n%s", first.output())
			}
			// The answers that it still held replace answer_lost. It writes them before it exits.
			first.terminate()
			s.verify(stoppedWorker)
		})
	}
}

// TestTerminatedUnderLoad ends a worker with SIGTERM while it is busy. It finishes its calls in flight, returns its other jobs
// to their queues without a call, and exits in time. Nothing is called twice.
func TestTerminatedUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStack(t, withLatency(500*time.Millisecond), atRate("10/s"))
	s.enqueue(80)
	first := s.startWorker()
	until(t, "many jobs are in progress", func() bool { return s.charges() >= 10 && count(s.unfinished(), s.isSent) >= 2 })
	s.enqueue(20) // however far the worker has come while the condition was read
	first.signal(syscall.SIGTERM)
	signalled := time.Now()
	<-first.ended
	if took := first.endedAt.Sub(signalled); took > 50*time.Second { // the call timeout (30 s), 15 s to write the answer, and a busy machine
		t.Errorf("the worker needed %s to exit", took)
	}
	if code := first.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, first.output())
	}
	left := s.unfinished()
	if len(left) == 0 {
		t.Error("all jobs were finished before the signal")
	}
	for _, j := range left {
		// An intent whose slot had passed may have been withdrawn.
		if rec := s.record(j); rec != nil && slices.ContainsFunc(rec.Attempts, func(at storage.Attempt) bool { return at.Result != "not_sent" }) {
			t.Errorf("%s %s was not returned without a call: it is %s after %+v", j.kind, j.id, rec.State, rec.Attempts)
		}
	}
	s.startWorker()
	s.verify(noLoss)
	s.verifyCalls(1)
}

// verifyCalls checks that no id was sent to the vendor more than limit times.
func (s *stack) verifyCalls(limit int) {
	s.t.Helper()
	for id, calls := range s.callsByID() {
		if len(calls) > limit {
			s.t.Errorf("%s was called %d times: %+v", id.id, len(calls), calls)
		}
	}
}
