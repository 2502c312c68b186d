package worker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func (s *fakeS3) Quarantined(_ context.Context, id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if body, ok := s.quar[id]; ok {
		return body, nil
	}
	return nil, storage.ErrNotFound
}

// inQuarantine processes a job whose image fails the check, and puts a readable image with a tail into its place.
func (w *world) inQuarantine(t *testing.T, p *Processor) tasks.JobSpec {
	t.Helper()
	p.CheckMask = func(context.Context, []byte, maskcheck.SourceInfo) (maskcheck.Report, error) {
		return maskcheck.Report{}, &maskcheck.UnsafeError{Code: maskcheck.NothingMasked}
	}
	job := w.payload(tasks.Aadhaar, "A")
	p.Process(t.Context(), job)
	wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, "unsafe_mask")
	w.s3.quar["A"] = append(append([]byte{}, specimenPNG...), "a hidden copy"...)
	return job
}

func TestAnApprovedImageIsStoredCleanAndCostsNothing(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.inQuarantine(t, p)
		pushed := []tasks.JobSpec{}
		push := func(_ context.Context, job tasks.JobSpec) (tasks.Status, error) {
			if pushed = append(pushed, job); len(pushed) == 1 {
				return "", errors.New("redis is away")
			}
			return tasks.Enqueued, nil
		}
		if _, err := Approve(t.Context(), w.s3, push, "A", "officer", "looks fine"); err == nil {
			t.Error("the end of the work was not enqueued, but there is no error")
		}
		if _, err := Approve(t.Context(), w.s3, push, "A", "another", "again"); err != nil {
			t.Fatal(err)
		}
		rec := wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
		if rec.Review != "approved by officer: looks fine" || rec.NeedsReview() || rec.MaskedImage == nil {
			t.Fatalf("review %q, image %+v", rec.Review, rec.MaskedImage)
		}
		stored := w.s3.masked[rec.MaskedImage.Key]
		if len(stored) == 0 || strings.Contains(string(stored), "hidden") || rec.MaskedImage.SHA256 != sha256Hex(stored) {
			t.Errorf("stored %d bytes: %+v", len(stored), rec.MaskedImage)
		}
		p.Process(t.Context(), pushed[1])
		if len(w.vendor.calls) != 1 || len(w.s3.inbox) != 0 || len(w.s3.quar) != 0 {
			t.Errorf("%d calls, %d uploads, %d in quarantine", len(w.vendor.calls), len(w.s3.inbox), len(w.s3.quar))
		}
	})
}

func TestARejectedImageIsDeleted(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.inQuarantine(t, p)
		if _, err := Reject(t.Context(), w.s3, "A", "officer", "all digits show"); err != nil {
			t.Fatal(err)
		}
		rec := wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, "unsafe_mask")
		if rec.Review != "rejected by officer: all digits show" || rec.NeedsReview() || len(w.s3.quar) != 0 || len(w.s3.masked) != 0 {
			t.Errorf("review %q, %d in quarantine", rec.Review, len(w.s3.quar))
		}
		push := func(context.Context, tasks.JobSpec) (tasks.Status, error) { return "", errors.New("pushed") }
		if _, err := Approve(t.Context(), w.s3, push, "A", "officer", "after all"); !errors.Is(err, ErrNoReview) {
			t.Errorf("approved after the rejection: %v", err)
		}
	})
}

func TestAnImageThatIsErasedDuringItsApprovalIsNotKept(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.inQuarantine(t, p)
		erasing := &erasingStore{fakeS3: w.s3}
		push := func(context.Context, tasks.JobSpec) (tasks.Status, error) { return tasks.Enqueued, nil }
		if _, err := Approve(t.Context(), erasing, push, "A", "officer", "looks fine"); !errors.Is(err, storage.ErrConflict) {
			t.Fatalf("%v, want a conflict", err)
		}
		if len(w.s3.masked) != 0 {
			t.Error("the masked image of an erased person is stored")
		}
	})
}

// erasingStore marks the record as erased when the masked image has been stored.
type erasingStore struct{ *fakeS3 }

func (s *erasingStore) PutMasked(ctx context.Context, id string, run int, ext, contentType string, body []byte) (string, string, error) {
	bucket, key, err := s.fakeS3.PutMasked(ctx, id, run, ext, contentType, body)
	rec, version, _ := s.Record(ctx, tasks.Aadhaar, id)
	rec.Erased = &storage.Erasure{At: time.Now(), By: "officer", Reason: "request"}
	_, _ = s.SwapRecord(ctx, rec, version)
	return bucket, key, err
}

func TestOnlyAQuarantinedImageCanBeDecidedOn(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Process(t.Context(), w.payload(tasks.Aadhaar, "A"))
		if _, err := Reject(t.Context(), w.s3, "A", "officer", "no"); !errors.Is(err, ErrNoReview) {
			t.Errorf("a valid job: %v", err)
		}
		if _, err := Reject(t.Context(), w.s3, "B", "officer", "no"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("an unknown job: %v", err)
		}
	})
}
