package worker

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// wantMaybeCharged checks the field and the text of a record.
func wantMaybeCharged(t *testing.T, rec *storage.Record, want bool) {
	t.Helper()
	raw, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Contains(string(raw), `"maybe_charged":true`); got != want {
		t.Errorf("maybe_charged is %v: %s", got, raw)
	}
	if got := strings.Contains(rec.Message, "may have been charged"); got != want {
		t.Errorf("message %q", rec.Message)
	}
	if want && !strings.Contains(rec.NextAction, "dashboard") {
		t.Errorf("next action %q", rec.NextAction)
	}
}

func TestAFinalErrorAfterALostAnswerSaysThatACallMayHaveBeenCharged(t *testing.T) {
	t.Parallel()
	for _, last := range []*cashfree.Reply{
		reply(cashfree.Rejected, 400), reply(cashfree.Rejected, 413), reply(cashfree.OtherStatus, 503), reply(cashfree.OtherStatus, 302),
		reply(cashfree.Credentials, 401), reply(cashfree.NotAllowed, 403), reply(cashfree.NoBalance, 422), reply(cashfree.OtherStatus, 502),
	} {
		for name, first := range map[string]*cashfree.Reply{"lost": reply(cashfree.Lost, 0), "504": reply(cashfree.OtherStatus, 504), "429": reply(cashfree.RateLimited, 429)} {
			t.Run(name+" and "+last.String(), func(t *testing.T) {
				t.Parallel()
				withWorld(t, Policy{FailOnAccountError: true, MaxAttempts: 3, RetryCodes: []int{502, 504}}, func(t *testing.T, w *world, p *Processor) {
					w.vendor.script = []*cashfree.Reply{first, last, last, last}
					w.processUntilFinal(t, p, w.payload(tasks.Passport, "A"))
					rec := w.record(tasks.Passport, "A")
					if rec.State != storage.StateFailed {
						t.Fatalf("%s %q", rec.State, rec.Code)
					}
					wantMaybeCharged(t, rec, name != "429")
				})
			})
		}
	}
}

func TestAnEndBeforeTheNextCallSaysThatACallMayHaveBeenCharged(t *testing.T) {
	t.Parallel()
	for _, result := range []string{storage.ResultUnknown, resultError} {
		t.Run(result, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				job := w.payload(tasks.Aadhaar, "A")
				at := sentAt(time.Hour)
				at.Result = result
				w.putRecord(t, job, storage.StateWaiting, at)
				clear(w.s3.inbox)
				w.processUntilFinal(t, p, job)
				wantMaybeCharged(t, wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, "image_not_found"), result == storage.ResultUnknown)
			})
		})
	}
}

// The image link of a paid call is gone, and the batch is cancelled before the answer is bought again.
func TestARowThatIsCancelledAfterAPaidCallIsLost(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{ReissueLostAnswers: true, ReissuesPerDay: 1}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Aadhaar, "A")
		job.Batch = "b-1"
		at := sentAt(time.Hour)
		at.Result, at.HTTPStatus = resultLinkGone, 200
		w.putRecord(t, job, storage.StateWaiting, at)
		p.Batches = &fakeBatches{cancelledAt: time.Now()}
		w.processUntilFinal(t, p, job)
		wantState(t, w, tasks.Aadhaar, "A", storage.StateCancelled, "answer_lost")
	})
}

// The attempts of the last row were paid for, although no error was lost among them.
func TestAttemptsThatAreUsedUpAfterAPaidCallAreALostAnswer(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{MaxAttempts: 2}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Aadhaar, "A")
		at := sentAt(time.Hour)
		at.Result, at.HTTPStatus, at.Counted = resultLinkGone, 200, true
		w.putRecord(t, job, storage.StateWaiting, at)
		w.vendor.script = []*cashfree.Reply{reply(cashfree.OtherStatus, 502)}
		w.processUntilFinal(t, p, job)
		wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, "answer_lost")
	})
}
