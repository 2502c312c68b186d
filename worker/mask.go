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

// maskPatience limits the fetch, the check and the store of one masked image.
const maskPatience = 3 * time.Minute

// mask fetches, checks and stores the image of an answered Aadhaar job. It makes no paid call. On a temporary error the
// record stays in state answered.
func (d *delivery) mask(ctx context.Context) transition {
	ctx, cancel := context.WithTimeout(ctx, maskPatience)
	defer cancel()
	a, err := openAnswer(d.Keyset, d.job.Kind, d.job.VerificationID, d.rec.Sealed)
	switch {
	case errors.Is(err, seal.ErrKeyMissing):
		return d.keyMissing(err)
	case err != nil:
		return d.fail(ctx, "unexpected_answer")
	}
	fetched, err := d.Vendor.FetchImage(ctx, redact.NewSecret(a.ImageLink))
	if err != nil {
		return d.notFetched(ctx, err)
	}
	var report maskcheck.Report
	crashLoop, err := d.guardCrash(ctx, func() error {
		report, err = d.CheckMask(ctx, fetched.Body, a.Source)
		return err
	})
	var unsafe *maskcheck.UnsafeError
	switch {
	case crashLoop:
		return d.fail(ctx, "worker_crash_loop")
	case errors.As(err, &unsafe):
		d.Observer.MaskChecked(string(unsafe.Code))
		return d.quarantine(ctx, fetched, unsafe)
	case ctx.Err() != nil:
		return done(later(0, "interrupted"))
	case err != nil:
		return d.infraFault(err, "mask_check")
	}
	d.Observer.MaskChecked("safe")
	return d.storeMasked(ctx, fetched.Body, report)
}

// storeMasked stores the checked image and ends the job.
func (d *delivery) storeMasked(ctx context.Context, body []byte, report maskcheck.Report) transition {
	bucket, key, err := d.MaskedImages.PutMasked(ctx, d.job.VerificationID, report.Ext, report.ContentType, body)
	if err != nil {
		return d.infraFault(err, "storage")
	}
	sum := sha256.Sum256(body)
	rec := d.rec.Clone()
	rec.MaskedImage = &storage.MaskedImage{
		Bucket: bucket, Key: key, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(body)),
		ContentType: report.ContentType, Width: report.Width, Height: report.Height,
	}
	rec.Review = report.ReviewReason
	end(rec, storage.StateValid, "")
	return d.saveThen(ctx, rec, stepFinish)
}

// quarantine stores an image that failed the check for review, and ends the job without another call.
func (d *delivery) quarantine(ctx context.Context, fetched *cashfree.FetchedImage, unsafe *maskcheck.UnsafeError) transition {
	d.log.Error().Str("reason", string(unsafe.Code)).Msg("the masked image failed the check and is quarantined")
	if _, _, err := d.MaskedImages.PutQuarantine(ctx, d.job.VerificationID, fetched.ContentType, fetched.Body); err != nil {
		return d.infraFault(err, "storage")
	}
	rec := d.rec.Clone()
	rec.Review = string(unsafe.Code)
	end(rec, storage.StateFailed, "unsafe_mask")
	return d.saveThen(ctx, rec, stepFinish)
}

// notFetched follows a failed fetch. A link that is gone, or that fails for linkPatience, is a lost answer.
func (d *delivery) notFetched(ctx context.Context, err error) transition {
	var link *cashfree.LinkError
	switch {
	case ctx.Err() != nil:
		return done(later(0, "interrupted"))
	case errors.As(err, &link) && link.Gone:
		return d.linkGone(ctx)
	case errors.As(err, &link) && link.Refused:
		d.log.Error().Err(err).Msg("the image link is refused")
		return d.fail(ctx, "image_link_refused")
	case d.version.Age > linkPatience:
		d.log.Error().Err(err).Msg("the masked image could not be fetched in time: the answer counts as lost")
		return d.linkGone(ctx)
	}
	d.log.Warn().Err(err).Msg("the masked image cannot be fetched: the fetch is retried")
	return done(later(min(max(linkDelay, d.version.Age/linkSlowdown), linkDelayMax), "image_not_fetched"))
}

// linkGone buys the answer again if the policy allows it, and else ends the job for an operator to decide.
func (d *delivery) linkGone(ctx context.Context) transition {
	again, err := d.takeReissue(ctx)
	if err != nil {
		return d.infraFault(err, "redis")
	}
	rec := d.rec.Clone()
	if last := rec.LastAttempt(); last != nil {
		last.Result = resultLinkGone
	}
	if !again {
		end(rec, storage.StateFailed, "answer_lost")
		return d.saveThen(ctx, rec, stepFinish)
	}
	wait(rec, 0, "answer_lost")
	return d.saveThen(ctx, rec, stepCheck)
}
