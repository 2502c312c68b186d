package worker

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// pausing is a worker that stops for ten minutes at one step of the storing of an image, and may die there.
type pausing struct {
	*fakeS3
	Vendor
	at  string
	die bool
}

const (
	fetching, checking, putting, written, saving = "fetching the image", "checking it", "before the put", "after the put", "before the record"
)

func (p *pausing) pause(at string) {
	if p.at != at {
		return
	}
	time.Sleep(10 * time.Minute)
	if p.die && at != fetching && at != checking && at != putting {
		panic(crashed{})
	}
}

func (p *pausing) FetchImage(ctx context.Context, link redact.Secret) (*cashfree.FetchedImage, error) {
	p.pause(fetching)
	return p.Vendor.FetchImage(context.WithoutCancel(ctx), link)
}

func (p *pausing) PutMasked(ctx context.Context, id string, run int, ext, contentType string, body []byte) (string, string, error) {
	p.pause(putting)
	bucket, key, err := p.fakeS3.PutMasked(ctx, id, run, ext, contentType, body)
	p.dieAfterPut()
	p.pause(written)
	return bucket, key, err
}

func (p *pausing) PutQuarantine(ctx context.Context, id, contentType string, body []byte) (string, string, error) {
	p.pause(putting)
	bucket, key, err := p.fakeS3.PutQuarantine(ctx, id, contentType, body)
	p.dieAfterPut()
	p.pause(written)
	return bucket, key, err
}

func (p *pausing) dieAfterPut() {
	if p.die && p.at != written && p.at != saving {
		panic(crashed{})
	}
}

func (p *pausing) SwapRecord(ctx context.Context, rec *storage.Record, was storage.Version) (storage.Version, error) {
	if rec.State.Final() {
		p.pause(saving)
	}
	return p.fakeS3.SwapRecord(context.WithoutCancel(ctx), rec, was) // the request has left
}

// pausedWorker starts a worker that pauses at the step, lets another one end the job, and calls then while the first one
// is paused. It returns after an hour of sweeps.
func pausedWorker(t *testing.T, w *world, at string, die, unsafe bool, then func()) {
	t.Helper()
	check := func(context.Context, []byte, maskcheck.SourceInfo) (maskcheck.Report, error) {
		if unsafe {
			return maskcheck.Report{}, &maskcheck.UnsafeError{Code: maskcheck.VisibleQR}
		}
		return maskcheck.Report{Width: 30, Height: 20, ContentType: "image/png", Ext: "png"}, nil
	}
	newWorker := func(parts Parts) *Processor {
		p, err := NewProcessor(parts, Policy{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	f := &pausing{fakeS3: w.s3, Vendor: w.vendor, at: at, die: die}
	parts := w.parts
	parts.Records, parts.MaskedImages, parts.Vendor = f, f, f
	parts.CheckMask = func(ctx context.Context, body []byte, s maskcheck.SourceInfo) (maskcheck.Report, error) {
		f.pause(checking)
		return check(ctx, body, s)
	}
	paused := newWorker(parts)
	r := newFakeRedis()
	parts = w.parts
	parts.CheckMask = check
	other := newWorker(parts)
	job := w.putJob(tasks.Aadhaar, "A", storage.StateQueued)
	var wg sync.WaitGroup
	wg.Go(func() { processOrCrash(t.Context(), paused, job) })
	time.Sleep(time.Minute)
	if v := other.Process(t.Context(), job); v.Decision != Final {
		t.Fatalf("%+v", v)
	}
	then()
	for range 60 {
		if err := w.sweeper(other, r).Once(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	}
	wg.Wait()
	if w.record(tasks.Aadhaar, "A").State.Final() && w.s3.marked(tasks.Aadhaar, "A") {
		t.Error("the job still has its marker")
	}
	paused.Drain()
	other.Drain()
}

func TestAPausedWorkerDoesNotBringAnErasedImageBack(t *testing.T) {
	t.Parallel()
	for _, at := range []string{fetching, checking, putting, written, saving} {
		for _, die := range []bool{false, true} {
			for _, unsafe := range []bool{false, true} {
				name := at
				if die {
					name += ", dies after the put"
				}
				if unsafe {
					name += ", unsafe"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					withWorld(t, Policy{}, func(t *testing.T, w *world, _ *Processor) {
						pausedWorker(t, w, at, die, unsafe, func() {
							if _, err := Erase(t.Context(), w.s3, nothingInRedis, w.keyset, tasks.Aadhaar, "A", "specimen", "a request"); err != nil {
								t.Fatal(err)
							}
						})
						if len(w.s3.masked)+len(w.s3.quar) != 0 {
							t.Errorf("%d masked and %d quarantined images are back", len(w.s3.masked), len(w.s3.quar))
						}
						if rec := w.record(tasks.Aadhaar, "A"); rec.Erased == nil || rec.MaskedImage != nil || rec.SealedInput != "" {
							t.Errorf("%+v", rec)
						}
					})
				})
			}
		}
	}
}

// The run has ended otherwise while the worker was paused, and perhaps the next one has begun.
func TestAPausedWorkerLeavesNoImageThatBelongsToNoResult(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(rec *storage.Record) *storage.Record{
		"ended": func(rec *storage.Record) *storage.Record { return rec },
		"next run": func(rec *storage.Record) *storage.Record {
			job := rec.JobSpec
			job.Run++
			return rec.NextRun(job)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, _ *Processor) {
				pausedWorker(t, w, putting, false, false, func() {
					rec, v, err := w.s3.Record(t.Context(), tasks.Aadhaar, "A")
					if err != nil {
						t.Fatal(err)
					}
					end(rec, storage.StateFailed, "answer_lost")
					rec.MaskedImage = nil
					if _, err := w.s3.SwapRecord(t.Context(), change(rec), v); err != nil {
						t.Fatal(err)
					}
					w.s3.mu.Lock()
					clear(w.s3.masked)
					w.s3.mu.Unlock()
				})
				if len(w.s3.masked) != 0 {
					t.Errorf("%d images", len(w.s3.masked))
				}
			})
		})
	}
}

