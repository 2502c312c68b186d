package worker

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"slices"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestAJobFinishesIfItsUploadMayNotBeDeleted(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		p.Images = undeletableImages{w.s3}
		if v := p.Process(t.Context(), w.putJob(tasks.Aadhaar, "A", storage.StateQueued)); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		rec := wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
		if !rec.UploadDeletedAt.IsZero() || w.s3.marked(tasks.Aadhaar, "A") {
			t.Errorf("deleted at %s, markers %v", rec.UploadDeletedAt, w.s3.markers)
		}
	})
}

// undeletableImages are not in the inbox bucket.
type undeletableImages struct{ *fakeS3 }

func (undeletableImages) DeleteUpload(context.Context, tasks.Image) error {
	return storage.ErrNotUploaded
}

func TestTheTailOfARunLeavesTheNextRunAlone(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.putJob(tasks.Aadhaar, "A", storage.StateQueued)
		next := job
		next.Run = 2
		w.s3.markers[storage.OpenRunOf(next)] = time.Now()
		p.Records = &rerunner{fakeS3: w.s3, next: next}
		if v := p.Process(t.Context(), job); v.Decision != Final {
			t.Fatalf("%+v", v)
		}
		if rec := wantState(t, w, tasks.Aadhaar, "A", storage.StateQueued, ""); rec.Run != 2 {
			t.Fatalf("run %d", rec.Run)
		}
		if _, ok := w.s3.markers[storage.OpenRunOf(next)]; !ok {
			t.Error("the unfinished run lost its marker")
		}
	})
}

// rerunner begins the next run after the final record and before its tail.
type rerunner struct {
	*fakeS3
	next tasks.JobSpec
}

func (r *rerunner) SwapRecord(ctx context.Context, rec *storage.Record, was storage.Version) (storage.Version, error) {
	v, err := r.fakeS3.SwapRecord(ctx, rec, was)
	if err == nil && rec.State.Final() {
		_, _ = r.fakeS3.SwapRecord(ctx, rec.NextRun(r.next), v)
	}
	return v, err
}

func TestAnInvalidImageReferenceEndsTheJob(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Aadhaar, "A")
		plain, err := tasks.EncodeInput(tasks.Input{Image: &tasks.Image{Bucket: "No_Bucket", Key: "k"}})
		if err != nil {
			t.Fatal(err)
		}
		if job.SealedInput, err = w.keyset.Seal(plain, tasks.InputBinding(job.Kind, "A")); err != nil {
			t.Fatal(err)
		}
		p.Process(t.Context(), job)
		wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, "input_invalid")
	})
}

func TestAnImageWhoseHeaderBeginsLateIsReadFurther(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		job := w.payload(tasks.Aadhaar, "A")
		w.s3.inbox["single/A"] = withMetadata(t, 5*65535)
		p.Process(t.Context(), job)
		wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
	})
}

func TestARowOfACancelledBatchSaysWhetherACallMayBePaid(t *testing.T) {
	t.Parallel()
	for result, code := range map[string]string{resultUnknown: "answer_lost", resultError: "cancelled"} {
		withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
			p.Batches = &fakeBatches{cancelledAt: time.Now()}
			job := w.payload(tasks.Passport, "A")
			job.Batch = "b-1"
			at := sentAt(time.Minute)
			at.Result = result
			w.putRecord(t, job, storage.StateWaiting, at)
			p.Process(t.Context(), job)
			wantState(t, w, tasks.Passport, "A", storage.StateCancelled, code)
		})
	}
}

func TestARowOfAPausedBatchMakesNoCallAndCountsNoAttempt(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		b := &fakeBatches{paused: true}
		p.Batches = b
		job := w.payload(tasks.Passport, "A")
		job.Batch, job.Row, job.Base.None = "b-00000000", 1, true
		for range 3 {
			if v := p.Process(t.Context(), job); v.Decision != Later || v.Reason != "batch_paused" || v.After != batchPausedDelay {
				t.Fatalf("%+v", v)
			}
		}
		if _, _, err := w.s3.Record(t.Context(), tasks.Passport, "A"); len(w.vendor.calls) != 0 || !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%d calls, record: %v", len(w.vendor.calls), err)
		}
		b.paused = false
		if v := p.Process(t.Context(), job); v.Decision != Final || len(w.vendor.calls) != 1 || w.hints.paid != 1 {
			t.Errorf("%+v, %d calls, %d paid", v, len(w.vendor.calls), w.hints.paid)
		}
	})
}

func TestAPaidAnswerGoesOnWhileItsBatchIsPaused(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		b := &fakeBatches{}
		p.Batches = b
		w.vendor.fetched = []error{&cashfree.LinkError{HTTPStatus: 500}}
		job := w.payload(tasks.Aadhaar, "A")
		job.Batch, job.Row, job.Base.None = "b-00000000", 1, true // as the feeder enqueues it
		p.Process(t.Context(), job)
		wantState(t, w, tasks.Aadhaar, "A", storage.StateAnswered, "")
		b.paused = true
		p.Process(t.Context(), job)
		wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
	})
}

