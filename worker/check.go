package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// check opens and validates the input. It reads only the head of an image.
func (d *delivery) check(ctx context.Context) transition {
	in, err := openInput(d.Keyset, d.rec)
	if err != nil && d.version == (storage.Version{}) {
		return d.noRecord(err)
	}
	if t, stop := d.stopWithBatch(ctx); stop {
		return t
	}
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
		return goTo(stepCall)
	}
	if in.Image.Validate() != nil {
		return d.fail(ctx, "input_invalid")
	}
	return d.checkImage(ctx, tasks.ImageHeadBytes)
}

// noRecord ends the delivery of a job that has no record and whose input cannot be opened: a record would make the id
// unusable.
func (d *delivery) noRecord(err error) transition {
	if errors.Is(err, seal.ErrKeyMissing) {
		return d.keyMissing(err)
	}
	d.log.Error().Err(err).Msg("the input of a job without a record cannot be opened: its task is dropped")
	return done(Verdict{Decision: Final, Reason: "sealed_input_broken"})
}

// checkImage validates the image by its first n bytes.
func (d *delivery) checkImage(ctx context.Context, n int64) transition {
	var invalid *tasks.InvalidError
	head, size, err := d.Images.ImageHead(ctx, *d.input.Image, n)
	switch {
	case errors.As(err, &invalid):
		return d.fail(ctx, invalid.Code)
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrNoBucket):
		return d.fail(ctx, "image_not_found")
	case errors.Is(err, storage.ErrDenied):
		return d.park(ctx, err, inputDelay, "input_not_reachable")
	case err != nil:
		return d.infraFault(err, "storage")
	case d.input.Image.Bytes > 0 && d.input.Image.Bytes != size:
		return d.fail(ctx, codeImageChanged)
	}
	var info tasks.ImageInfo
	crashLoop, err := d.guardCrash(ctx, func() error {
		info, err = tasks.ValidateImage(head, size)
		return err
	})
	switch {
	case crashLoop:
		return d.fail(ctx, "worker_crash_loop")
	case errors.As(err, &invalid) && invalid.Code == "image_header_invalid" && n < size:
		// A phone's depth maps and previews can precede a JPEG's dimensions, and be large.
		return d.checkImage(ctx, size)
	case errors.As(err, &invalid):
		return d.fail(ctx, invalid.Code)
	case err != nil:
		return d.infraFault(err, "redis")
	}
	d.info = info
	d.source = maskcheck.SourceInfo{SHA256: d.input.Image.SHA256, Width: info.Width, Height: info.Height}
	return goTo(stepCall)
}

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
