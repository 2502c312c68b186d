package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func (s *fakeS3) DeleteMasked(_ context.Context, id string, runs int) error {
	s.chaos.step(crashRate)
	if err := s.chaos.put(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for run := range runs {
		delete(s.masked, fmt.Sprintf("masked/%s/%d.png", id, run+1))
	}
	return nil
}

func (s *fakeS3) LegalHold(context.Context, tasks.Kind, string) (*storage.LegalHold, error) {
	return nil, nil
}

func (s *fakeS3) DeleteQuarantine(_ context.Context, id string) error {
	s.chaos.step(crashRate)
	if err := s.chaos.put(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.quar, id)
	return nil
}

func (s *fakeS3) ForgetOldRecords(ctx context.Context, _ tasks.Kind, _ string) error {
	return ctx.Err()
}

func (s *fakeS3) DeleteImage(ctx context.Context, key string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.masked, key)
	delete(s.quar, strings.TrimPrefix(key, "quarantine/"))
	return nil
}

func nothingInRedis(context.Context, *storage.Record) error { return nil }

func erase(t *testing.T, w *world, kind tasks.Kind, id string) *storage.Record {
	t.Helper()
	rec, err := Erase(t.Context(), w.s3, nothingInRedis, w.keyset, kind, id, "specimen", "a request")
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestAnErasureLeavesATombstoneAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, kind := range tasks.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				job := w.payload(kind, "A")
				p.Process(t.Context(), job)
				before := wantState(t, w, kind, "A", storage.StateValid, "")
				if before.Sealed == "" || kind == tasks.Aadhaar && len(w.s3.masked) != 1 {
					t.Fatal("nothing to erase: the test proves nothing")
				}
				erase(t, w, kind, "A")
				time.Sleep(erasureSettles)
				if err := w.sweeper(p, newFakeRedis()).Once(t.Context()); err != nil || w.s3.marked(kind, "A") {
					t.Errorf("%v, or its marker is there", err)
				}
				rec := w.record(kind, "A")
				text, err := json.Marshal(rec)
				if err != nil {
					t.Fatal(err)
				}
				for _, gone := range []string{"kq1.", "S*******", "0001", "masked/", before.Fingerprint} {
					if strings.Contains(string(text), gone) {
						t.Errorf("%q is still in %s", gone, text)
					}
				}
				if len(w.s3.masked)+len(w.s3.inbox)+len(w.s3.quar) != 0 {
					t.Error("an image was not deleted")
				}
				if e := rec.Erased; e == nil || e.By != "specimen" || e.Reason != "a request" || e.At.IsZero() {
					t.Errorf("erased: %+v", rec.Erased)
				}
				if rec.State != storage.StateValid || len(rec.Attempts) != 1 || rec.CompletedAt != before.CompletedAt || rec.ReferenceID != 7 {
					t.Errorf("the tombstone lacks something: %+v", rec)
				}
			})
		})
	}
}

func TestASecondErasureKeepsTheFirstTombstone(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Process(t.Context(), w.payload(tasks.Aadhaar, "A"))
		first := erase(t, w, tasks.Aadhaar, "A")
		time.Sleep(time.Hour)
		second, err := Erase(t.Context(), w.s3, nothingInRedis, w.keyset, tasks.Aadhaar, "A", "another", "another")
		if err != nil || *second.Erased != *first.Erased {
			t.Errorf("%+v, %v; want %+v", second.Erased, err, first.Erased)
		}
	})
}

func TestOnlyAFinishedJobIsErased(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, _ *Processor) {
		w.putJob(tasks.Aadhaar, "A", storage.StateSent)
		forget := func(context.Context, *storage.Record) error { t.Error("its task was removed"); return nil }
		if _, err := Erase(t.Context(), w.s3, forget, w.keyset, tasks.Aadhaar, "A", "x", "x"); !errors.Is(err, ErrNotFinal) {
			t.Errorf("%v", err)
		}
		if len(w.s3.inbox) != 1 || w.record(tasks.Aadhaar, "A").SealedInput == "" {
			t.Error("something was erased")
		}
		if _, err := Erase(t.Context(), w.s3, forget, w.keyset, tasks.Passport, "A", "x", "x"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("another kind: %v", err)
		}
	})
}

