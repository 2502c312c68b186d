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

// Erasable is the store that Erase deletes from.
type Erasable interface {
	RecordStore
	ErasableImages
	LegalHold(ctx context.Context, kind tasks.Kind, id string) (*storage.LegalHold, error)
	DeleteUpload(ctx context.Context, img tasks.Image) error
}

// ErasableImages deletes all images that Cashfree has returned for a job, and the old versions of its record. A missing one is
// not an error. If versions remain, the error is a storage.RemainsError.
type ErasableImages interface {
	DeleteMasked(ctx context.Context, id string, runs int) error
	DeleteQuarantine(ctx context.Context, id string) error
	ForgetOldRecords(ctx context.Context, kind tasks.Kind, id string) error
}

// erasureSettles is how long the images of an erased job are deleted again: a worker that was paused before the erasure may
// store one until then. The store refuses it 15 minutes after the worker has seen the record (storage.Fence), by a clock that
// is at most 15 minutes wrong.
const erasureSettles = 45 * time.Minute

// settling reports whether an image of the erased job may still appear.
func settling(rec *storage.Record, v storage.Version) bool {
	return rec.Erased != nil && v.Age < erasureSettles
}

// Forget deletes what Redis holds for a finished job: retained tasks and a kept answer, both sealed.
type Forget func(ctx context.Context, rec *storage.Record) error

// ForgetInRedis returns a Forget that deletes the tasks of all runs of the job and its kept answer. A finished job needs no
// task: the sweeper repeats a tail that was cut short.
func ForgetInRedis(client redis.UniversalClient) Forget {
	inspector, hints := asynq.NewInspectorFromRedisClient(client), redisx.NewHints(client)
	return func(ctx context.Context, rec *storage.Record) error {
		for run := 1; run <= rec.Run; run++ {
			if err := deleteTasks(inspector, rec, run); err != nil {
				return fmt.Errorf("delete the job's task (if a worker is processing it, try again in a minute): %w", err)
			}
		}
		return hints.DropAnswer(ctx, string(rec.Kind), rec.VerificationID)
	}
}

// FreeInRedis returns a Forget that deletes the task of the job's run, and not its kept answer.
func FreeInRedis(client redis.UniversalClient) Forget {
	inspector := asynq.NewInspectorFromRedisClient(client)
	return func(_ context.Context, rec *storage.Record) error { return deleteTasks(inspector, rec, rec.Run) }
}

func deleteTasks(inspector *asynq.Inspector, rec *storage.Record, run int) error {
	for _, lane := range tasks.Lanes() {
		err := inspector.DeleteTask(tasks.Queue(rec.Kind, lane), tasks.TaskID(rec.VerificationID, run))
		if err != nil && !errors.Is(err, asynq.ErrTaskNotFound) && !errors.Is(err, asynq.ErrQueueNotFound) {
			return err
		}
	}
	return nil
}

// Erase deletes the personal data of a finished job: the masked image, kycq's own upload, the quarantined image, the sealed
// input and answer, also in Redis, the masked view and the fingerprint. It leaves a tombstone: the id, the outcome, the
// attempts, and who erased the data, when and why. It does not delete the user's own objects in S3, nor the row in the
// sealed manifest of a batch. It may be repeated. In buckets with versions it deletes all versions; if some remain, because of
// object lock, it returns the tombstone and a *storage.RemainsError.
//
// The job has a marker before the tombstone is written: the leader deletes images that paused workers store later, and then
// the marker.
//
// Errors: storage.ErrNotFound, storage.ErrLegalHold, ErrNotFinal, and those of S3 and Redis.
func Erase(
	ctx context.Context, store Erasable, forget Forget, keyset *Keyset, kind tasks.Kind, id, by, reason string,
) (*storage.Record, error) {
	return eraseIf(ctx, store, forget, keyset, kind, id, by, reason, func(*storage.Record) bool { return true })
}

