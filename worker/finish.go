package worker

import (
	"context"
	"errors"
	"time"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// tailPatience bounds the tail, which runs on although the task's time may be up.
const tailPatience = 30 * time.Second

// finish does what follows a final record. Every part may be repeated: a worker that dies here leaves the task to the
// next, which finds the record final and comes here again.
func (d *delivery) finish(ctx context.Context) (stepName, Verdict) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tailPatience)
	defer cancel()
	if err := d.deleteUpload(ctx); errors.Is(err, seal.ErrKeyMissing) {
		d.log.Warn().Err(err).Msg("the upload stays until the key is there")
		return stepEnd, later(missingKeyDelay, "key_missing")
	} else if err != nil {
		return d.infra(err, "storage")
	}
	if d.rec.Run != d.job.Run || !d.rec.State.Final() {
		return stepEnd, Verdict{Decision: Final, Reason: "superseded"} // the next run has begun: the rest of the tail is its own
	}
	if err := d.reportRows(ctx); err != nil {
		return d.infra(err, "redis")
	}
	kind, id := string(d.job.Kind), d.job.VerificationID
	if err := d.Hints.DropAnswer(ctx, kind, id); err != nil {
		return d.infra(err, "redis")
	}
	if err := d.Hints.CloseJob(ctx, kind, id); err != nil {
		return d.infra(err, "redis")
	}
	return stepEnd, Verdict{Decision: Final}
}

// reportRows tells the batch whose record this is, and the one whose row was delivered where that is another.
func (d *delivery) reportRows(ctx context.Context) error {
	if d.Batches == nil {
		return nil
	}
	if d.rec.Batch != "" {
		if err := d.Batches.RowFinished(ctx, d.rec); err != nil {
			return err
		}
	}
	if d.job.Batch != "" && (d.job.Batch != d.rec.Batch || d.job.Row != d.rec.Row) {
		return d.Batches.AlreadyDone(ctx, d.job.Batch, d.job.Row, d.rec)
	}
	return nil
}

// deleteUpload removes the unmasked image that kycq itself uploaded, once the vendor has had the last word about it, and
// leaves the time as evidence. A user's own object is never touched.
func (d *delivery) deleteUpload(ctx context.Context) error {
	answered := d.rec.State == storage.StateValid || d.rec.State == storage.StateInvalid
	if d.job.Kind != tasks.Aadhaar || !answered || !d.rec.UploadDeletedAt.IsZero() || d.rec.Erased != nil {
		return nil
	}
	in, err := d.openInput()
	if err != nil {
		return err
	}
	if !in.Image.Uploaded {
		return nil
	}
	switch err := d.Images.DeleteUpload(ctx, *in.Image); {
	case errors.Is(err, storage.ErrNotUploaded):
		d.log.Warn().Err(err).Msg("the image stays where it is")
		return nil
	case err != nil:
		return err
	}
	rec := d.rec.Clone()
	rec.UploadDeletedAt = time.Now().UTC().Truncate(time.Millisecond)
	err = d.write(ctx, rec)
	if errors.Is(err, storage.ErrConflict) {
		return d.reread(ctx) // somebody else ran the same tail, or began the next run
	}
	return err
}
