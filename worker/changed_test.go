package worker

import (
	"slices"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// An image that was replaced after it was accepted is neither sent whole nor paid for, nor counted.
func TestTheImageThatIsSentIsTheOneThatWasAccepted(t *testing.T) {
	t.Parallel()
	changed := slices.Clone(specimenPNG)
	changed[len(changed)-1] ^= 1
	for name, c := range map[string]struct {
		image []byte
		sent  bool // but for its end
	}{
		"of another size":  {append(slices.Clone(specimenPNG), 0), false},
		"of the same size": {changed, true},
	} {
		withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			batches := &limitedBatches{limit: 1}
			p.Batches = batches
			job := w.sealed(tasks.Aadhaar, "A", tasks.Input{Image: &tasks.Image{
				Bucket: "kycq-inbox", Key: "single/A", SHA256: sha256Hex(specimenPNG), Bytes: int64(len(specimenPNG)), Uploaded: true,
			}})
			job.Batch, job.Row = "b-1", 1
			w.s3.inbox["single/A"] = c.image
			if v := p.Process(t.Context(), job); v.Decision != Final {
				t.Errorf("%s: %+v", name, v)
			}
			rec := wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, "image_changed")
			if w.vendor.charges != 0 || rec.MayHavePaid() || batches.calls != 0 || w.vendor.received >= int64(len(c.image)) {
				t.Errorf("%s: %d charges, may have paid %t, %d calls counted, %d bytes sent", name, w.vendor.charges, rec.MayHavePaid(), batches.calls, w.vendor.received)
			}
			if c.sent != (len(rec.Attempts) == 1) {
				t.Errorf("%s: attempts %+v", name, rec.Attempts)
			}
			for _, at := range rec.Attempts {
				if at.Counted {
					t.Errorf("%s: the attempt is counted", name)
				}
			}
		})
	}
}
