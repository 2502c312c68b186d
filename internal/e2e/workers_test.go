package e2e

import (
	"encoding/json"
	"net/http"
	"testing"
)

// TestWorkersAreListedWhileTheyAreAlive also sees a call in flight.
func TestWorkersAreListedWhileTheyAreAlive(t *testing.T) {
	t.Parallel()
	s := newStack(t).with("KYCQ_CASHFREE_TIMEOUT=2m")
	type listed struct {
		Alive, Stopped bool
		CallsInFlight  int `json:"calls_in_flight"`
	}
	list := func() []listed {
		t.Helper()
		var answer struct{ Workers []listed }
		out, stderr, code := s.run(nil, "fleet", "workers", "--all", "--json")
		if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 0 {
			t.Fatalf("%d, %v: %s%s", code, err, out, stderr)
		}
		return answer.Workers
	}
	if workers := list(); len(workers) != 0 {
		t.Errorf("before the first worker: %+v", workers)
	}
	answer := make(chan struct{})
	s.vendor.plan("P", func(w http.ResponseWriter, v *vendor, id string) {
		<-answer
		valid(w, v, id)
	})
	w := s.start("worker")
	s.enqueuePassports("P")
	eventually(t, func() bool {
		workers := list()
		return len(workers) == 1 && workers[0].Alive && workers[0].CallsInFlight == 1
	})
	close(answer)
	s.wait("passport", "P")
	w.terminate(t)
	if workers := list(); len(workers) != 1 || workers[0].Alive || !workers[0].Stopped || workers[0].CallsInFlight != 0 {
		t.Errorf("after the end of the worker: %+v", workers)
	}
}
