package worker

import (
	"context"
	"errors"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// lockedS3 deletes nothing for good.
type lockedS3 struct {
	*fakeS3
	uploads *[]string // that were deleted
}

func remnant(key string) error {
	return &storage.RemainsError{Remnants: []storage.Remnant{{Bucket: "b", Key: key, VersionID: "1", Mode: "COMPLIANCE"}}}
}

func (l lockedS3) DeleteUpload(ctx context.Context, img tasks.Image) error {
	*l.uploads = append(*l.uploads, img.Key)
	return errors.Join(l.fakeS3.DeleteUpload(ctx, img), remnant(img.Key))
}

func (l lockedS3) DeleteMasked(ctx context.Context, id string, runs int) error {
	return errors.Join(l.fakeS3.DeleteMasked(ctx, id, runs), remnant("masked"))
}

func (l lockedS3) ForgetOldRecords(context.Context, tasks.Kind, string) error {
	return remnant("record")
}

// An erasure in a locked bucket does what can be done, names all that remains, and can be repeated to the same effect.
func TestAnErasureNamesWhatObjectLockKeeps(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Process(t.Context(), w.payload(tasks.Aadhaar, "A"))
		var uploads []string
		for range 2 {
			rec, err := Erase(t.Context(), lockedS3{w.s3, &uploads}, nothingInRedis, w.keyset, tasks.Aadhaar, "A", "x", "x")
			var remains *storage.RemainsError
			if !errors.As(err, &remains) || len(remains.Remnants) != 3 {
				t.Fatalf("got %v, want three remnants", err)
			}
			if rec == nil || rec.Erased == nil || rec.SealedInput != "" || len(w.s3.masked) != 0 {
				t.Errorf("not erased: %+v", rec)
			}
		}
		if len(uploads) != 2 || uploads[0] != uploads[1] {
			t.Errorf("uploads deleted: %q", uploads)
		}
		rec, err := Erase(t.Context(), w.s3, nothingInRedis, w.keyset, tasks.Aadhaar, "A", "x", "x")
		if err != nil || rec.Erased.Upload != nil {
			t.Errorf("when the lock has ended: %v, %+v", err, rec)
		}
	})
}

// Object lock must not keep a job open.
func TestAJobEndsAlthoughItsUploadIsLocked(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		var uploads []string
		p.Images = lockedS3{w.s3, &uploads}
		if v := p.Process(t.Context(), w.payload(tasks.Aadhaar, "A")); v.Decision != Final {
			t.Errorf("%+v", v)
		}
		if rec := w.record(tasks.Aadhaar, "A"); len(uploads) != 1 || !rec.UploadDeletedAt.IsZero() {
			t.Errorf("%d deletions, deleted at %s", len(uploads), rec.UploadDeletedAt)
		}
	})
}
