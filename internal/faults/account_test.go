package faults

import (
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/tasks"
)

// bulkHands is how many bulk jobs of a kind a worker has in hand: the default.
const bulkHands = 8

// TestBalanceOut lets the balance run out in the middle of a backfill. The fleet stops by itself after at most one further
// call for each hand and one; topped up and resumed, every job ends well.
func TestBalanceOut(t *testing.T) {
	t.Parallel()
	s := newStack(t, takesIDs(simulator.TakeOnSuccess))
	s.sim.Sim.SetBalance(30)
	s.enqueueKind(80, tasks.Passport, tasks.Bulk)
	w := s.work()
	s.waitForHold(w)
	refused := count(s.ledger(), func(e simulator.Entry) bool { return e.Code == "insufficient_balance" })
	t.Logf("%d further calls after the first refusal", refused-1)
	between(t, "calls that were refused", refused, 1, 1+bulkHands+1)
	s.sim.Sim.SetBalance(1000)
	s.resume()
	n := s.judge(nothing)
	if n.charges != 80 {
		t.Errorf("got %v", n)
	}
}

// TestCredentialsWrong refuses the account's credentials, and mends them. In both id modes: a refusal never uses up an id.
func TestCredentialsWrong(t *testing.T) {
	t.Parallel()
	for _, mode := range idModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, takesIDs(mode))
			s.sim.Sim.SetCredentials(clientID, "another-secret-by-now")
			s.enqueue(40)
			w := s.work()
			s.waitForHold(w)
			if s.charges() != 0 {
				t.Errorf("%d charges with wrong credentials", s.charges())
			}
			s.sim.Sim.SetCredentials(clientID, canarySecret)
			s.resume()
			s.judge(nothing)
		})
	}
}

// TestResumedTooEarly resumes a hold whose cause is still there: one call finds out, and the hold stands again.
func TestResumedTooEarly(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sim.Sim.SetBalance(0)
	s.enqueueKind(20, tasks.Passport, tasks.Bulk)
	w := s.work()
	s.waitForHold(w)
	before := len(s.ledger())
	s.resume()
	until(t, "the probe was refused", func() bool { return len(s.ledger()) > before })
	until(t, "the hold stands again", func() bool { return s.held() })
	between(t, "calls of the probe", len(s.ledger())-before, 1, 1)
	s.sim.Sim.SetBalance(-1)
	s.resume()
	s.judge(nothing)
}

// waitForHold waits until the fleet is on hold and nothing is out any more.
func (s *stack) waitForHold(w *process) {
	s.t.Helper()
	until(s.t, "the fleet is on hold", func() bool { return s.held() })
	until(s.t, "nothing is out any more", func() bool { return s.sim.Sim.State().InFlight == 0 && count(s.open(), s.isSent) == 0 })
	if n := strings.Count(w.output(), "the whole fleet is on hold"); n != 1 {
		s.t.Errorf("the log says %d times that the fleet is on hold", n)
	}
	if len(s.open()) == 0 {
		s.t.Error("no job was left to be held")
	}
}

// held asks as an operator does.
func (s *stack) held() bool {
	s.t.Helper()
	out, stderr, code := s.run("", "fleet", "status", "--json")
	if out == "" {
		s.t.Fatalf("fleet status: exit code %d\n%s", code, stderr)
	}
	return strings.Contains(out, `"next_action"`) && !strings.Contains(out, `"probing": true`)
}

func (s *stack) resume() {
	s.t.Helper()
	if _, stderr, code := s.run("", "fleet", "resume"); code != 0 {
		s.t.Fatalf("fleet resume: exit code %d\n%s", code, stderr)
	}
}
