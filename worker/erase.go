package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Erasable is what an erasure needs of the store.
type Erasable interface {
	Records
	DeleteMasked(ctx context.Context, id string) error
	DeleteUpload(ctx context.Context, img tasks.Image) error
	DeleteQuarantine(ctx context.Context, id string) error
}

// Forget removes what Redis still holds of a finished job, sealed: retained tasks and a kept answer.
type Forget func(ctx context.Context, rec *storage.Record) error

// ForgetInRedis returns a Forget that deletes the tasks of all runs of the job and its kept answer. A finished job needs no
// task: the sweeper repeats a tail that was cut short.
func ForgetInRedis(client redis.UniversalClient) Forget {
	inspector, hints := asynq.NewInspectorFromRedisClient(client), redisx.NewHints(client)
	return func(ctx context.Context, rec *storage.Record) error {
		for run := 1; run <= rec.Run; run++ {
			for _, lane := range tasks.Lanes() {
				err := inspector.DeleteTask(tasks.Queue(rec.Kind, lane), tasks.TaskID(rec.VerificationID, run))
				if err != nil && !errors.Is(err, asynq.ErrTaskNotFound) && !errors.Is(err, asynq.ErrQueueNotFound) {
					return fmt.Errorf("delete the job's task (if a worker is processing it, try again in a minute): %w", err)
				}
			}
		}
		return hints.DropAnswer(ctx, string(rec.Kind), rec.VerificationID)
	}
}

// Erase removes what kycq keeps of a person for a finished job: the masked image, its own upload, the quarantined image,
// the sealed input and answer, also in Redis, the masked view and the fingerprint. What stays is a tombstone: the id, the
// outcome, the attempts with their times, who erased it and why. An object of the user's own in S3 is not touched, nor is
// the row in the sealed manifest of a batch. It may be repeated.
func Erase(ctx context.Context, store Erasable, forget Forget, keyset *Keyset, kind tasks.Kind, id, by, reason string) (*storage.Record, error) {
	rec, version, err := store.Record(ctx, kind, id)
	switch {
	case err != nil:
		return nil, fmt.Errorf("erase: %w", err)
	case !rec.State.Final():
		return nil, ErrNotFinal
	}
	if err := errors.Join(forget(ctx, rec), deleteImages(ctx, store, keyset, rec)); err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	rec = rec.Clone()
	rec.SealedInput, rec.Sealed, rec.Fingerprint = "", "", ""
	rec.MaskedImage, rec.Passport = nil, nil
	if rec.Erased == nil {
		rec.Erased = &storage.Erasure{At: time.Now().UTC().Truncate(time.Millisecond), By: by, Reason: reason}
	}
	if _, err := store.SwapRecord(ctx, rec, version); err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	return rec, nil
}

// deleteImages comes before the tombstone, so that a record that still has its seals is one whose erasure is not done.
func deleteImages(ctx context.Context, store Erasable, keyset *Keyset, rec *storage.Record) error {
	if rec.Kind != tasks.Aadhaar {
		return nil
	}
	if rec.SealedInput != "" {
		in, err := openInput(keyset, rec)
		if err != nil {
			return err
		}
		if in.Image.Uploaded {
			if err := store.DeleteUpload(ctx, *in.Image); err != nil {
				return err
			}
		}
	}
	if err := store.DeleteMasked(ctx, rec.VerificationID); err != nil {
		return err
	}
	return store.DeleteQuarantine(ctx, rec.VerificationID)
}
