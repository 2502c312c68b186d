package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// cancel cancels the job, and does what is left to do.
func cancel(t *testing.T, w *world, kind tasks.Kind, id string) (*storage.Record, *fakeRedis) {
	t.Helper()
	rec, err := Cancel(t.Context(), w.s3, kind, id)
	if err != nil {
		t.Fatal(err)
	}
	r := newFakeRedis()
	if err := EndTask(t.Context(), w.s3, nothingInRedis, r.Push, rec); err != nil {
		t.Fatal(err)
	}
	return rec, r
}

// sent stores the record of a job with a call in flight.
func (w *world) sent(id string) (tasks.JobSpec, storage.Attempt) {
	job := w.putJob(tasks.Passport, id, storage.StateSent)
	rec := w.record(tasks.Passport, id)
	rec.Attempts = []storage.Attempt{{Run: 1, ProviderID: id, SentAt: now(), TimeoutMS: 30_000}}
	w.s3.setRecord(rec)
	return job, rec.Attempts[0]
}

func TestACancelledJobMakesNoFurtherCallAndLeavesNothing(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		for _, state := range []storage.State{storage.StateQueued, storage.StateWaiting} {
			id := string(state)
			job := w.putJob(tasks.Aadhaar, id, state)
			for range 2 { // the second time, it changes nothing
				_, r := cancel(t, w, tasks.Aadhaar, id)
				wantState(t, w, tasks.Aadhaar, id, storage.StateCancelled, "cancelled")
				if w.s3.marked(tasks.Aadhaar, id) || len(r.queued()) != 0 {
					t.Errorf("%s: a marker or tasks %v are left", id, r.queued())
				}
			}
			if v := p.Process(t.Context(), job); v.Decision != Final || len(w.vendor.calls) != 0 {
				t.Errorf("%+v, calls %v", v, w.vendor.calls)
			}
			if len(w.s3.inbox) == 0 {
				t.Error("the upload is gone: the job cannot be retried")
			}
			next, err := Rerun(t.Context(), w.s3, newFakeRedis().Push, tasks.Aadhaar, id, 0)
			if err != nil || next.Run != 2 {
				t.Fatalf("%+v, %v", next, err)
			}
			p.Process(t.Context(), next)
			wantState(t, w, tasks.Aadhaar, id, storage.StateValid, "")
			w.vendor.calls = nil
		}
	})
}

func TestAPaidAnswerIsNotCancelled(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		refuses := func(id string, want error) {
			t.Helper()
			before := w.record(tasks.Passport, id)
			if _, err := Cancel(t.Context(), w.s3, tasks.Passport, id); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", id, err, want)
			}
			if before != nil && w.record(tasks.Passport, id).State != before.State {
				t.Errorf("%s was changed", id)
			}
		}
		w.sent("sent")
		refuses("sent", ErrCallInFlight)
		w.putJob(tasks.Passport, "answered", storage.StateAnswered)
		refuses("answered", ErrAnswerPaid)
		p.Process(t.Context(), w.payload(tasks.Passport, "valid"))
		refuses("valid", ErrEnded)
		refuses("none", storage.ErrNotFound)
		row := w.putJob(tasks.Passport, "row", storage.StateQueued)
		rec := w.record(tasks.Passport, "row")
		rec.Batch, rec.Row = "b-1", row.Row+1
		w.s3.setRecord(rec)
		refuses("row", ErrRowOfBatch)
	})
}

// The worker of a stale call may have stored the answer in Redis, or be about to write it.
func TestALateAnswerOverridesACancellation(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job, at := w.sent("A")
		time.Sleep(takeoverAge(at))
		rec, r := cancel(t, w, tasks.Passport, "A")
		if rec.Code != "answer_lost" || !rec.MaybeCharged() || !w.s3.marked(tasks.Passport, "A") || len(r.queued()) != 1 {
			t.Fatalf("%+v, marked %v, tasks %v", rec, w.s3.marked(tasks.Passport, "A"), r.queued())
		}
		sealed, err := sealAnswer(w.keyset, "A", newAnswer(job, at, validReply(), maskcheck.SourceInfo{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.hints.KeepAnswer(t.Context(), string(tasks.Passport), "A", sealed); err != nil {
			t.Fatal(err)
		}
		if v := p.Process(t.Context(), job); v.Decision != Final || len(w.vendor.calls) != 0 {
			t.Errorf("%+v, calls %v", v, w.vendor.calls)
		}
		wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
		if w.s3.marked(tasks.Passport, "A") {
			t.Error("its marker is left")
		}
	})
}

// An operator cancels while the worker waits at the gate with the job.
func TestACancellationBeforeTheIntentStopsTheCall(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, _ *Processor) {
		job := w.putJob(tasks.Passport, "A", storage.StateQueued)
		w.parts.Gate = gateWith{w.gate, func() { cancel(t, w, tasks.Passport, "A") }}
		p, err := NewProcessor(w.parts, Policy{})
		if err != nil {
			t.Fatal(err)
		}
		if v := p.Process(t.Context(), job); v.Decision != Final || len(w.vendor.calls) != 0 {
			t.Errorf("%+v, calls %v", v, w.vendor.calls)
		}
		wantState(t, w, tasks.Passport, "A", storage.StateCancelled, "cancelled")
	})
}

// gateWith does something before it grants a permit.
type gateWith struct {
	Gate
	do func()
}

func (g gateWith) Acquire(ctx context.Context, call gate.Call) (*gate.Permit, error) {
	g.do()
	return g.Gate.Acquire(ctx, call)
}
