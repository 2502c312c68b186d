package worker

import (
	"context"
	"errors"
	"time"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// finishPatience limits the tail, which runs even if the task's context has ended.
const finishPatience = 30 * time.Second

// finish runs the tail of a job with a final record: it deletes the upload, reports the batch row, counts the mask, and deletes
// the marker of the run. Every part may be repeated: if the worker crashes here, the next delivery or the sweeper runs it
// again. A paid answer that was kept in Redis meanwhile comes first.
func (d *delivery) finish(ctx context.Context) transition {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishPatience)
	defer cancel()
	if d.rec.MaybeCharged() {
		if t, found := d.useKeptAnswer(ctx); found {
			return t
		}
	}
	if d.rec.Erased != nil {
		if err := ignoreRemains(deleteResults(ctx, d.MaskedImages, d.rec)); err != nil {
			return d.infraFault(err, "storage")
		}
	}
	switch err := d.deleteUpload(ctx); {
	case errors.Is(err, seal.ErrKeyMissing):
		return d.keyMissing(err)
	case err != nil:
		return d.infraFault(err, "storage")
	}
	if d.rec.Run != d.job.Run || !d.rec.State.Final() {
		return done(Verdict{Decision: Final, Reason: "superseded"}) // the rest belongs to the next run
	}
	err := errors.Join(d.reportRows(ctx), d.countMask(ctx))
	if err == nil && !d.fresh {
		err = d.stored(ctx, d.job.Kind, d.job.VerificationID)
	}
	if err == nil && !d.fresh && (d.rec.Erased != nil || !d.rec.MaybeCharged()) { // else an answer may be kept at this moment: it expires
		err = d.Hints.DropAnswer(ctx, string(d.job.Kind), d.job.VerificationID)
	}
	if err != nil {
		return d.infraFault(err, "redis")
	}
	if settling(d.rec, d.version) { // the leader deletes the marker
		return done(Verdict{Decision: Final})
	}
	if err := d.unmark(ctx); err != nil {
		return d.infraFault(err, "storage")
	}
	return done(Verdict{Decision: Final})
}

// unmark deletes the marker of the run that has ended. If a late answer has changed the record meanwhile, the marker was the
// one that was put for it.
func (d *delivery) unmark(ctx context.Context) error {
	if !storage.Marked(d.rec.JobSpec) && !d.reopened {
		return nil
	}
	run, read := storage.OpenRunOf(d.rec.JobSpec), d.version
	if err := d.Records.UnmarkOpen(ctx, run); err != nil || !d.rec.MaybeCharged() {
		return err
	}
	if err := d.reread(ctx); err != nil || d.version.ETag == read.ETag {
		return err
	}
	return d.Records.MarkOpen(ctx, run)
}

// reportRows reports the outcome to the batch that the record belongs to, and to the batch whose row was delivered if that
// is another.
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

// deleteUpload deletes the unmasked image of a valid or invalid job if kycq uploaded it, and notes the time in the record.
// It never deletes an object of the user's.
func (d *delivery) deleteUpload(ctx context.Context) error {
	answered := d.rec.State == storage.StateValid || d.rec.State == storage.StateInvalid
	if d.job.Kind != tasks.Aadhaar || !answered || !d.rec.UploadDeletedAt.IsZero() || d.rec.Erased != nil {
		return nil
	}
	in, err := openInput(d.Keyset, d.rec)
	if err != nil {
		return err
	}
	if !in.Image.Uploaded {
		return nil
	}
	err = d.Images.DeleteUpload(ctx, *in.Image)
	var remains *storage.RemainsError
	switch {
	case errors.As(err, &remains): // a retry would not change it; the lifecycle rule deletes it later
		d.log.Warn().Err(err).Msg("the image is deleted, but the bucket keeps versions of it (kycq doctor)")
		return nil
	case errors.Is(err, storage.ErrNotUploaded):
		d.log.Warn().Err(err).Msg("the image is not deleted")
		return nil
	case err != nil:
		return err
	}
	rec := d.rec.Clone()
	rec.UploadDeletedAt = now()
	err = d.write(ctx, rec)
	if errors.Is(err, storage.ErrConflict) {
		return d.reread(ctx) // another worker ran the same tail, or the next run has begun
	}
	return err
}
