package faults

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestPausedWorker stops a worker with SIGSTOP for 70 s, with calls in flight, and lets it go on: by then its leases have
// run out and another worker has taken its jobs over.
func TestPausedWorker(t *testing.T) {
	t.Parallel()
	for _, mode := range idModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, takesIDs(mode), slowly(time.Second))
			s.enqueue(40)
			first := s.work()
			until(t, "calls are in flight", func() bool { return count(s.open(), s.isSent) >= 4 && s.charges() > 0 })
			first.signal(syscall.SIGSTOP)
			stopped := time.Now()
			inFlight := slices.DeleteFunc(s.open(), func(j job) bool { return !s.isSent(j) })
			// Leases live for 30 s, and asynq takes them for lost 30 s later. A recoverer looks when its worker starts.
			until(t, "the leases have run out", func() bool { return time.Since(stopped) > 62*time.Second })
			s.work()
			until(t, "70 s have passed, and a call in flight was taken over", func() bool {
				return time.Since(stopped) > 70*time.Second && count(inFlight, func(j job) bool { return s.met(j, "unknown") }) > 0
			})
			first.signal(syscall.SIGCONT)
			s.judge(outAt(stopped))
			if !first.running() {
				t.Errorf("the worker that was paused has ended:\n%s", first.output())
			}
		})
	}
}

// TestTerminatedUnderLoad ends a worker with SIGTERM in the middle of its work. It finishes the calls in flight, sends the
// other jobs back as they came, and is gone in time; nothing is called twice and nothing is lost.
func TestTerminatedUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStack(t, slowly(500*time.Millisecond), atRate("10/s"))
	s.enqueue(80)
	first := s.work()
	until(t, "the work is in full swing", func() bool { return s.charges() >= 10 && count(s.open(), s.isSent) >= 2 })
	first.signal(syscall.SIGTERM)
	asked := time.Now()
	<-first.ended
	if took := first.died.Sub(asked); took > 50*time.Second { // the call timeout (30 s), 15 s to write its answer, and a busy machine
		t.Errorf("the worker needed %s to end", took)
	}
	if code := first.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, first.output())
	}
	left := s.open()
	if len(left) == 0 {
		t.Error("the work was done before the signal came")
	}
	for _, j := range left {
		if rec := s.record(j); rec != nil && len(rec.Attempts) > 0 {
			t.Errorf("%s %s was not sent back as it came: it stands as %s after %+v", j.kind, j.id, rec.State, rec.Attempts)
		}
	}
	s.work()
	s.judge(nothing)
	s.judgeCalls(1)
}

// judgeCalls checks that no id was sent to the vendor more often than that.
func (s *stack) judgeCalls(most int) {
	s.t.Helper()
	for id, calls := range s.readBook().byID {
		if len(calls) > most {
			s.t.Errorf("%s was called %d times: %+v", id.id, len(calls), calls)
		}
	}
}
