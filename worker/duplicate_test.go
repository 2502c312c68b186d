package worker

import (
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Another system has used the id. Whether kycq buys the job must not depend on what happened to come before the 409.
func TestA409AfterAnswersThatProveNothingIsAnotherSystemsDuplicate(t *testing.T) {
	t.Parallel()
	foreign := func(status int) *cashfree.Reply {
		r := reply(cashfree.OtherStatus, status)
		r.Foreign = true
		return r
	}
	for name, first := range map[string][]*cashfree.Reply{
		"no request":             nil,
		"429":                    {reply(cashfree.RateLimited, 429)},
		"401":                    {reply(cashfree.Credentials, 401)},
		"403":                    {reply(cashfree.NotAllowed, 403)},
		"422 balance":            {reply(cashfree.NoBalance, 422)},
		"not sent":               {reply(cashfree.NotSent, 0)},
		"503, retried":           {reply(cashfree.OtherStatus, 503)},
		"500 of a proxy":         {foreign(500)},
		"502 of a proxy":         {foreign(502)},
		"several of these":       {reply(cashfree.RateLimited, 429), foreign(502), reply(cashfree.NoBalance, 422), reply(cashfree.RateLimited, 429)},
		"503 of a proxy and 429": {foreign(503), reply(cashfree.RateLimited, 429)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{RetryCodes: []int{500, 502, 503}, ReissueLostAnswers: true, ReissuesPerDay: 100}, func(t *testing.T, w *world, p *Processor) {
				w.vendor.script = append(first, reply(cashfree.Duplicate, 409))
				w.processUntilFinal(t, p, w.payload(tasks.Passport, "A"))
				wantState(t, w, tasks.Passport, "A", storage.StateFailed, "duplicate_verification_id")
				if w.vendor.charges != 0 {
					t.Errorf("%d charges, calls %v", w.vendor.charges, w.vendor.calls)
				}
			})
		})
	}
}

func TestA409AfterACallThatUsedUpTheIDIsKycqsOwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first *cashfree.Reply
		state storage.State
		code  string
	}{
		"500":                     {reply(cashfree.OtherStatus, 500), storage.StateValid, ""},
		"502":                     {reply(cashfree.OtherStatus, 502), storage.StateValid, ""},
		"no known answer":         {reply(cashfree.Lost, 0), storage.StateFailed, "answer_lost"},
		"a source that broke off": {reply(cashfree.SourceBroken, 0), storage.StateFailed, "answer_lost"},
		"504, retried":            {reply(cashfree.OtherStatus, 504), storage.StateFailed, "answer_lost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{RetryCodes: []int{500, 502, 504}}, func(t *testing.T, w *world, p *Processor) {
				w.vendor.script = []*cashfree.Reply{c.first, reply(cashfree.RateLimited, 429), reply(cashfree.Duplicate, 409)}
				w.processUntilFinal(t, p, w.payload(tasks.Passport, "A"))
				wantState(t, w, tasks.Passport, "A", c.state, c.code)
			})
		})
	}
}

// processUntilFinal delivers the job until it is final, and lifts every hold.
func (w *world) processUntilFinal(t *testing.T, p *Processor, job tasks.JobSpec) {
	t.Helper()
	for range 100 {
		v := p.Process(t.Context(), job)
		if v.Decision == Final {
			return
		}
		w.gate.resume()
		time.Sleep(v.After)
	}
	t.Fatal("the job does not end")
}
