package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// outage makes image fetches, or the writes of masked images, fail while down is set.
type outage struct {
	Vendor
	MaskedImages
	fetch, store bool
	denied       bool // S3 denies what fails
}

func (o *outage) FetchImage(ctx context.Context, link redact.Secret) (*cashfree.FetchedImage, error) {
	if o.fetch {
		return nil, &cashfree.LinkError{HTTPStatus: 503}
	}
	return o.Vendor.FetchImage(ctx, link)
}

func (o *outage) PutMasked(ctx context.Context, id string, run int, ext, contentType string, body []byte) (bucket, key string, err error) {
	if o.store {
		if o.denied {
			return "", "", storage.ErrDenied
		}
		return "", "", storage.ErrUnreachable
	}
	return o.MaskedImages.PutMasked(ctx, id, run, ext, contentType, body)
}

func TestPaidAnswersThatCannotBeStoredStopFurtherCalls(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]outage{"fetch": {fetch: true}, "store": {store: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, _ *Processor) {
				o := &outage{Vendor: w.vendor, MaskedImages: w.s3, fetch: down.fetch, store: down.store}
				w.parts.Vendor, w.parts.MaskedImages = o, o
				synced := 0
				w.parts.OnHold = func(context.Context) { synced++ }
				p, err := NewProcessor(w.parts, Policy{})
				if err != nil {
					t.Fatal(err)
				}
				var jobs []tasks.JobSpec
				for i := range 2 * maxUnstored {
					jobs = append(jobs, w.putJob(tasks.Aadhaar, fmt.Sprint("A", i), storage.StateQueued))
				}
				for range 3 {
					for _, job := range jobs {
						p.Process(t.Context(), job)
					}
					time.Sleep(5 * time.Minute)
				}
				h := w.gate.held
				if w.vendor.charges != 20 || h == nil || h.Kind != "aadhaar" || synced != 1 {
					t.Fatalf("%d charges, hold %+v, queues synchronized %d times", w.vendor.charges, h, synced)
				}
				o.fetch, o.store = false, false
				r := newFakeRedis()
				r.paused = true // as the queues are during a hold
				if err := w.sweeper(p, r).Once(t.Context()); err != nil {
					t.Fatal(err)
				}
				if w.gate.held != nil || synced != 2 || len(w.s3.masked) != 20 {
					t.Fatalf("hold %+v, synchronized %d times, %d images", w.gate.held, synced, len(w.s3.masked))
				}
				for _, job := range jobs {
					p.Process(t.Context(), job)
					wantState(t, w, tasks.Aadhaar, job.VerificationID, storage.StateValid, "")
				}
				if w.vendor.charges != len(jobs) || len(w.gate.unstored) != 0 {
					t.Errorf("%d charges of %d jobs; still counted: %v", w.vendor.charges, len(jobs), w.gate.unstored)
				}
			})
		})
	}
}

// One answer whose image S3 does not let in stops the calls of the kind, until it is stored.
func TestADeniedWriteStopsTheCallsAtOnce(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, _ *Processor) {
		o := &outage{Vendor: w.vendor, MaskedImages: w.s3, store: true, denied: true}
		w.parts.MaskedImages = o
		p, err := NewProcessor(w.parts, Policy{})
		if err != nil {
			t.Fatal(err)
		}
		first, second := w.putJob(tasks.Aadhaar, "A1", storage.StateQueued), w.putJob(tasks.Aadhaar, "A2", storage.StateQueued)
		p.Process(t.Context(), first)
		if h := w.gate.held; h == nil || h.Code != "storage_denied" || h.Kind != "aadhaar" || !strings.Contains(h.NextAction, "kycq doctor") {
			t.Fatalf("%+v", h)
		}
		p.Process(t.Context(), second)
		if w.vendor.charges != 1 {
			t.Errorf("%d charges", w.vendor.charges)
		}
		o.store = false
		for _, job := range []tasks.JobSpec{first, second} {
			time.Sleep(5 * time.Minute)
			p.Process(t.Context(), job)
			wantState(t, w, tasks.Aadhaar, job.VerificationID, storage.StateValid, "")
		}
		if w.gate.held != nil || w.vendor.charges != 2 {
			t.Errorf("%+v, %d charges", w.gate.held, w.vendor.charges)
		}
	})
}

