package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// cut is one way to break the connection between a worker and the vendor.
type cut struct {
	toxic   *toxic // nil: connections are refused
	kinds   []tasks.Kind
	result  string // of the attempt
	charged bool   // the vendor received the whole request

	environment []string
}

func limited(stream string, bytes int) *toxic {
	return &toxic{Type: "limit_data", Stream: stream, Attributes: map[string]any{"bytes": bytes}}
}

var cuts = map[string]cut{
	"refused":             {kinds: tasks.Kinds(), result: "not_sent"},
	"in-the-request-head": {toxic: limited("upstream", 60), kinds: tasks.Kinds(), result: "unknown"},
	"in-the-request-body": {toxic: limited("upstream", 6000), kinds: []tasks.Kind{tasks.Aadhaar}, result: "unknown"},
	"before-the-answer":   {toxic: limited("downstream", 0), kinds: tasks.Kinds(), result: "unknown", charged: true},
	"in-the-answer-head":  {toxic: limited("downstream", 20), kinds: tasks.Kinds(), result: "unknown", charged: true},
	"in-the-answer-body":  {toxic: limited("downstream", 150), kinds: tasks.Kinds(), result: "unknown", charged: true},
	"reset": {
		toxic: &toxic{Type: "reset_peer", Stream: "downstream", Attributes: map[string]any{"timeout": 0}},
		kinds: tasks.Kinds(), result: "unknown", charged: true,
	},
	"silence": {
		toxic: &toxic{Type: "timeout", Stream: "downstream", Attributes: map[string]any{"timeout": 0}},
		kinds: tasks.Kinds(), result: "unknown", charged: true, environment: []string{"KYCQ_CASHFREE_TIMEOUT=3s"},
	},
}

// TestVendorConnectionCut breaks the connection at eight points. A request that was not sent completely is sent again. One
// that was, and was charged, is paid for again only with the policy reissue, and as often as the record says.
func TestVendorConnectionCut(t *testing.T) {
	t.Parallel()
	for name, c := range cuts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, viaProxy, withEnv("KYCQ_RETRY_BASE=5s", "KYCQ_RETRY_MAX=10s"), withEnv(c.environment...))
			cut := s.runCut(c)
			if c.charged {
				if n := s.verify(cut); n.lost != 2 || n.charges != 2 {
					t.Errorf("got %v", n)
				}
			} else if n := s.verify(noLoss); n.charges != len(c.kinds) {
				t.Errorf("got %v", n)
			}
		})
	}
	t.Run("reissue", func(t *testing.T) {
		t.Parallel()
		for _, mode := range idModes {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				s := newStack(t, viaProxy, takesIDs(mode), withEnv("KYCQ_RETRY_BASE=5s", "KYCQ_RETRY_MAX=10s", "KYCQ_ON_LOST_ANSWER=reissue"))
				cut := s.runCut(cuts["before-the-answer"])
				if n := s.verify(cut); n.charges != 4 || n.reissues != 2 {
					t.Errorf("got %v", n)
				}
			})
		}
	})
}

// runCut breaks the connection, waits until every job has been affected, and restores it. It returns which answers may be lost.
func (s *stack) runCut(c cut) lossRule {
	s.t.Helper()
	began := time.Now()
	if c.toxic == nil {
		s.vendorProxy.refuse()
	} else {
		s.vendorProxy.addToxic(*c.toxic)
	}
	for _, kind := range c.kinds {
		s.enqueueOne(kind, tasks.Live, false)
	}
	s.startWorker()
	until(s.t, "every job has been affected", func() bool {
		return count(s.jobs(), func(j job) bool { return s.met(j, c.result) }) == len(c.kinds)
	})
	if paid := s.charges(); c.charged != (paid > 0) {
		s.t.Errorf("%d charges before the connection was restored", paid)
	}
	if c.toxic == nil {
		s.vendorProxy.accept()
	} else {
		s.vendorProxy.removeToxics()
	}
	return cutBetween(began, time.Now())
}

// met reports whether an attempt of the job ended with that result.
func (s *stack) met(j job, result string) bool {
	for _, w := range s.recorder.history(j) {
		for _, at := range w.rec.Attempts {
			if at.Result == result {
				return true
			}
		}
	}
	return false
}

// TestImageFetchCut breaks the fetch of the masked image. The answer is in the record: the image is fetched again, and the
// call is not repeated.
func TestImageFetchCut(t *testing.T) {
	t.Parallel()
	s := newStack(t, viaProxy)
	s.vendorProxy.addToxic(*limited("downstream", 2000)) // the answer is shorter, the image longer
	j := s.enqueueOne(tasks.Aadhaar, tasks.Live, false)
	w := s.startWorker()
	until(t, "the fetch has failed", func() bool { return strings.Contains(w.output(), "image cannot be fetched") })
	if rec := s.record(j); rec == nil || rec.State != storage.StateAnswered {
		t.Errorf("the record is %+v", rec)
	}
	s.vendorProxy.removeToxics()
	s.verify(noLoss)
	s.verifyCalls(1)
}

// TestVendorDown has the vendor fail for longer than all backoffs of a job together. The circuit breaker limits the attempts
// that are spent: every job ends as the vendor decides, in both id modes, although failed calls may consume ids.
func TestVendorDown(t *testing.T) {
	t.Parallel()
	for _, mode := range idModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			// Six attempts, and at most 5 s of backoffs between them.
			s := newStack(t, takesIDs(mode), withEnv("KYCQ_RETRY_BASE=200ms", "KYCQ_RETRY_MAX=1s"))
			_, err := s.sim.Sim.AddFault(simulator.Fault{Fault: "502"})
			check(t, err)
			s.enqueue(40)
			w := s.startWorker()
			until(t, "the breaker has opened and its trial call has failed", func() bool {
				return strings.Count(w.output(), "breaker opened") >= 4 // both kinds, twice
			})
			if s.finished() > 0 {
				t.Errorf("%d jobs finished while the vendor was down", s.finished())
			}
			s.sim.Sim.ClearFaults()
			s.verify(noLoss)
			failures := count(s.ledger(), func(e simulator.LedgerEntry) bool { return e.Status == 502 })
			between(t, "calls during the outage", failures, 10, 60)
		})
	}
}
