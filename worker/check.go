package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// check opens the input and looks at it without holding it: of an image, only the head is read.
func (d *delivery) check(ctx context.Context) (stepName, Verdict) {
	if stopped, err := d.stopped(ctx); err != nil {
		return d.infra(err, "redis")
	} else if stopped {
		return d.cancel(ctx)
	}
	in, err := d.openInput()
	switch {
	case errors.Is(err, seal.ErrKeyMissing):
		return d.park(ctx, err, missingKeyDelay, "key_missing")
	case errors.Is(err, seal.ErrBroken):
		return d.fail(ctx, "sealed_input_broken")
	case err != nil:
		return d.fail(ctx, "input_invalid")
	}
	d.input = in
	if in.Passport != nil {
		if in.Passport.Validate(time.Now()) != nil {
			return d.fail(ctx, "input_invalid")
		}
		return stepCall, Verdict{}
	}
	if in.Image.Validate() != nil {
		return d.fail(ctx, "input_invalid")
	}
	return d.checkImage(ctx, tasks.ImageHeadBytes)
}

// checkImage reads the first n bytes of the image. It is the first step that handles foreign bytes.
func (d *delivery) checkImage(ctx context.Context, n int64) (stepName, Verdict) {
	head, size, err := d.Images.ImageHead(ctx, *d.input.Image, n)
	switch {
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrNoBucket):
		return d.fail(ctx, "image_not_found")
	case errors.Is(err, storage.ErrDenied):
		return d.park(ctx, err, inputDelay, "input_not_reachable")
	case err != nil:
		return d.infra(err, "storage")
	}
	var info tasks.ImageInfo
	var invalid *tasks.InvalidError
	switch poisoned, err := d.guarded(ctx, func() error {
		info, err = tasks.ValidateImage(head, size)
		return err
	}); {
	case poisoned:
		return d.fail(ctx, "worker_crash_loop")
	case errors.As(err, &invalid) && invalid.Code == "image_header_invalid" && n < size:
		// Depth maps and previews of a phone can stand before a JPEG's dimensions, and be large.
		return d.checkImage(ctx, size)
	case errors.As(err, &invalid):
		return d.fail(ctx, invalid.Code)
	case err != nil:
		return d.infra(err, "redis")
	}
	d.info = info
	d.source = maskcheck.SourceInfo{SHA256: d.input.Image.SHA256, Width: info.Width, Height: info.Height}
	return stepCall, Verdict{}
}

func (d *delivery) openInput() (tasks.Input, error) { return openInput(d.Keyset, d.rec) }

func openInput(keyset *Keyset, rec *storage.Record) (tasks.Input, error) {
	plain, err := keyset.Open(rec.SealedInput, tasks.InputBinding(rec.Kind, rec.VerificationID))
	if err != nil {
		return tasks.Input{}, fmt.Errorf("open input: %w", err)
	}
	in, err := tasks.DecodeInput(plain)
	if err != nil {
		return tasks.Input{}, err
	}
	if (rec.Kind == tasks.Aadhaar) != (in.Image != nil) {
		return tasks.Input{}, errors.New("open input: of another kind")
	}
	return in, nil
}

// park lets a job wait for something that a person must mend; the record says for what.
func (d *delivery) park(ctx context.Context, cause error, after time.Duration, reason string) (stepName, Verdict) {
	d.log.Warn().Err(cause).Str("reason", reason).Msg("job parked")
	if d.rec.State != storage.StateWaiting || d.rec.Reason != reason {
		rec := d.rec.Clone()
		wait(rec, 0, reason) // free to go at once when the cause is gone; the task's own delay paces the looks
		if err := d.save(ctx, rec); err != nil {
			return d.lost(err)
		}
	}
	return stepEnd, later(after, reason)
}

// stopped tells whether the job's batch is cancelled.
func (d *delivery) stopped(ctx context.Context) (bool, error) {
	if d.rec.Batch == "" || d.Batches == nil {
		return false, nil
	}
	return d.Batches.Stopped(ctx, d.rec.Batch)
}

// cancel ends a row of a cancelled batch: nothing is out for it, but what was may have been charged.
func (d *delivery) cancel(ctx context.Context) (stepName, Verdict) {
	rec := d.rec.Clone()
	code := "cancelled"
	if unresolved(rec, rec.Run) {
		code = "answer_lost"
	}
	end(rec, storage.StateCancelled, code)
	if err := d.save(ctx, rec); err != nil {
		return d.lost(err)
	}
	return stepFinish, Verdict{}
}

// isolation keeps jobs that may have taken a worker down away from the others of this process: they handle foreign bytes
// alone, so that an innocent job is not blamed for its neighbour.
type isolation struct{ mu sync.RWMutex }

func (i *isolation) enter(suspect bool) (leave func()) {
	if suspect {
		i.mu.Lock()
		return i.mu.Unlock
	}
	i.mu.RLock()
	return i.mu.RUnlock
}

// guarded runs f, which handles foreign bytes, counted in and out in Redis: a worker that dies in between leaves the
// count, and a job found above maxCrashes is not touched again. Bytes that outlast the time budget of the mask check leave
// it too: they would hold a worker up for ever. The error is f's, or that of Redis.
func (d *delivery) guarded(ctx context.Context, f func() error) (poisoned bool, err error) {
	kind, id := string(d.job.Kind), d.job.VerificationID
	count, err := d.Hints.CrashCount(ctx, kind, id)
	if err != nil {
		return false, err
	}
	if count >= maxCrashes {
		return true, nil
	}
	leave := d.suspects.enter(count > 0)
	defer leave()
	if _, err := d.Hints.RaiseCrashCount(ctx, kind, id); err != nil {
		return false, err
	}
	ferr := f()
	if errors.Is(ferr, maskcheck.ErrTimeout) {
		return false, ferr
	}
	if err := d.Hints.ClearCrashCount(context.WithoutCancel(ctx), kind, id); err != nil {
		return false, err
	}
	return false, ferr
}
