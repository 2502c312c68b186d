package worker

import (
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func undocumentedReply(status int) *cashfree.Reply {
	r := reply(cashfree.Undocumented, status)
	r.Foreign = true
	return r
}

// answers lets the vendor give all jobs but the named ones the answer.
func (w *world) answers(r *cashfree.Reply, but ...string) {
	w.vendor.answer = func(id string) *cashfree.Reply {
		for _, other := range but {
			if id == other {
				return nil
			}
		}
		return r
	}
}

func TestAFirewallThatDislikesOneRowStopsNothingElse(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.answers(undocumentedReply(403), "A", "B")
		for i, want := range []Verdict{
			{Later, 30 * time.Second, "undocumented_answer"}, {Later, time.Minute, "undocumented_answer"}, {Decision: Final},
		} {
			got := p.Process(t.Context(), w.payload(tasks.Passport, "blocked"))
			if got.After = got.After.Round(time.Second); got != want {
				t.Fatalf("delivery %d: %+v, want %+v", i, got, want)
			}
			if i < 2 {
				id := string(rune('A' + i))
				p.Process(t.Context(), w.payload(tasks.Passport, id))
				wantState(t, w, tasks.Passport, id, storage.StateValid, "")
			}
			time.Sleep(want.After)
		}
		rec := wantState(t, w, tasks.Passport, "blocked", storage.StateFailed, "unexpected_status")
		if w.gate.held != nil || len(rec.Attempts) != 3 || rec.Attempts[0].Counted || rec.MaybeCharged() {
			t.Errorf("hold %+v, attempts %+v", w.gate.held, rec.Attempts)
		}
	})
}

// A wrong URL, a firewall, or a page of maintenance.
func TestOddAnswersToAllJobsHoldTheKindAndEndNoJob(t *testing.T) {
	t.Parallel()
	coded := reply(cashfree.Undocumented, 403)
	coded.Code = "product_not_enabled"
	for name, r := range map[string]*cashfree.Reply{
		"firewall": undocumentedReply(403), "wrong url": undocumentedReply(404), "one call is not allowed": coded, "page": reply(cashfree.Unreadable, 200),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				w.answers(r)
				ids := []string{"A", "B", "C", "D"}
				for i, id := range ids {
					p.Process(t.Context(), w.payload(tasks.Passport, id))
					if (w.gate.held != nil) != (i >= 2) {
						t.Fatalf("after %d jobs: hold %+v", i+1, w.gate.held)
					}
				}
				h := *w.gate.held
				if h.Cause != hold.Vendor || h.Kind != "passport" || h.JobKind != "passport" || h.Job != "C" || h.By != "worker" ||
					!strings.Contains(h.Reason, "is this Cashfree's API? KYCQ_CASHFREE_URL") || strings.Contains(h.Reason, "unknown code") != (r.Code != "") || r.Code != "" && strings.Contains(h.Reason, r.Code) ||
					!strings.Contains(h.NextAction, "kycq fleet resume") {
					t.Errorf("hold: %+v", h)
				}
				if len(w.vendor.calls) != 3 {
					t.Errorf("calls: %v", w.vendor.calls)
				}
				w.vendor.answer = nil
				w.gate.resume()
				time.Sleep(2 * time.Minute)
				for _, id := range ids {
					p.Process(t.Context(), w.payload(tasks.Passport, id))
					wantState(t, w, tasks.Passport, id, storage.StateValid, "")
				}
				if w.vendor.charges != len(ids) {
					t.Errorf("%d charges", w.vendor.charges)
				}
			})
		})
	}
}

func TestOneJobAloneHoldsItsKindAtItsThirdUndocumentedAnswer(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.answers(undocumentedReply(405), "other")
		for range 3 {
			time.Sleep(p.Process(t.Context(), w.payload(tasks.Passport, "A")).After)
		}
		if rec := w.record(tasks.Passport, "A"); w.gate.held == nil || rec.State != storage.StateWaiting || rec.Code != "" {
			t.Fatalf("hold %+v, record %+v", w.gate.held, rec)
		}
		// After a resume the row may be called first again, and must not hold the others.
		w.gate.resume()
		p.Process(t.Context(), w.payload(tasks.Passport, "A"))
		p.Process(t.Context(), w.payload(tasks.Passport, "other"))
		time.Sleep(time.Minute)
		p.Process(t.Context(), w.payload(tasks.Passport, "A"))
		wantState(t, w, tasks.Passport, "other", storage.StateValid, "")
		wantState(t, w, tasks.Passport, "A", storage.StateFailed, "unexpected_status")
		if w.gate.held != nil {
			t.Errorf("hold: %+v", w.gate.held)
		}
	})
}

func TestTheThirdJobInARowThatIsNotFoundHoldsTheKind(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.answers(reply(cashfree.Rejected, 404), "good")
		for _, id := range []string{"A", "B", "good", "C", "D", "E"} {
			if w.gate.held != nil {
				t.Fatalf("on hold before %s: %+v", id, w.gate.held)
			}
			p.Process(t.Context(), w.payload(tasks.Passport, id))
			if id != "good" {
				wantState(t, w, tasks.Passport, id, storage.StateFailed, "not_found")
			}
		}
		if w.gate.held == nil || w.gate.held.Kind != "passport" || w.gate.held.Job != "E" {
			t.Errorf("hold: %+v", w.gate.held)
		}
	})
}

// A test call must neither lift nor restore a hold by an odd answer.
func TestAnOddAnswerSaysNothingToTheGate(t *testing.T) {
	t.Parallel()
	foreign := func(class cashfree.Class, status int) *cashfree.Reply {
		return &cashfree.Reply{Class: class, HTTPStatus: status, Foreign: true}
	}
	for _, c := range []struct {
		reply *cashfree.Reply
		want  gate.OutcomeKind
	}{
		{foreign(cashfree.Undocumented, 403), gate.Foreign},
		{reply(cashfree.Undocumented, 401), gate.Foreign},
		{reply(cashfree.Unreadable, 200), gate.Foreign},
		{foreign(cashfree.Unexpected, 200), gate.Foreign},
		{reply(cashfree.Unexpected, 200), gate.Answered},
		{reply(cashfree.Rejected, 404), gate.Foreign},
		{foreign(cashfree.Rejected, 400), gate.Foreign},
		{foreign(cashfree.Rejected, 413), gate.Answered},
		{reply(cashfree.Rejected, 400), gate.Answered},
		{reply(cashfree.OtherStatus, 405), gate.Foreign},
		{foreign(cashfree.OtherStatus, 503), gate.Failed},
		{reply(cashfree.Credentials, 401), gate.Refused},
		{reply(cashfree.NotAllowed, 403), gate.Refused},
	} {
		if got := gateOutcome(c.reply).Kind; got != c.want {
			t.Errorf("%s %d: %s, want %s", c.reply.Class, c.reply.HTTPStatus, got, c.want)
		}
	}
}
