package webhooks

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

const readParallel = 32

// Resend owes again what has ended in the last while, and returns how many events that is.
func Resend(ctx context.Context, store *storage.Store, list []Endpoint, while time.Duration) (int, error) {
	now, err := store.Now(ctx)
	if err != nil {
		return 0, err
	}
	since := now.Add(-while)
	var n atomic.Int64
	owe := func(ctx context.Context, events ...storage.Event) error {
		for _, e := range events {
			for _, to := range list {
				if e.At.Before(since) || !to.subscriber().Wants(e) {
					continue
				}
				if err := store.OweTo(ctx, to.Name, e, nil); err != nil {
					return err
				}
				n.Add(1)
			}
		}
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readParallel)
	for _, kind := range tasks.Kinds() {
		for id, err := range store.RecordsSince(ctx, kind, while) {
			if err != nil {
				err = errors.Join(err, group.Wait())
				return int(n.Load()), err
			}
			group.Go(func() error {
				rec, _, err := store.Record(ctx, kind, id)
				if err != nil || !rec.State.Final() {
					return err
				}
				return owe(ctx, storage.EventsOf(rec)...)
			})
		}
	}
	batches, err := batch.NewStore(store).All(ctx)
	for _, b := range batches {
		if err == nil && b.Done() {
			err = owe(ctx, b.Finished())
		}
	}
	err = errors.Join(err, group.Wait())
	return int(n.Load()), err
}
