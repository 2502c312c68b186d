package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kycq/kycq/storage"
)

var (
	blocked     = raw(403, "text/html", "<html>Request blocked</html>")
	noSuchPath  = raw(404, "text/html", "<html>404 Not Found</html>")
	maintenance = raw(200, "text/html", "<html>We will be back soon</html>")
)

// fleetStatus waits until fleet status contains all words.
func (s *stack) fleetStatus(words ...string) {
	s.t.Helper()
	eventually(s.t, func() bool {
		out, _, _ := s.run(nil, "fleet", "status")
		for _, word := range words {
			if !strings.Contains(out, word) {
				return false
			}
		}
		return true
	})
}

// A wrong URL, a firewall before all calls, and a page of maintenance: the kind is held after a few calls, the other one goes
// on, and no row is lost, failed or paid for twice.
func TestOddAnswersToAllRowsHoldTheKindUntilResumed(t *testing.T) {
	t.Parallel()
	for name, odd := range map[string]respond{"firewall": blocked, "wrong-url": noSuchPath, "maintenance": maintenance} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			var ids []string
			for i := range 12 {
				id := fmt.Sprintf("job-%d", i)
				s.vendor.plan(id, odd)
				ids = append(ids, id)
			}
			s.enqueuePassports(ids...)
			s.start("worker")
			s.fleetStatus("passport only", "is this Cashfree's API? KYCQ_CASHFREE_URL", "job passport job-")
			if n := s.vendor.total(); n < 3 || n > 3+4 { // the live concurrency of one worker
				t.Errorf("%d calls before the hold", n)
			}
			s.enqueueAadhaar("card")
			if rec := s.wait("aadhaar", "card"); rec.State != storage.StateValid {
				t.Errorf("the other kind: %s %q", rec.State, rec.Code)
			}
			before := s.vendor.total()
			for _, id := range ids {
				s.vendor.plan(id, valid)
			}
			if out, stderr, code := s.run(nil, "fleet", "resume"); code != 0 {
				t.Fatalf("fleet resume: %d %s%s", code, out, stderr)
			}
			for _, id := range ids {
				if rec := s.wait("passport", id); rec.State != storage.StateValid {
					t.Errorf("%s: %s %q", id, rec.State, rec.Code)
				}
			}
			if n := s.vendor.total() - before; n != len(ids) {
				t.Errorf("%d calls after the resume", n)
			}
			s.fleetStatus("hold: none")
		})
	}
}

func TestAFirewallThatDislikesOneRowEndsThatRowOnly(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.vendor.plan("blocked", blocked)
	s.enqueuePassports("blocked")
	s.start("worker")
	for n := 1; n < 3; n++ {
		eventually(t, func() bool { return s.vendor.count("blocked") == n })
		id := fmt.Sprintf("other-%d", n)
		s.enqueuePassports(id)
		if rec := s.wait("passport", id); rec.State != storage.StateValid {
			t.Errorf("%s: %s %q", id, rec.State, rec.Code)
		}
	}
	rec := s.wait("passport", "blocked")
	if rec.State != storage.StateFailed || rec.Code != "unexpected_status" || s.vendor.count("blocked") != 3 || rec.Message == "" {
		t.Errorf("%s %q after %d calls", rec.State, rec.Code, s.vendor.count("blocked"))
	}
	s.fleetStatus("hold: none")
}
