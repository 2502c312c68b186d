package faults

import (
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// cut is a point at which the connection between a worker and the vendor breaks.
type cut struct {
	toxic   *toxic // nil: connections are refused
	kinds   []tasks.Kind
	result  string // what the attempts say then
	charged bool   // the vendor had the whole request

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

// TestVendorConnectionCut breaks the connection at eight points. What never left whole is sent again; what did and was
// paid for is never bought twice by itself, and with reissues exactly as often as the record says.
func TestVendorConnectionCut(t *testing.T) {
	t.Parallel()
	for name, c := range cuts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, thruProxy, with("KYCQ_RETRY_BASE=5s", "KYCQ_RETRY_MAX=10s"), with(c.environment...))
			s.playCut(c)
			if c.charged {
				if n := s.judge(anything); n.lost != 2 || n.charges != 2 {
					t.Errorf("got %v", n)
				}
			} else if n := s.judge(nothing); n.charges != len(c.kinds) {
				t.Errorf("got %v", n)
			}
		})
	}
	t.Run("reissue", func(t *testing.T) {
		t.Parallel()
		for _, mode := range idModes {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				s := newStack(t, thruProxy, takesIDs(mode), with("KYCQ_RETRY_BASE=5s", "KYCQ_RETRY_MAX=10s", "KYCQ_ON_LOST_ANSWER=reissue"))
				s.playCut(cuts["before-the-answer"])
				if n := s.judge(nothing); n.charges != 4 || n.reissues != 2 {
					t.Errorf("got %v", n)
				}
			})
		}
	})
}

// playCut breaks the connection, waits until every job has met it, and mends it.
func (s *stack) playCut(c cut) {
	s.t.Helper()
	if c.toxic == nil {
		s.vendorProxy.refuse()
	} else {
		s.vendorProxy.spoil(*c.toxic)
	}
	for _, kind := range c.kinds {
		s.enqueueOne(kind, tasks.Live, false)
	}
	s.work()
	until(s.t, "every job has met the cut", func() bool {
		return count(s.jobs(), func(j job) bool { return s.met(j, c.result) }) == len(c.kinds)
	})
	if paid := s.charges(); c.charged != (paid > 0) {
		s.t.Errorf("%d charges before the cut was mended", paid)
	}
	if c.toxic == nil {
		s.vendorProxy.accept()
	} else {
		s.vendorProxy.heal()
	}
}

// met tells whether an attempt of the job ended so.
func (s *stack) met(j job, result string) bool {
	for _, w := range s.witness.history(j) {
		for _, at := range w.rec.Attempts {
			if at.Result == result {
				return true
			}
		}
	}
	return false
}

// TestImageFetchCut breaks the fetch of the masked image. The answer is in the record: it is fetched again, not bought.
func TestImageFetchCut(t *testing.T) {
	t.Parallel()
	s := newStack(t, thruProxy)
	s.vendorProxy.spoil(*limited("downstream", 2000)) // the answer is shorter, the image longer
	j := s.enqueueOne(tasks.Aadhaar, tasks.Live, false)
	w := s.work()
	until(t, "the fetch has failed", func() bool { return strings.Contains(w.output(), "image cannot be fetched") })
	if rec := s.record(j); rec == nil || rec.State != storage.StateAnswered {
		t.Errorf("the record stands as %+v", rec)
	}
	s.vendorProxy.heal()
	s.judge(nothing)
	s.judgeCalls(1)
}

// TestVendorDown has the vendor fail for longer than all backoffs of a job together. The breaker keeps the attempts from
// being burnt: every job ends well once the vendor is back, in both id modes, although failed calls may use up ids.
func TestVendorDown(t *testing.T) {
	t.Parallel()
	for _, mode := range idModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			// Six attempts, and at most 5 s of backoffs between them.
			s := newStack(t, takesIDs(mode), with("KYCQ_RETRY_BASE=200ms", "KYCQ_RETRY_MAX=1s"))
			_, err := s.sim.Sim.AddFault(simulator.Fault{Fault: "502"})
			check(t, err)
			s.enqueue(40)
			w := s.work()
			until(t, "the breaker has opened and its probe has failed", func() bool {
				return strings.Count(w.output(), "breaker opened") >= 4 // both kinds, twice
			})
			if s.final() > 0 {
				t.Errorf("%d jobs have ended while the vendor was down", s.final())
			}
			s.sim.Sim.ClearFaults()
			s.judge(nothing)
			failures := count(s.ledger(), func(e simulator.Entry) bool { return e.Status == 502 })
			between(t, "calls during the outage", failures, 10, 60)
		})
	}
}
