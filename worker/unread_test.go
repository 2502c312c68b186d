package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// countedReads counts the reads of records.
type countedReads struct {
	*fakeS3
	reads, writes int
}

func (r *countedReads) Record(ctx context.Context, kind tasks.Kind, id string) (*storage.Record, storage.Version, error) {
	r.reads++
	return r.fakeS3.Record(ctx, kind, id)
}

func (r *countedReads) CreateRecord(ctx context.Context, rec *storage.Record) (storage.Version, error) {
	r.writes++
	return r.fakeS3.CreateRecord(ctx, rec)
}

func (r *countedReads) SwapRecord(ctx context.Context, rec *storage.Record, was storage.Version) (storage.Version, error) {
	r.writes++
	return r.fakeS3.SwapRecord(ctx, rec, was)
}

func TestAFreshJobIsClaimedWithoutReadingItsRecord(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		records := &countedReads{fakeS3: w.s3}
		p.Records, p.Batches = records, &fakeBatches{}
		row := w.payload(tasks.Passport, "row")
		row.Batch, row.Row, row.Base.None = "b-1", 1, true
		single := w.payload(tasks.Passport, "single")
		created := storage.NewRecord(single)
		created.CreatedAt = now()
		v, err := w.s3.CreateRecord(t.Context(), created)
		if err != nil {
			t.Fatal(err)
		}
		single.Base = tasks.Base{ETag: v.ETag, CreatedAt: created.CreatedAt}
		for _, job := range []tasks.JobSpec{row, single} {
			records.reads, records.writes = 0, 0
			if v := p.Process(t.Context(), job); v.Decision != Final || records.reads != 0 || records.writes != 2 {
				t.Errorf("%s: %+v, %d reads and %d writes", job.VerificationID, v, records.reads, records.writes)
			}
			rec := wantState(t, w, tasks.Passport, job.VerificationID, storage.StateValid, "")
			if rec.CreatedAt.IsZero() || job.Batch == "" && !rec.CreatedAt.Equal(created.CreatedAt) {
				t.Errorf("%s: created %v", job.VerificationID, rec.CreatedAt)
			}
		}
	})
}

// What the producer knew is only a condition of the first write. After some refused rows, the next ones wait for no slot.
func TestAClaimThatIsRefusedReadsTheRecord(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Batches = &fakeBatches{}
		for i, id := range []string{"A", "B", "C", "D"} {
			job := w.payload(tasks.Passport, id)
			p.Process(t.Context(), job)
			job.Batch, job.Row, job.Base.None = "b-1", i+1, true
			entered := len(w.gate.outcomes)
			if v := p.Process(t.Context(), job); v.Decision != Final {
				t.Errorf("%+v", v)
			}
			want := 1
			if i >= refusedRows {
				want = 0
			}
			if got := len(w.gate.outcomes) - entered; got != want {
				t.Errorf("%s waited %d times for a slot", id, got)
			}
		}
		if w.vendor.charges != 4 {
			t.Errorf("%d charges for four jobs", w.vendor.charges)
		}
	})
}

// A job whose answer waits for its image needs no call, so it waits for no slot: its task is delivered again as it was.
func TestAnAnsweredJobGoesOnWhileTheGateIsClosed(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Aadhaar, "A")
		job.Batch, job.Row, job.Base.None = "b-1", 1, true
		w.vendor.fetched = []error{&cashfree.LinkError{HTTPStatus: 503}}
		if v := p.Process(t.Context(), job); v.Reason != "image_not_fetched" {
			t.Fatalf("%+v", v)
		}
		other, err := NewProcessor(w.parts, Policy{})
		if err != nil {
			t.Fatal(err)
		}
		w.gate.held = &hold.Hold{Cause: "breaker"}
		if v := other.Process(t.Context(), job); v.Decision != Final {
			t.Errorf("%+v", v)
		}
		wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
		if w.vendor.charges != 1 {
			t.Errorf("%d charges", w.vendor.charges)
		}
	})
}

// lostAnswers loses the answers to the first writes of records, after the store has executed them.
type lostAnswers struct {
	*fakeS3
	lost int
}

func (l *lostAnswers) CreateRecord(ctx context.Context, rec *storage.Record) (storage.Version, error) {
	v, err := l.fakeS3.CreateRecord(ctx, rec)
	if err == nil && l.lost > 0 {
		l.lost--
		return storage.Version{}, errors.Join(storage.ErrUnreachable, storage.ErrUncertain)
	}
	return v, err
}

// An intent whose write has no answer is taken over like that of a worker that died.
func TestAnIntentWithoutAnAnswerIsNotSent(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Records, p.Batches = &lostAnswers{fakeS3: w.s3, lost: 1}, &fakeBatches{}
		job := w.payload(tasks.Passport, "A")
		job.Batch, job.Row, job.Base.None = "b-1", 1, true
		if v := p.Process(t.Context(), job); v.Reason != "storage_unreachable" || len(w.vendor.calls) != 0 {
			t.Fatalf("%+v, calls %v", v, w.vendor.calls)
		}
		wantState(t, w, tasks.Passport, "A", storage.StateSent, "")
		v := p.Process(t.Context(), job)
		if v.Reason != "call_in_flight" || len(w.vendor.calls) != 0 {
			t.Fatalf("%+v, calls %v", v, w.vendor.calls)
		}
		time.Sleep(v.After)
		if v := p.Process(t.Context(), job); v.Decision != Final || w.vendor.charges != 1 {
			t.Errorf("%+v, %d charges", v, w.vendor.charges)
		}
		wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
	})
}

func TestAKeptAnswerOfANewJobIsDroppedByTheDeliveryThatStoresIt(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Passport, "A")
		job.Base = tasks.Base{None: true}
		p.Records = &failingOnce{fakeS3: w.s3}
		if v := p.Process(t.Context(), job); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		if len(w.hints.kept) != 0 {
			t.Error("the answer is still in Redis")
		}
	})
}

// failingOnce fails the first swap, which has the answer.
type failingOnce struct {
	*fakeS3
	failed bool
}

func (f *failingOnce) SwapRecord(ctx context.Context, rec *storage.Record, v storage.Version) (storage.Version, error) {
	if !f.failed {
		f.failed = true
		return storage.Version{}, errInjected
	}
	return f.fakeS3.SwapRecord(ctx, rec, v)
}
