package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

var (
	// ErrNotFinal means that the job is not finished.
	ErrNotFinal = errors.New("the job is not finished: wait for it (`kycq job wait`), or cancel it (`kycq job cancel`)")
	// ErrInputGone means that kycq has deleted the job's image, as it does after an answer.
	ErrInputGone = errors.New("the job's image was deleted after its answer, so it cannot run again: submit the image under a new verification_id")
	// ErrOtherRun means that the job is at another run than its retry expects.
	ErrOtherRun = errors.New("the job is at another run")
	// ErrErased means that the job's input was erased.
	ErrErased = errors.New("the job's input was erased: submit it again under a new verification_id")
)

// Push enqueues the task of a job: tasks.Client.Push.
type Push func(ctx context.Context, job tasks.JobSpec) (tasks.Status, error)

// Rerun begins the next run of a finished job for an operator. Its calls use a derived id and are charged again. The record
// keeps the results of the earlier runs. With an ifRun other than 0, only that run is followed by another, so that a repeated request
// pays once. If only its task could not be enqueued, the run is returned beside the error.
//
// Errors: storage.ErrNotFound, ErrOtherRun, ErrNotFinal, ErrErased, ErrInputGone, storage.ErrConflict if another operator was faster, and those of S3
// and Redis.
func Rerun(ctx context.Context, records RecordStore, push Push, kind tasks.Kind, id string, ifRun int) (tasks.JobSpec, error) {
	rec, version, err := records.Record(ctx, kind, id)
	switch {
	case err != nil:
		return tasks.JobSpec{}, fmt.Errorf("retry: %w", err)
	case ifRun != 0 && ifRun != rec.Run:
		return tasks.JobSpec{}, ErrOtherRun
	case !rec.State.Final():
		return tasks.JobSpec{}, ErrNotFinal
	case rec.SealedInput == "":
		return tasks.JobSpec{}, ErrErased
	case rec.InputGone():
		return tasks.JobSpec{}, ErrInputGone
	}
	next := rec.JobSpec
	next.Run++
	err = storage.WriteMarked(func() error { return records.MarkOpen(ctx, storage.OpenRunOf(next)) }, func() error {
		_, err := records.SwapRecord(ctx, rec.NextRun(next), version)
		return err
	})
	if errors.Is(err, storage.ErrConflict) {
		return tasks.JobSpec{}, fmt.Errorf("retry: the record was changed at the same time: look at it and try again: %w", err)
	} else if err != nil {
		return tasks.JobSpec{}, fmt.Errorf("retry: %w", err)
	}
	if _, err := push(ctx, next); err != nil {
		return next, fmt.Errorf("retry: the run is recorded and starts by itself within minutes: %w", err)
	}
	return next, nil
}
