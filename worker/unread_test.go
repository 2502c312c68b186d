package worker

import (
	"context"
	"testing"

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

// What the producer knew is only a condition of the first write. The next rows of a batch with known ids wait for no slot.
func TestAClaimThatIsRefusedReadsTheRecord(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Batches = &fakeBatches{}
		for i, id := range []string{"A", "B"} {
			job := w.payload(tasks.Passport, id)
			p.Process(t.Context(), job)
			job.Batch, job.Row, job.Base.None = "b-1", i+1, true
			entered := len(w.gate.outcomes)
			if v := p.Process(t.Context(), job); v.Decision != Final {
				t.Errorf("%+v", v)
			}
			if got := len(w.gate.outcomes) - entered; got != 1-i {
				t.Errorf("%s waited %d times for a slot", id, got)
			}
		}
		if w.vendor.charges != 2 {
			t.Errorf("%d charges for two jobs", w.vendor.charges)
		}
	})
}
