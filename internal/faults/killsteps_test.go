package faults

import (
	"os"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
)

// idModes are the two ways in which the vendor may consume ids. Which one applies is not known: both must work.
var idModes = []string{simulator.TakeOnSuccess, simulator.TakeOnArrival}

// maxRedelivery limits the time from the death of a worker to the next delivery of its tasks. With kycq's janitor this takes
// about 15 s, with asynq alone up to 120 s. The rest is the wait for a free slot on a busy machine.
const maxRedelivery = 60 * time.Second

// TestKilledAtEachStep kills a worker with SIGKILL at each step of a job (killPoints), and starts another at once, as a
// supervisor does. Nothing is lost but the answers to calls in flight, and those jobs end as answer_lost.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	for _, mode := range idModes {
		for _, at := range killPoints {
			t.Run(mode+"/"+at.name, func(t *testing.T) {
				t.Parallel()
				killer := newTrap(at)
				s := newStack(t, takesIDs(mode), withTap(killer.command))
				s.skipReconcile()
				s.subscribe()
				s.enqueue(12)
				s.recorder.inject(killer.request)
				first := s.startWorker()
				killer.wait(t, first)
				left := s.unfinished()
				s.startWorker()
				s.verify(stoppedWorker)
				s.verifyRedelivery(first.endedAt, left)
			})
		}
	}
}

// verifyRedelivery states how long the jobs of a killed worker waited for their next delivery. Only make soak judges it.
func (s *stack) verifyRedelivery(died time.Time, left []job) {
	s.t.Helper()
	if longest := s.longestRedelivery(died, left); os.Getenv("KYCQ_SOAK") != "" && longest > maxRedelivery {
		s.t.Errorf("a job of the killed worker waited for %s, want at most %s", longest, maxRedelivery)
	}
}

func (s *stack) longestRedelivery(died time.Time, left []job) (longest time.Duration) {
	s.t.Helper()
	for _, j := range left {
		at := s.recorder.firstAccess(j, died)
		if at.IsZero() {
			s.t.Errorf("%s %s was not delivered again", j.kind, j.id)
			continue
		}
		longest = max(longest, at.Sub(died))
	}
	s.t.Logf("from the kill to the next delivery of the last job: %s", longest.Round(time.Second))
	return longest
}