// errNotDue means that the job has run again since its erasure was planned.
var errNotDue = errors.New("the data of the job is not to be erased any more")

// eraseIf is Erase for a record that is due.
func eraseIf(
	ctx context.Context, store Erasable, forget Forget, keyset *Keyset, kind tasks.Kind, id, by, reason string,
	due func(*storage.Record) bool,
) (*storage.Record, error) {
	rec, version, err := store.Record(ctx, kind, id)
	var held *storage.LegalHold
	if err == nil {
		held, err = store.LegalHold(ctx, kind, id)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("erase: %w", err)
	case held != nil:
		return nil, fmt.Errorf("erase: %w", storage.ErrLegalHold)
	case !rec.State.Final():
		return nil, ErrNotFinal
	case !due(rec):
		return nil, errNotDue
	}
	err = store.MarkOpen(ctx, storage.OpenRunOf(rec.JobSpec))
	var upload *tasks.Image
	var remains storage.RemainsError
	if err == nil {
		upload, err = deleteInput(ctx, store, keyset, rec, &remains)
		err = errors.Join(forget(ctx, rec), err)
	}
	if err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	rec = tombstone(rec, by, reason, upload)
	if _, err := store.SwapRecord(ctx, rec, version); err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	if err := remains.Take(deleteResults(ctx, store, rec)); err != nil {
		return nil, fmt.Errorf("erase: the images will be deleted within minutes: %w", err)
	}
	return rec, remains.Result()
}

func tombstone(rec *storage.Record, by, reason string, upload *tasks.Image) *storage.Record {
	rec = rec.Clone()
	rec.SealedInput, rec.Sealed, rec.Fingerprint = "", "", ""
	rec.MaskedImage, rec.Passport = nil, nil
	rec.NextAction = "" // a retry and a review are refused
	for i := range rec.Earlier {
		rec.Earlier[i].MaskedImage, rec.Earlier[i].Passport, rec.Earlier[i].Sealed = nil, nil, ""
	}
	if rec.Erased == nil {
		rec.Erased = &storage.Erasure{At: now(), By: by, Reason: reason}
	}
	rec.Erased.Upload = upload
	return rec
}

// deleteInput deletes kycq's own upload, before the tombstone: afterwards its place is not known. It returns the place if
// versions of it remain.
func deleteInput(ctx context.Context, store Erasable, keyset *Keyset, rec *storage.Record, remains *storage.RemainsError) (*tasks.Image, error) {
	var upload tasks.Image
	switch {
	case rec.Kind != tasks.Aadhaar:
		return nil, nil
	case rec.Erased != nil && rec.Erased.Upload != nil:
		upload = *rec.Erased.Upload
	case rec.SealedInput != "":
		in, err := openInput(keyset, rec)
		if err != nil {
			return nil, err
		}
		upload = tasks.Image{Bucket: in.Image.Bucket, Key: in.Image.Key, Uploaded: in.Image.Uploaded}
	}
	if !upload.Uploaded {
		return nil, nil
	}
	err := store.DeleteUpload(ctx, upload)
	if left := remains.Take(err); err == nil || left != nil {
		return nil, left
	}
	return &upload, nil
}

// ignoreRemains drops a RemainsError, which kycq erase reports to the operator.
func ignoreRemains(err error) error { return new(storage.RemainsError).Take(err) }

// deleteResults deletes the results of an erased job, after the tombstone: a worker that does not see the tombstone stores
// its image before the deletion.
func deleteResults(ctx context.Context, store ErasableImages, rec *storage.Record) error {
	var remains storage.RemainsError
	err := remains.Take(store.ForgetOldRecords(ctx, rec.Kind, rec.VerificationID))
	if rec.Kind == tasks.Aadhaar {
		err = errors.Join(err, remains.Take(store.DeleteMasked(ctx, rec.VerificationID, rec.Run)),
			remains.Take(store.DeleteQuarantine(ctx, rec.VerificationID)))
	}
	return errors.Join(err, remains.Result())
}
