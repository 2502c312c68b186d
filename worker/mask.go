package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
)

// maskPatience bounds the fetch, the check and the store of one masked image.
const maskPatience = 3 * time.Minute

// mask takes an answered Aadhaar job to its end. It never calls the vendor's API again: what it needs is in the sealed
// answer, and whatever fails here for a while leaves the record answered.
func (d *delivery) mask(ctx context.Context) (stepName, Verdict) {
	ctx, cancel := context.WithTimeout(ctx, maskPatience)
	defer cancel()
	a, err := openAnswer(d.Keyset, d.job.Kind, d.job.VerificationID, d.rec.Sealed)
	switch {
	case errors.Is(err, seal.ErrKeyMissing):
		d.log.Warn().Err(err).Msg("the keyset lacks the key of an answer")
		return stepEnd, later(missingKeyDelay, "key_missing")
	case err != nil:
		return d.fail(ctx, "unexpected_answer")
	}
	fetched, err := d.Vendor.FetchImage(ctx, redact.NewSecret(a.ImageLink))
	if err != nil {
		return d.notFetched(ctx, err)
	}
	var report maskcheck.Report
	poisoned, err := d.guarded(ctx, func() error {
		report, err = d.CheckMask(ctx, fetched.Body, a.Source)
		return err
	})
	var unsafe *maskcheck.UnsafeError
	switch {
	case poisoned:
		return d.fail(ctx, "worker_crash_loop")
	case errors.As(err, &unsafe):
		d.Observer.MaskChecked(string(unsafe.Code))
		return d.quarantine(ctx, fetched, unsafe)
	case ctx.Err() != nil:
		return stepEnd, later(0, "interrupted")
	case err != nil:
		return d.infra(err, "mask_check")
	}
	d.Observer.MaskChecked("safe")
	return d.store(ctx, fetched.Body, report)
}

// store keeps the vendor's bytes as they came, then ends the record.
func (d *delivery) store(ctx context.Context, body []byte, report maskcheck.Report) (stepName, Verdict) {
	bucket, key, err := d.MaskedImages.PutMasked(ctx, d.job.VerificationID, report.Ext, report.ContentType, body)
	if err != nil {
		return d.infra(err, "storage")
	}
	sum := sha256.Sum256(body)
	rec := d.rec.Clone()
	rec.MaskedImage = &storage.MaskedImage{
		Bucket: bucket, Key: key, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(body)),
		ContentType: report.ContentType, Width: report.Width, Height: report.Height,
	}
	rec.Review = report.ReviewReason
	end(rec, storage.StateValid, "")
	return d.conclude(ctx, rec)
}

// quarantine puts an image that is not safely masked where people look, and ends the job without paying again.
func (d *delivery) quarantine(ctx context.Context, fetched *cashfree.FetchedImage, unsafe *maskcheck.UnsafeError) (stepName, Verdict) {
	d.log.Error().Str("reason", string(unsafe.Code)).Msg("the masked image failed its check: quarantined")
	if _, _, err := d.MaskedImages.PutQuarantine(ctx, d.job.VerificationID, fetched.ContentType, fetched.Body); err != nil {
		return d.infra(err, "storage")
	}
	rec := d.rec.Clone()
	rec.Review = string(unsafe.Code)
	end(rec, storage.StateFailed, "unsafe_mask")
	return d.conclude(ctx, rec)
}

// conclude writes a final record.
func (d *delivery) conclude(ctx context.Context, rec *storage.Record) (stepName, Verdict) {
	if err := d.save(ctx, rec); err != nil {
		return d.lost(err)
	}
	return stepFinish, Verdict{}
}

// notFetched decides about an image link that gave no image. One that is gone, or fails for a day, is a lost answer.
func (d *delivery) notFetched(ctx context.Context, err error) (stepName, Verdict) {
	var link *cashfree.LinkError
	switch {
	case ctx.Err() != nil:
		return stepEnd, later(0, "interrupted")
	case errors.As(err, &link) && link.Gone:
		return d.linkGone(ctx)
	case errors.As(err, &link) && link.Refused:
		d.log.Error().Err(err).Msg("the image link is refused")
		return d.fail(ctx, "image_link_refused")
	}
	if d.version.Age > linkPatience {
		d.log.Error().Err(err).Msg("the masked image could not be fetched for too long")
		return d.linkGone(ctx)
	}
	d.log.Warn().Err(err).Msg("the masked image cannot be fetched for now")
	return stepEnd, later(min(max(linkDelay, d.version.Age/linkSlowdown), linkDelayMax), "image_not_fetched")
}

func (d *delivery) linkGone(ctx context.Context) (stepName, Verdict) {
	again, err := d.reissueAllowed(ctx)
	if err != nil {
		return d.infra(err, "redis")
	}
	rec := d.rec.Clone()
	if last := rec.LastAttempt(); last != nil {
		last.Result = resultLinkGone
	}
	if !again {
		end(rec, storage.StateFailed, "answer_lost")
		return d.conclude(ctx, rec)
	}
	wait(rec, 0, "answer_lost")
	if err := d.save(ctx, rec); err != nil {
		return d.lost(err)
	}
	return stepCheck, Verdict{}
}
