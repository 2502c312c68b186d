package faults

import (
	"testing"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
)

// idModes are the two ways in which the vendor may use up ids. Which one it has is not known; both must work.
var idModes = []string{simulator.TakeOnSuccess, simulator.TakeOnArrival}

// mostWaits is what a dead worker may cost. Its tasks come back after 60 to 70 s (a lease, a margin, a look of the
// janitor's); asynq alone would need up to 120 s. The rest is for the wait for a free hand.
const mostWaits = 125 * time.Second

// TestKilledAtEachStep kills a worker with SIGKILL when its second job is at a named step, and starts another at once, as
// a supervisor does. Nothing is lost but the answers that were on their way, and each of those jobs is left to a person.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	for _, mode := range idModes {
		for _, at := range killPoints {
			t.Run(mode+"/"+at.name, func(t *testing.T) {
				t.Parallel()
				killer := newTrap(at)
				s := newStack(t, takesIDs(mode), tapped(killer.command))
				s.skipRebuild()
				s.enqueue(12)
				s.witness.spoil(killer.request)
				first := s.work()
				killer.wait(t, first)
				left := s.open()
				s.work()
				s.judge(outAt(first.died))
				s.judgeReturn(first.died, left)
			})
		}
	}
}

// judgeReturn checks how long the jobs of a dead worker waited until somebody saw to them.
func (s *stack) judgeReturn(died time.Time, left []job) {
	s.t.Helper()
	if longest := s.longestReturn(died, left); longest > mostWaits {
		s.t.Errorf("a dead worker's job waited for %s, want at most %s", longest, mostWaits)
	}
}

func (s *stack) longestReturn(died time.Time, left []job) (longest time.Duration) {
	s.t.Helper()
	for _, j := range left {
		at := s.witness.firstTouch(j, died)
		if at.IsZero() {
			s.t.Errorf("%s %s was never looked at again", j.kind, j.id)
			continue
		}
		longest = max(longest, at.Sub(died))
	}
	s.t.Logf("from the worker's death to the last job's next execution: %s", longest.Round(time.Second))
	return longest
}