func TestAPausedWorkerKeepsTheImageOfTheResult(t *testing.T) {
	t.Parallel()
	for _, unsafe := range []bool{false, true} {
		withWorld(t, Policy{}, func(t *testing.T, w *world, _ *Processor) {
			pausedWorker(t, w, putting, false, unsafe, func() {})
			if len(w.s3.masked)+len(w.s3.quar) != 1 {
				t.Errorf("unsafe: %t: %d masked images, %d in quarantine", unsafe, len(w.s3.masked), len(w.s3.quar))
			}
		})
	}
}

// failingImages cannot delete images.
type failingImages struct{ *fakeS3 }

func (failingImages) DeleteMasked(context.Context, string, int) error { return storage.ErrUnreachable }

func TestAnErasureThatWasCutShortIsFinishedByTheSweep(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Process(t.Context(), w.payload(tasks.Aadhaar, "A"))
		r := newFakeRedis()
		_, err := Erase(t.Context(), failingImages{w.s3}, nothingInRedis, w.keyset, tasks.Aadhaar, "A", "x", "x")
		if !errors.Is(err, storage.ErrUnreachable) || len(w.s3.masked) != 1 {
			t.Fatalf("%v, %d images", err, len(w.s3.masked))
		}
		time.Sleep(5 * time.Minute)
		if err := w.sweeper(p, r).Once(t.Context()); err != nil || len(w.s3.masked) != 0 {
			t.Errorf("%v, %d images", err, len(w.s3.masked))
		}
	})
}

// lateStore is the store of a process that is paused for an hour before it stores an image.
type lateStore struct{ *fakeS3 }

func (l *lateStore) PutMasked(ctx context.Context, id string, run int, ext, contentType string, body []byte) (string, string, error) {
	time.Sleep(time.Hour)
	return l.fakeS3.PutMasked(ctx, id, run, ext, contentType, body)
}

func (l *lateStore) PutQuarantine(ctx context.Context, id, contentType string, body []byte) (string, string, error) {
	time.Sleep(time.Hour)
	return l.fakeS3.PutQuarantine(ctx, id, contentType, body)
}

// After that time no one deletes an image of an erased job any more.
func TestAnImageIsNotStoredLongAfterItsRecordWasRead(t *testing.T) {
	t.Parallel()
	unsafe := func(context.Context, []byte, maskcheck.SourceInfo) (maskcheck.Report, error) {
		return maskcheck.Report{}, &maskcheck.UnsafeError{Code: maskcheck.VisibleQR}
	}
	for name, check := range map[string]func(context.Context, []byte, maskcheck.SourceInfo) (maskcheck.Report, error){
		"masked": checkAlwaysSafe, "quarantined": unsafe,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				p.MaskedImages, p.CheckMask = &lateStore{w.s3}, check
				if v := p.Process(t.Context(), w.payload(tasks.Aadhaar, "A")); v.Decision == Final {
					t.Errorf("%+v", v)
				}
				if len(w.s3.masked)+len(w.s3.quar) > 0 {
					t.Errorf("stored: %d masked, %d quarantined", len(w.s3.masked), len(w.s3.quar))
				}
			})
		})
	}
}
