package faults

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/tasks"
)

// bulkConcurrency is how many bulk jobs of a kind a worker runs at once by default.
const bulkConcurrency = 8

// TestBalanceOut lets the balance run out in the middle of a backfill. The fleet goes on hold after at most concurrency + 1
// further calls. After a top-up and a resume, every job ends as the vendor decides.
func TestBalanceOut(t *testing.T) {
	t.Parallel()
	s := newStack(t, takesIDs(simulator.TakeOnSuccess))
	s.sim.Sim.SetBalance(30)
	s.enqueueKind(80, tasks.Passport, tasks.Bulk)
	w := s.startWorker()
	s.waitForHold(w)
	refused := count(s.ledger(), func(e simulator.LedgerEntry) bool { return e.Code == "insufficient_balance" })
	t.Logf("%d further calls after the first refusal", refused-1)
	between(t, "refused calls", refused, 1, 1+bulkConcurrency+1)
	s.sim.Sim.SetBalance(1000)
	s.resume()
	n := s.verify(noLoss)
	if n.charges != 80 {
		t.Errorf("got %v", n)
	}
}

// TestCredentialsWrong has the vendor refuse the credentials, and corrects them. A refusal consumes no id in either id mode.
func TestCredentialsWrong(t *testing.T) {
	t.Parallel()
	for _, mode := range idModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, takesIDs(mode))
			s.sim.Sim.SetCredentials(clientID, "another-secret-by-now")
			s.enqueue(40)
			w := s.startWorker()
			s.waitForHold(w)
			if s.charges() != 0 {
				t.Errorf("%d charges with wrong credentials", s.charges())
			}
			s.sim.Sim.SetCredentials(clientID, canarySecret)
			s.resume()
			s.verify(noLoss)
		})
	}
}

// TestResumedTooEarly resumes a hold whose cause is not fixed: one test call is made, and the fleet is on hold again.
func TestResumedTooEarly(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sim.Sim.SetBalance(0)
	s.enqueueKind(20, tasks.Passport, tasks.Bulk)
	w := s.startWorker()
	s.waitForHold(w)
	before := len(s.ledger())
	s.resume()
	until(t, "the test call was refused", func() bool { return len(s.ledger()) > before })
	until(t, "the fleet is on hold again", func() bool { return s.held() })
	between(t, "test calls", len(s.ledger())-before, 1, 1)
	s.sim.Sim.SetBalance(-1)
	s.resume()
	s.verify(noLoss)
}

// TestPausedAndRedisFlushed empties Redis while the fleet is paused. The workers restore the pause before any call.
func TestPausedAndRedisFlushed(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	s := newStack(t, onRedis(server, nil))
	s.startWorker()
	until(t, "the worker has started", func() bool {
		out, _, _ := s.run("", "fleet", "status", "--json")
		return strings.Contains(out, `"hold": null`) && !strings.Contains(out, `"restoring"`)
	})
	s.pauseFleet()
	s.enqueueKind(20, tasks.Passport, tasks.Bulk)
	check(t, s.redis.FlushAll(t.Context()).Err())
	s.awaitPause()
	until(t, "the jobs are enqueued again", func() bool {
		n, err := s.redis.LLen(t.Context(), "asynq:{passport-bulk}:pending").Result()
		return err == nil && n > 0
	})
	if calls := len(s.ledger()); calls > 0 {
		t.Errorf("%d calls through the pause", calls)
	}
	s.resume()
	s.verify(noLoss)
}

// waitForHold waits until the fleet is on hold and no call is in flight.
func (s *stack) waitForHold(w *process) {
	s.t.Helper()
	until(s.t, "the fleet is on hold", func() bool { return s.held() })
	until(s.t, "no call is in flight", func() bool { return s.sim.Sim.State().InFlight == 0 && count(s.unfinished(), s.isSent) == 0 })
	if n := strings.Count(w.output(), "the whole fleet is on hold"); n != 1 {
		s.t.Errorf("the hold was logged %d times", n)
	}
	if len(s.unfinished()) == 0 {
		s.t.Error("every job was finished before the hold")
	}
}

// held reports whether kycq fleet status shows a hold.
func (s *stack) held() bool {
	s.t.Helper()
	out, stderr, code := s.run("", "fleet", "status", "--json")
	if out == "" {
		s.t.Fatalf("fleet status: exit code %d\n%s", code, stderr)
	}
	var status struct{ Holds []hold.Hold }
	check(s.t, json.Unmarshal([]byte(out), &status))
	return slices.ContainsFunc(status.Holds, func(h hold.Hold) bool { return !h.Probing })
}
