package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
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
	source, err := d.readSource(ctx, a.Source)
	switch {
	case errors.Is(err, errSourceGone):
		d.Observer.MaskChecked(string(maskcheck.SourceGone))
		return d.quarantine(ctx, fetched, &maskcheck.UnsafeError{Code: maskcheck.SourceGone})
	case errors.Is(err, seal.ErrKeyMissing):
		return d.keyMissing(err)
	case ctx.Err() != nil:
		return done(later(0, "interrupted"))
	case errors.Is(err, storage.ErrDenied): // it may be the user's own bucket: no reason to hold the whole kind at once
		d.fault().Err(err).Msg("the source image cannot be read: the masked image waits for it")
		return done(later(inputDelay, "input_not_reachable"))
	case err != nil:
		return d.infraFault(err, "storage")
	}
	var report maskcheck.Report
	crashLoop, err := d.guardCrash(ctx, func() error {
		if report, err = d.CheckMask(ctx, fetched.Body, source); err != nil {
			return err
		}
		return d.checkDigits(ctx, report.File)
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

// errSourceGone means that the image that was sent to be masked was deleted or replaced since.
var errSourceGone = errors.New("the source image is gone")

// readSource reads the image that was sent to be masked, which the answer is compared with.
func (d *delivery) readSource(ctx context.Context, info maskcheck.SourceInfo) (maskcheck.SourceInfo, error) {
	in, err := openInput(d.Keyset, d.rec)
	if err != nil {
		return info, err
	}
	body, size, err := d.Images.OpenImage(ctx, *in.Image)
	switch {
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrNoBucket):
		return info, errSourceGone
	case err != nil:
		return info, err
	}
	defer body.Close()
	if size > maskcheck.MaxBytes {
		return info, errSourceGone
	}
	if info.Body, err = io.ReadAll(io.LimitReader(body, size)); err != nil {
		return info, fmt.Errorf("read the source image: %w", err)
	}
	if info.SHA256 != "" && !strings.EqualFold(sha256Hex(info.Body), info.SHA256) {
		return info, errSourceGone
	}
	return info, nil
}

// storeMasked stores the file that the check has made of the vendor's, and ends the job.
func (d *delivery) storeMasked(ctx context.Context, vendors []byte, report maskcheck.Report) transition {
	rec := d.rec.Clone()
	var err error
	if rec.MaskedImage, err = putMasked(storage.Fence(ctx, d.seen), d.MaskedImages, rec, vendors, report); err != nil {
		return d.infraFault(err, "storage")
	}
	rec.Review, rec.QRCheck, rec.DigitCheck = report.ReviewReason, d.policy.QRCheck, d.digitCheck("")
	end(rec, storage.StateValid, "")
	return d.saveImage(ctx, rec, rec.MaskedImage.Key)
}

// A maskedStore stores masked images.
type maskedStore interface {
	PutMasked(ctx context.Context, id string, run int, ext, contentType string, body []byte) (bucket, key string, err error)
}

// putMasked stores the file that was made of the vendor's.
func putMasked(ctx context.Context, store maskedStore, rec *storage.Record, vendors []byte, report maskcheck.Report) (*storage.MaskedImage, error) {
	bucket, key, err := store.PutMasked(ctx, rec.VerificationID, rec.Run, report.Ext, report.ContentType, report.File)
	if err != nil {
		return nil, err
	}
	return &storage.MaskedImage{
		Bucket: bucket, Key: key, SHA256: sha256Hex(report.File), VendorSHA256: sha256Hex(vendors), Bytes: int64(len(report.File)),
		ContentType: report.ContentType, Width: report.Width, Height: report.Height,
	}, nil
}

func sha256Hex(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// quarantine stores an image that failed the check for review, and ends the job without another call.
func (d *delivery) quarantine(ctx context.Context, fetched *cashfree.FetchedImage, unsafe *maskcheck.UnsafeError) transition {
	d.log.Error().Str("reason", string(unsafe.Code)).Msg("the masked image failed the check and is quarantined")
	_, key, err := d.MaskedImages.PutQuarantine(storage.Fence(ctx, d.seen), d.job.VerificationID, fetched.ContentType, fetched.Body)
	if err != nil {
		return d.infraFault(err, "storage")
	}
	rec := d.rec.Clone()
	rec.Review, rec.QRCheck, rec.DigitCheck = string(unsafe.Code), d.policy.QRCheck, d.digitCheck(string(unsafe.Code))
	end(rec, storage.StateFailed, unsafeMask)
	return d.saveImage(ctx, rec, key)
}

const unsafeMask = "unsafe_mask"

// saveImage ends the job with an image that was stored. If another worker has ended the run meanwhile, with another result,
// the image is deleted. While the run is open, another worker may be about to end it with the same image.
func (d *delivery) saveImage(ctx context.Context, rec *storage.Record, key string) transition {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordPatience) // also after a pause
	defer cancel()
	err := d.save(ctx, rec)
	if err == nil {
		return goTo(stepFinish)
	}
	if errors.Is(err, storage.ErrConflict) {
		winner, _, readErr := d.Records.Record(ctx, d.job.Kind, d.job.VerificationID)
		if readErr == nil && (winner.Run > rec.Run || winner.State.Final()) && !refersTo(winner, key) {
			d.log.Warn().Msg("the run has ended without this image: deleting it")
			readErr = ignoreRemains(d.MaskedImages.DeleteImage(ctx, key))
		}
		if readErr != nil {
			return d.infraFault(readErr, "storage")
		}
	}
	return d.notSaved(err)
}

// refersTo reports whether the image is the result of a run, or may be.
func refersTo(rec *storage.Record, key string) bool {
	if rec.Erased != nil {
		return false
	}
	quarantined := strings.HasPrefix(key, "quarantine/")
	refers := func(img *storage.MaskedImage, code string) bool {
		return img != nil && img.Key == key || quarantined && code == unsafeMask
	}
	return refers(rec.MaskedImage, rec.Code) || slices.ContainsFunc(rec.Earlier, func(e storage.EarlierRun) bool {
		return refers(e.MaskedImage, e.Code)
	}) || quarantined && !rec.State.Final()
}

const linkRefused = "image_link_refused"

// notFetched follows a failed fetch. A link that is refused may be allowed once the settings or the network are corrected:
// the image is paid for. After linkPatience, every failure but that counts as a link that is gone.
func (d *delivery) notFetched(ctx context.Context, err error) transition {
	var link *cashfree.LinkError
	age := d.answerAge()
	switch {
	case ctx.Err() != nil:
		return done(later(0, "interrupted"))
	case errors.As(err, &link) && link.Refused:
		d.fault().Err(err).Msg("the image link is refused")
		if age > linkPatience || errors.Is(err, cashfree.ErrTooLarge) {
			return d.fail(ctx, linkRefused)
		}
		return done(later(linkDelayAt(age), linkRefused))
	case errors.As(err, &link) && link.Gone, age > linkPatience:
		return d.foundGone(ctx, age)
	}
	d.fault().Err(err).Msg("the masked image cannot be fetched: the fetch is retried")
	return done(later(linkDelayAt(age), "image_not_fetched"))
}

// answerAge is the time since the answer was written, by S3's clock. Each write of foundGone begins to count anew.
func (d *delivery) answerAge() time.Duration {
	age := d.version.Age
	if last := d.rec.LastAttempt(); last != nil {
		age += time.Duration(last.LinkWaitMS) * time.Millisecond
	}
	return age
}

// linkDelayAt is the delay of the next fetch, if the answer has this age.
func linkDelayAt(age time.Duration) time.Duration {
	return min(max(linkDelay, age/linkSlowdown), linkDelayMax)
}

// foundGone counts in the record that a fetch has found the link gone. After goneTries over goneFor, the answer is lost. The
// delays grow so that goneTries take about goneFor.
func (d *delivery) foundGone(ctx context.Context, age time.Duration) transition {
	rec := d.rec.Clone()
	last := rec.LastAttempt()
	if last == nil || last.LinkGone+1 >= goneTries && age >= goneFor {
		d.log.Error().Msg("the masked image could not be fetched: the answer counts as lost")
		return d.linkGone(ctx)
	}
	last.LinkGone++
	last.LinkWaitMS = age.Milliseconds()
	if err := d.save(ctx, rec); err != nil {
		return d.notSaved(err)
	}
	d.fault().Int("tries", last.LinkGone).Msg("the image link seems to be gone: the fetch is retried")
	return done(later(max(goneFor/(goneTries-1), linkDelayAt(age)), "image_not_fetched"))
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
