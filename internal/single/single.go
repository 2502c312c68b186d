// Package single submits one job: it uploads the image if there is one, enqueues the job, and deletes an upload that no job
// will use. Repeating it is safe, also after a crash between two steps.
package single

import (
	"context"
	"errors"
	"io"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Store is the store of images: *storage.Store.
type Store interface {
	UploadImage(ctx context.Context, group, id string, src io.ReadSeeker) (tasks.Image, error)
	DeleteUpload(ctx context.Context, img tasks.Image) error
}

// Client enqueues jobs: *tasks.Client.
type Client interface {
	Enqueue(ctx context.Context, job tasks.Job) (tasks.Receipt, error)
}

// Submit enqueues a job. If image is not nil, it is uploaded and becomes the job's input. remains is a *storage.RemainsError
// if versions of an upload that was deleted again remain. Errors are those of storage.Store.UploadImage and
// tasks.Client.Enqueue.
func Submit(ctx context.Context, store Store, client Client, job tasks.Job, image io.ReadSeeker) (receipt tasks.Receipt, remains, err error) {
	if image == nil {
		receipt, err = client.Enqueue(ctx, job)
		return receipt, nil, err
	}
	ref, err := store.UploadImage(ctx, storage.SingleGroup, job.VerificationID, image)
	if err != nil {
		return receipt, nil, err
	}
	job.Input = tasks.Input{Image: &ref}
	receipt, err = client.Enqueue(ctx, job)
	if unwanted(receipt, err) {
		var left storage.RemainsError
		err = errors.Join(err, left.Take(store.DeleteUpload(ctx, ref)))
		remains = left.Result()
	}
	return receipt, remains, err
}

// unwanted reports whether no job will use, and thus delete, the upload: the id belongs to a job with another image, or the
// job is done. (A failed job keeps its image for a retry.)
func unwanted(r tasks.Receipt, err error) bool {
	return errors.Is(err, tasks.ErrDifferentInput) ||
		r.Status == tasks.AlreadyDone && (r.Outcome == string(storage.StateValid) || r.Outcome == string(storage.StateInvalid))
}