func TestAnErasureRemovesUploadAndQuarantineButNoObjectOfTheUsers(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.CheckMask = func(context.Context, []byte, maskcheck.SourceInfo) (maskcheck.Report, error) {
			return maskcheck.Report{}, &maskcheck.UnsafeError{Code: maskcheck.VisibleQR}
		}
		p.Process(t.Context(), w.payload(tasks.Aadhaar, "A"))
		wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, "unsafe_mask")
		if len(w.s3.inbox) != 1 || len(w.s3.quar) != 1 {
			t.Fatal("nothing to delete: the test proves nothing")
		}
		own := tasks.Image{Bucket: "of-the-user", Key: "cards/B.png"}
		w.s3.inbox[own.Key] = specimenPNG
		p.Process(t.Context(), w.sealed(tasks.Aadhaar, "B", tasks.Input{Image: &own}))
		for _, id := range []string{"A", "B"} {
			erase(t, w, tasks.Aadhaar, id)
		}
		if _, there := w.s3.inbox[own.Key]; !there || len(w.s3.inbox) != 1 || len(w.s3.quar) != 0 {
			t.Errorf("inbox %d, quarantine %d, the user's own is there: %t", len(w.s3.inbox), len(w.s3.quar), there)
		}
		if rec := w.record(tasks.Aadhaar, "A"); rec.NextAction != "" {
			t.Errorf("what to do about an erased job: %s", rec.NextAction)
		}
	})
}

// The tombstone is written last, so that a failed erasure can be repeated.
func TestAnErasureThatFailsLeavesNoTombstone(t *testing.T) {
	t.Parallel()
	other, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		forget Forget
		keyset *seal.Keyset
		want   error
	}{
		"Redis is down":  {func(context.Context, *storage.Record) error { return errInjected }, testKeyset, errInjected},
		"no key for it":  {nothingInRedis, other, seal.ErrKeyMissing},
		"nothing is set": {nothingInRedis, &seal.Keyset{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				p.Process(t.Context(), w.payload(tasks.Aadhaar, "A"))
				_, err := Erase(t.Context(), w.s3, tc.forget, tc.keyset, tasks.Aadhaar, "A", "x", "x")
				if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
					t.Errorf("%v", err)
				}
				if rec := w.record(tasks.Aadhaar, "A"); rec.Erased != nil || rec.SealedInput == "" {
					t.Errorf("%+v", rec)
				}
			})
		})
	}
}

// A delivery may come long after, from a queue or from the sweeper.
func TestADeliveryAfterAnErasureRestoresNothing(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Aadhaar, "A")
		p.Process(t.Context(), job)
		rec := erase(t, w, tasks.Aadhaar, "A")
		w.putJob(tasks.Aadhaar, "B", storage.StateValid) // its worker crashed before the tail
		before := erase(t, w, tasks.Aadhaar, "B")
		var batches fakeBatches
		p.Batches = &batches
		job.Batch, job.Row = "b-00000000", 1
		for _, late := range []tasks.JobSpec{job, rec.JobSpec, before.JobSpec} {
			if v := p.Process(t.Context(), late); v.Decision != Final {
				t.Errorf("%+v", v)
			}
		}
		if len(batches.conflicts) != 0 {
			t.Errorf("rows %v count as conflicts", batches.conflicts)
		}
		if got := w.record(tasks.Aadhaar, "A"); got.SealedInput != "" || got.MaskedImage != nil || len(w.vendor.calls) != 1 || len(w.s3.masked) != 0 {
			t.Errorf("%+v, %d calls", got, len(w.vendor.calls))
		}
	})
}
