package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Erasable is the store that Erase deletes from.
type Erasable interface {
	Records
	DeleteMasked(ctx context.Context, id string, runs int) error
	DeleteUpload(ctx context.Context, img tasks.Image) error
	DeleteQuarantine(ctx context.Context, id string) error
}

// Forget deletes what Redis holds for a finished job: retained tasks and a kept answer, both sealed.
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

// Erase deletes the personal data of a finished job: the masked image, kycq's own upload, the quarantined image, the sealed
// input and answer, also in Redis, the masked view and the fingerprint. It leaves a tombstone: the id, the outcome, the
// attempts, and who erased the data, when and why. It does not delete the user's own objects in S3, nor the row in the
// sealed manifest of a batch. It may be repeated.
//
// Errors: storage.ErrNotFound, ErrNotFinal, and those of S3 and Redis.
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
	for i := range rec.Earlier {
		rec.Earlier[i].MaskedImage, rec.Earlier[i].Passport, rec.Earlier[i].Sealed = nil, nil, ""
	}
	if rec.Erased == nil {
		rec.Erased = &storage.Erasure{At: now(), By: by, Reason: reason}
	}
	if _, err := store.SwapRecord(ctx, rec, version); err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	return rec, nil
}

// deleteImages deletes before the tombstone is written, so that the erasure can be repeated as long as anything is left.
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
	if err := store.DeleteMasked(ctx, rec.VerificationID, rec.Run); err != nil {
		return err
	}
	return store.DeleteQuarantine(ctx, rec.VerificationID)
}