// A link that this machine must not fetch may be fetched after its settings were corrected.
func TestARefusedLinkWaitsForADay(t *testing.T) {
	t.Parallel()
	for name, corrected := range map[string]bool{"corrected": true, "never": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				job := w.putJob(tasks.Aadhaar, "A", storage.StateQueued)
				w.vendor.fetched = slices.Repeat([]error{&cashfree.LinkError{Refused: true}}, 1000)
				var v Verdict
				for began := time.Now(); v.Decision != Final && time.Since(began) < 26*time.Hour; time.Sleep(v.After) {
					if v = p.Process(t.Context(), job); v.Decision == Later && (v.Reason != linkRefused || !w.gate.unstored["aadhaarA"]) {
						t.Fatalf("%+v, counted %v", v, w.gate.unstored)
					}
					if corrected && time.Since(began) > 20*time.Hour {
						w.vendor.fetched = nil
					}
				}
				if corrected {
					wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
				} else {
					wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, linkRefused)
				}
				if w.vendor.charges != 1 || len(w.gate.unstored) != 0 {
					t.Errorf("%d charges, counted %v", w.vendor.charges, w.gate.unstored)
				}
			})
		})
	}
}

// A Redis that was rolled back may count jobs that do not wait, and have the hold of an outage that is over.
func TestTheCountOfUnstoredAnswersIsCorrected(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Process(t.Context(), w.payload(tasks.Aadhaar, "valid"))
		w.putJob(tasks.Aadhaar, "waiting", storage.StateWaiting)
		for i := range maxUnstored {
			id := []string{"valid", "waiting", fmt.Sprint("none", i)}[min(i, 2)]
			if _, err := w.gate.AddUnstored(t.Context(), unstoredHold(tasks.Aadhaar, id), maxUnstored); err != nil {
				t.Fatal(err)
			}
		}
		if w.gate.held == nil {
			t.Fatal("there is no hold to lift")
		}
		calls := len(w.vendor.calls)
		if err := w.sweeper(p, newFakeRedis()).Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		h := unstoredHold(tasks.Aadhaar, "")
		if len(w.gate.unstored) != 0 || w.gate.held != nil || len(w.vendor.calls) != calls {
			t.Fatalf("counted %v, hold %+v, calls %v", w.gate.unstored, w.gate.held, w.vendor.calls)
		}
		w.gate.held = &h // without a job
		if err := w.sweeper(p, newFakeRedis()).Once(t.Context()); err != nil || w.gate.held != nil {
			t.Errorf("%v, hold %+v", err, w.gate.held)
		}
	})
}

// An answer that waits in Redis for S3 counts, too.
func TestAKeptAnswerIsCountedUntilItIsRecorded(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, _ *Processor) {
		job := w.putJob(tasks.Passport, "A", storage.StateQueued)
		records := &noAnswers{RecordStore: w.s3, down: true}
		w.parts.Records = records
		p, err := NewProcessor(w.parts, Policy{})
		if err != nil {
			t.Fatal(err)
		}
		if v := p.Process(t.Context(), job); v.Reason != "storage_unreachable" || !w.gate.unstored["passportA"] {
			t.Fatalf("%+v, counted %v", v, w.gate.unstored)
		}
		records.down = false
		s := w.sweeper(p, newFakeRedis())
		s.Ledger = w.s3
		if err := s.Once(t.Context()); err != nil || len(w.gate.unstored) != 0 {
			t.Errorf("%v, counted %v", err, w.gate.unstored)
		}
		wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
		if w.vendor.charges != 1 {
			t.Errorf("%d charges", w.vendor.charges)
		}
	})
}

// noAnswers refuses to write answers while it is down.
type noAnswers struct {
	RecordStore
	down bool
}

func (n *noAnswers) SwapRecord(ctx context.Context, rec *storage.Record, was storage.Version) (storage.Version, error) {
	if n.down && rec.State != storage.StateSent {
		return storage.Version{}, errors.Join(storage.ErrUnreachable, errInjected)
	}
	return n.RecordStore.SwapRecord(ctx, rec, was)
}

// deniedSource denies to open images while it is set.
type deniedSource struct {
	Images
	denied bool
}

func (d *deniedSource) OpenImage(ctx context.Context, img tasks.Image) (io.ReadCloser, int64, error) {
	if d.denied {
		return nil, 0, storage.ErrDenied
	}
	return d.Images.OpenImage(ctx, img)
}

// A user's bucket that denies access after the call concerns its own jobs only.
func TestADeniedSourceImageHoldsNoOtherJob(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, _ *Processor) {
		images := &deniedSource{Images: w.s3}
		w.parts.Images = images
		w.vendor.arrived = func() { images.denied = true }
		p, err := NewProcessor(w.parts, Policy{})
		if err != nil {
			t.Fatal(err)
		}
		job := w.putJob(tasks.Aadhaar, "A", storage.StateQueued)
		if v := p.Process(t.Context(), job); v.Reason != "input_not_reachable" || w.gate.held != nil || !w.gate.unstored["aadhaarA"] {
			t.Fatalf("%+v, hold %+v, counted %v", v, w.gate.held, w.gate.unstored)
		}
		images.denied = false
		p.Process(t.Context(), job)
		wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
		if w.vendor.charges != 1 || len(w.gate.unstored) != 0 {
			t.Errorf("%d charges, counted %v", w.vendor.charges, w.gate.unstored)
		}
	})
}
