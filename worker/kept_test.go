package worker

import (
	"context"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// One worker has looked for a kept answer and waits at the gate. Then the worker that made the paid call gives up on S3 and
// keeps its answer. The second call meets a 409.
func TestAKeptAnswerOutlivesTheAnswerLostOfASecondCall(t *testing.T) {
	t.Parallel()
	for _, kind := range tasks.Kinds() {
		withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			job := w.payload(kind, "A")
			at := sentAt(2 * time.Minute)
			at.Result = resultUnknown
			w.putRecord(t, job, storage.StateWaiting, at)
			w.vendor.used["A"] = true
			p.Gate = &meanwhile{Gate: w.gate, do: func() { w.keepAnswer(t, job, at) }}
			if v := p.Process(t.Context(), job); v.Decision != Final {
				t.Fatalf("%+v", v)
			}
			wantState(t, w, kind, "A", storage.StateValid, "")
			if len(w.vendor.calls) != 1 || w.vendor.charges != 0 {
				t.Errorf("calls %v, %d charges", w.vendor.calls, w.vendor.charges)
			}
		})
	}
}

// meanwhile does something before a permit is acquired.
type meanwhile struct {
	Gate
	do func()
}

func (m *meanwhile) Acquire(ctx context.Context, c gate.Call) (*gate.Permit, error) {
	m.do()
	return m.Gate.Acquire(ctx, c)
}

func TestAKeptAnswerBeatsEveryEndThatIsNotThatOfAPaidAnswer(t *testing.T) {
	t.Parallel()
	refused := storage.Attempt{Run: 1, ProviderID: "A", Result: resultRefused, HTTPStatus: 503}
	answered := storage.Attempt{Run: 1, ProviderID: "A.k1", Result: resultAnswered, HTTPStatus: 200}
	gone := storage.Attempt{Run: 1, ProviderID: "A.k1", Result: resultLinkGone, HTTPStatus: 200}
	for name, c := range map[string]struct {
		state storage.State
		code  string
		after []storage.Attempt
		beats bool
	}{
		"answer_lost":            {storage.StateFailed, "answer_lost", nil, true},
		"cancelled":              {storage.StateCancelled, "answer_lost", nil, true},
		"an error":               {storage.StateFailed, "unexpected_status", []storage.Attempt{refused}, true},
		"the input is gone":      {storage.StateFailed, "image_not_found", nil, true},
		"another link gone":      {storage.StateFailed, "answer_lost", []storage.Attempt{gone}, true},
		"valid by another call":  {storage.StateValid, "", []storage.Attempt{answered}, false},
		"its mask is quarantine": {storage.StateFailed, "unsafe_mask", []storage.Attempt{answered}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				job := w.payload(tasks.Passport, "A")
				at := sentAt(time.Hour)
				at.Result = resultUnknown
				rec := w.putRecord(t, job, storage.StateQueued, append([]storage.Attempt{at}, c.after...)...)
				end(rec, c.state, c.code)
				if _, err := w.s3.SwapRecord(t.Context(), rec, storage.Version{ETag: "1"}); err != nil {
					t.Fatal(err)
				}
				w.keepAnswer(t, job, at)
				if v := p.Process(t.Context(), job); v.Decision != Final || len(w.vendor.calls) != 0 {
					t.Fatalf("%+v, calls %v", v, w.vendor.calls)
				}
				if c.beats {
					wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
				} else {
					wantState(t, w, tasks.Passport, "A", c.state, c.code)
				}
			})
		})
	}
}

// A worker still waits for the answer when another one has ended the job.
func TestALateAnswerIsWrittenOverAnswerLost(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		done := w.loseAnswer(t, p, job)
		wantState(t, w, tasks.Passport, "A", storage.StateFailed, "answer_lost")
		if v := <-done; v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
	})
}

// slowVendor answers VALID, long after it was called.
type slowVendor struct {
	Vendor
	takes time.Duration
}

func (s *slowVendor) VerifyPassport(context.Context, cashfree.PassportRequest) *cashfree.Reply {
	time.Sleep(s.takes)
	return validReply()
}

