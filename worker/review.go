package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// ErrNoReview means that a job has no image in quarantine that waits for a decision.
var ErrNoReview = errors.New("the job has no image in quarantine")

// Reviewable is the store that a review reads and writes.
type Reviewable interface {
	RecordStore
	Quarantined(ctx context.Context, id string) ([]byte, error)
	DeleteQuarantine(ctx context.Context, id string) error
	DeleteImage(ctx context.Context, key string) error
	maskedStore
}

// Quarantined returns a job whose image waits for a decision, and the image as the vendor sent it.
func Quarantined(ctx context.Context, store Reviewable, id string) (*storage.Record, storage.Version, []byte, error) {
	rec, version, err := store.Record(ctx, tasks.Aadhaar, id)
	switch {
	case err != nil:
		return nil, version, nil, err
	case rec.State != storage.StateFailed || rec.Code != unsafeMask || rec.Erased != nil:
		return rec, version, nil, ErrNoReview
	}
	body, err := store.Quarantined(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return rec, version, nil, ErrNoReview
	}
	return rec, version, body, err
}

// Approve makes the quarantined image of a job, reduced to its pixels, the masked one, and the job valid. It makes no call.
// push enqueues the job once more for the end of its work: the upload's deletion and the batch's row. It may be repeated.
// The error is a *storage.RemainsError, beside the record, if versions of the quarantined image remain; so with Reject.
func Approve(
	ctx context.Context, store Reviewable, push func(context.Context, tasks.JobSpec) (tasks.Status, error), id, by, reason string,
) (*storage.Record, error) {
	tail := func(rec *storage.Record) (*storage.Record, error) {
		_, err := push(ctx, rec.JobSpec)
		var remains storage.RemainsError
		if err = errors.Join(err, remains.Take(store.DeleteQuarantine(ctx, id))); err != nil {
			return nil, fmt.Errorf("approve: the job is valid, but not all is done; approve it again: %w", err)
		}
		return rec, remains.Result()
	}
	seen := time.Now()
	rec, version, body, err := Quarantined(ctx, store, id)
	switch {
	case errors.Is(err, ErrNoReview) && rec.State == storage.StateValid && strings.HasPrefix(rec.Review, storage.ReviewApproved):
		return tail(rec)
	case err != nil:
		return nil, fmt.Errorf("approve: %w", err)
	}
	report, err := maskcheck.Clean(ctx, body)
	if err != nil {
		return nil, fmt.Errorf("approve: the image cannot be stored: %w", err)
	}
	rec = rec.Clone()
	if rec.MaskedImage, err = putMasked(storage.Fence(ctx, seen), store, rec, body, report); err != nil {
		return nil, fmt.Errorf("approve: %w", err)
	}
	end(rec, storage.StateValid, "")
	rec.Review = storage.ReviewApproved + by + ": " + reason
	if _, err := store.SwapRecord(ctx, rec, version); err != nil {
		return nil, fmt.Errorf("approve: %w", errors.Join(err, dropUnreferred(ctx, store, rec)))
	}
	return tail(rec)
}

// dropUnreferred deletes the masked image again if the record was changed meanwhile, for example by an erasure.
func dropUnreferred(ctx context.Context, store Reviewable, rec *storage.Record) error {
	winner, _, err := store.Record(ctx, rec.Kind, rec.VerificationID)
	if err != nil || refersTo(winner, rec.MaskedImage.Key) {
		return err
	}
	return store.DeleteImage(ctx, rec.MaskedImage.Key)
}

// Reject deletes the quarantined image of a job, which stays failed. It may be repeated.
func Reject(ctx context.Context, store Reviewable, id, by, reason string) (*storage.Record, error) {
	rec, version, _, err := Quarantined(ctx, store, id)
	switch {
	case errors.Is(err, ErrNoReview) && strings.HasPrefix(rec.Review, storage.ReviewRejected):
		return rec, nil
	case err != nil:
		return nil, fmt.Errorf("reject: %w", err)
	}
	rec = rec.Clone()
	rec.Review = storage.ReviewRejected + by + ": " + reason
	rec.NextAction = "`kycq job retry` pays for another attempt"
	if _, err := store.SwapRecord(ctx, rec, version); err != nil {
		return nil, fmt.Errorf("reject: %w", err)
	}
	return rec, store.DeleteQuarantine(ctx, id)
}