func TestAnImageLinkThatFailsForADayIsALostAnswer(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		for range 1000 {
			w.vendor.fetched = append(w.vendor.fetched, &cashfree.LinkError{HTTPStatus: 500})
		}
		job := w.payload(tasks.Aadhaar, "A")
		began, tries := time.Now(), 0
		for v := p.Process(t.Context(), job); v.Decision != Final; v = p.Process(t.Context(), job) {
			if tries++; tries > 1000 {
				t.Fatalf("it does not end: %+v", v)
			}
			time.Sleep(v.After)
		}
		wantState(t, w, tasks.Aadhaar, "A", storage.StateFailed, "answer_lost")
		if took := time.Since(began); took < 24*time.Hour || took > 25*time.Hour || len(w.vendor.calls) != 1 {
			t.Errorf("after %s, %d tries, %d calls", took, tries, len(w.vendor.calls))
		}
	})
}

func TestAFetchThatFailsOnceAfterADayWithoutWorkersIsRetried(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		w.vendor.fetched = []error{&cashfree.LinkError{HTTPStatus: 500}, &cashfree.LinkError{HTTPStatus: 500}}
		job := w.payload(tasks.Aadhaar, "A")
		p.Process(t.Context(), job)
		time.Sleep(48 * time.Hour)
		w.processUntilFinal(t, p, job)
		wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
	})
}

func TestTheRecordOfALongOutageStaysSmall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reply *cashfree.Reply
		most  int
	}{
		"not sent": {reply(cashfree.NotSent, 0), 1}, "limited": {reply(cashfree.RateLimited, 429), longHistory},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				for range longHistory + 100 {
					w.vendor.script = append(w.vendor.script, c.reply)
				}
				job := w.payload(tasks.Passport, "A")
				for range longHistory + 100 {
					v := p.Process(t.Context(), job)
					if v.Decision == Final {
						break
					}
					if n := len(w.record(tasks.Passport, "A").Attempts); n > c.most {
						t.Fatalf("%d attempts", n)
					}
					time.Sleep(v.After)
				}
				p.Process(t.Context(), job)
				rec := wantState(t, w, tasks.Passport, "A", storage.StateValid, "")
				if len(rec.Attempts) > c.most+1 || rec.LastAttempt().ProviderID != "A" {
					t.Errorf("%d attempts", len(rec.Attempts))
				}
			})
		})
	}
}

// fakeBatches has one batch.
type fakeBatches struct {
	cancelledAt time.Time
	paused      bool
	conflicts   []int // rows
	asked       int   // the highest run that batch.json asks for
}

func (b *fakeBatches) RunAsked(_ context.Context, job tasks.JobSpec, _ *storage.Record) (bool, error) {
	return job.Run <= b.asked, nil
}

func (b *fakeBatches) Stopped(context.Context, string) (cancelled, paused bool, err error) {
	return !b.cancelledAt.IsZero() && !time.Now().Before(b.cancelledAt), b.paused, nil
}

func (b *fakeBatches) TakeCall(context.Context, string) (bool, error) { return true, nil }

func (b *fakeBatches) ReturnCall(context.Context, string) error { return nil }

func (b *fakeBatches) RowFinished(context.Context, *storage.Record) error { return nil }

func (b *fakeBatches) AlreadyDone(context.Context, string, int, *storage.Record) error { return nil }

func (b *fakeBatches) Conflicted(_ context.Context, _ string, row int) error {
	b.conflicts = append(b.conflicts, row)
	return nil
}

// withMetadata returns a JPEG with size bytes of APP1 segments before its dimensions.
func withMetadata(t *testing.T, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 30, 20)), nil); err != nil {
		t.Fatal(err)
	}
	segment := append([]byte("\xff\xe1\xff\xff"), make([]byte, 65533)...)
	return slices.Concat(b.Bytes()[:2], bytes.Repeat(segment, size/65535), b.Bytes()[2:])
}

// A crash or an error anywhere in the tail must leave the marker, by which the leader repeats the tail.
func TestTheMarkerIsDeletedLast(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(p *Processor, w *world){
		"upload": func(p *Processor, w *world) { p.Images = failingUploads{w.s3} },
		"row":    func(p *Processor, _ *world) { p.Batches = failingBatches{&fakeBatches{}} },
		"answer": func(p *Processor, w *world) { p.Hints = failingHints{w.hints} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				job := w.payload(tasks.Aadhaar, "A")
				job.Batch, job.Row, job.Run = "b-00000000", 1, 2 // begun by `job retry`
				w.s3.mark(job)
				fail(p, w)
				if v := p.Process(t.Context(), job); v.Decision != Later {
					t.Fatalf("%+v", v)
				}
				wantState(t, w, tasks.Aadhaar, "A", storage.StateValid, "")
				if len(w.s3.markers) != 1 {
					t.Error("the marker is gone, and the tail is not done")
				}
				p.Images, p.Batches, p.Hints = w.s3, &fakeBatches{}, w.hints
				if v := p.Process(t.Context(), job); v.Decision != Final || len(w.s3.markers) != 0 {
					t.Errorf("%+v, markers %v", v, w.s3.markers)
				}
			})
		})
	}
}

type failingUploads struct{ *fakeS3 }

func (failingUploads) DeleteUpload(context.Context, tasks.Image) error { return errInjected }

type failingBatches struct{ *fakeBatches }

func (failingBatches) RowFinished(context.Context, *storage.Record) error { return errInjected }

type failingHints struct{ *fakeHints }

func (failingHints) DropAnswer(context.Context, string, string) error { return errInjected }