// loseAnswer ends a job as answer_lost while another worker still waits for the answer. done receives the verdict of that one.
func (w *world) loseAnswer(t *testing.T, p *Processor, job tasks.JobSpec) (done <-chan Verdict) {
	t.Helper()
	parts := w.parts
	parts.Vendor = &slowVendor{Vendor: w.vendor, takes: 5 * time.Minute}
	slow, err := NewProcessor(parts, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	verdict := make(chan Verdict)
	go func() { verdict <- slow.Process(t.Context(), job) }()
	time.Sleep(2 * time.Minute)
	w.vendor.mu.Lock()
	w.vendor.used[job.VerificationID] = true
	w.vendor.mu.Unlock()
	w.processUntilFinal(t, p, job)
	return verdict
}

func TestAnAnswerIsNotWrittenIntoAnErasedRecord(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		done := w.loseAnswer(t, p, job)
		erase(t, w, tasks.Passport, "A")
		<-done
		if rec := wantState(t, w, tasks.Passport, "A", storage.StateFailed, "answer_lost"); rec.Sealed != "" || rec.Passport != nil {
			t.Errorf("%+v", rec)
		}
	})
}

func TestTheTailKeepsAnAnswerThatItCannotOpen(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		at := sentAt(time.Hour)
		at.Result = resultUnknown
		w.putRecord(t, job, storage.StateFailed, at)
		other, err := seal.Generate()
		if err != nil {
			t.Fatal(err)
		}
		own := w.keyset
		w.keyset = other
		w.keepAnswer(t, job, at)
		w.keyset = own
		if v := p.Process(t.Context(), job); v.Decision != Later || v.Reason != "key_missing" || len(w.hints.kept) != 1 {
			t.Errorf("%+v, %d kept", v, len(w.hints.kept))
		}
	})
}

// A 200 that kycq cannot use was paid for, too: it is not bought again.
func TestAKeptAnswerOfAnOddFormEndsTheJob(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		at := sentAt(time.Hour)
		at.Result = resultUnknown
		w.putRecord(t, job, storage.StateWaiting, at)
		sealed, err := sealAnswer(w.keyset, "A", newAnswer(job, at, reply(cashfree.Unexpected, 200), maskcheck.SourceInfo{}))
		if err != nil {
			t.Fatal(err)
		}
		w.hints.kept["passportA"] = sealed
		w.processUntilFinal(t, p, job)
		if rec := wantState(t, w, tasks.Passport, "A", storage.StateFailed, "unexpected_answer"); rec.Sealed == "" || len(w.vendor.calls) != 0 {
			t.Errorf("calls %v, sealed %q", w.vendor.calls, rec.Sealed)
		}
	})
}

func TestAFoundAnswerRemovesTheEndThatItReplaces(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Aadhaar, "A")
		at := sentAt(time.Hour)
		at.Result = resultUnknown
		rec := w.putRecord(t, job, storage.StateQueued, at)
		end(rec, storage.StateFailed, "answer_lost")
		if _, err := w.s3.SwapRecord(t.Context(), rec, storage.Version{ETag: "1"}); err != nil {
			t.Fatal(err)
		}
		w.keepAnswer(t, job, at)
		w.vendor.fetched = []error{errInjected} // the image cannot be fetched at once
		if v := p.Process(t.Context(), job); v.Decision == Final {
			t.Fatalf("%+v", v)
		}
		rec = wantState(t, w, tasks.Aadhaar, "A", storage.StateAnswered, "")
		if rec.Message != "" || rec.NextAction != "" || !rec.CompletedAt.IsZero() {
			t.Errorf("%q, %q, completed at %v", rec.Message, rec.NextAction, rec.CompletedAt)
		}
	})
}

func TestAKeptAnswerStaysUntilItIsInTheRecord(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		at := sentAt(time.Hour)
		w.putRecord(t, job, storage.StateSent, at)
		w.keepAnswer(t, job, at)
		p.Records = &crashingRecords{w.s3}
		func() {
			defer func() { _ = recover() }()
			p.Process(t.Context(), job)
		}()
		p.Records = w.s3
		w.processUntilFinal(t, p, job)
		wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
		if len(w.vendor.calls) != 0 {
			t.Errorf("calls %v", w.vendor.calls)
		}
	})
}

// crashingRecords crash the worker that writes.
type crashingRecords struct{ *fakeS3 }

func (*crashingRecords) SwapRecord(context.Context, *storage.Record, storage.Version) (storage.Version, error) {
	panic(crashed{})
}
