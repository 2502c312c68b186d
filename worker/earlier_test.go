package worker

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestARunWhoseImageWasDeletedIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	for _, class := range []cashfree.Class{cashfree.Valid, cashfree.Invalid} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				if class == cashfree.Invalid {
					w.vendor.script = []*cashfree.Reply{reply(cashfree.Invalid, 200)}
				}
				p.Process(t.Context(), w.payload(tasks.Aadhaar, "A"))
				before := w.s3.docs["aadhaarA"].etag
				r := newFakeRedis()
				if _, err := Rerun(t.Context(), w.s3, r.Push, tasks.Aadhaar, "A", 0); !errors.Is(err, ErrInputGone) {
					t.Errorf("%v", err)
				}
				if w.s3.docs["aadhaarA"].etag != before || len(w.s3.markers) != 0 || len(r.queued()) != 0 {
					t.Error("something was written")
				}
			})
		})
	}
}

// Whatever the second run ends with, the record has what the first one bought.
func TestARunNeverTakesAwayTheResultOfAnEarlierOne(t *testing.T) {
	t.Parallel()
	for _, kind := range tasks.Kinds() {
		for name, second := range map[string]*cashfree.Reply{
			"valid": validReply(), "invalid": reply(cashfree.Invalid, 200), "an error": reply(cashfree.OtherStatus, 503), "a duplicate": reply(cashfree.Duplicate, 409),
		} {
			t.Run(string(kind)+", then "+name, func(t *testing.T) {
				t.Parallel()
				withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
					job := w.payload(kind, "A")
					if kind == tasks.Aadhaar { // the user's own image is not deleted
						w.s3.inbox["theirs"] = specimenPNG
						job = w.sealed(kind, "A", tasks.Input{Image: &tasks.Image{Bucket: "theirs", Key: "theirs"}})
					}
					p.Process(t.Context(), job)
					before := wantState(t, w, kind, "A", storage.StateValid, "")
					w.vendor.script = []*cashfree.Reply{second}
					r := newFakeRedis()
					next, err := Rerun(t.Context(), w.s3, r.Push, kind, "A", 0)
					if err != nil {
						t.Fatal(err)
					}
					w.processUntilFinal(t, p, next)
					rec := w.record(kind, "A")
					if len(rec.Earlier) != 1 || rec.Version < 2 {
						t.Fatalf("version %d, earlier runs: %+v", rec.Version, rec.Earlier)
					}
					e := rec.Earlier[0]
					if e.Run != 1 || e.State != storage.StateValid || e.ReferenceID != 7 || e.Sealed != before.Sealed || e.Sealed == "" {
						t.Errorf("%+v", e)
					}
					if a, err := openAnswer(w.keyset, kind, "A", e.Sealed); err != nil || a.Class != cashfree.Valid {
						t.Errorf("the earlier answer does not open: %+v, %v", a, err)
					}
					if kind == tasks.Aadhaar && (e.MaskedImage == nil || w.s3.masked[e.MaskedImage.Key] == nil) {
						t.Errorf("the earlier image is gone: %+v", e.MaskedImage)
					}
					if rec.MaskedImage != nil && rec.MaskedImage.Key == e.MaskedImage.Key {
						t.Error("two runs have one image")
					}
					if best := rec.Best(); best.State != storage.StateValid || (best.Run == 2) != (name == "valid") {
						t.Errorf("best: %+v", best)
					}
				})
			})
		}
	}
}

func TestAnErasureDeletesTheResultsOfAllRuns(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.s3.inbox["theirs"] = specimenPNG
		job := w.sealed(tasks.Aadhaar, "A", tasks.Input{Image: &tasks.Image{Bucket: "theirs", Key: "theirs"}})
		p.Process(t.Context(), job)
		r := newFakeRedis()
		for range 2 {
			next, err := Rerun(t.Context(), w.s3, r.Push, tasks.Aadhaar, "A", 0)
			if err != nil {
				t.Fatal(err)
			}
			w.processUntilFinal(t, p, next)
		}
		if rec := w.record(tasks.Aadhaar, "A"); len(rec.Earlier) != 2 || len(w.s3.masked) != 3 {
			t.Fatalf("%+v, %d images", rec.Earlier, len(w.s3.masked))
		}
		erase(t, w, tasks.Aadhaar, "A")
		raw, err := json.Marshal(w.record(tasks.Aadhaar, "A"))
		if err != nil {
			t.Fatal(err)
		}
		if len(w.s3.masked) != 0 || strings.Contains(string(raw), "kq1.") || strings.Contains(string(raw), "masked/") {
			t.Errorf("%d images, %s", len(w.s3.masked), raw)
		}
	})
}
