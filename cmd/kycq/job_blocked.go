package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/blocked"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
)

// jobView finds out what blocks a job. Unlike for other commands, Redis may be down: the record is in S3.
type jobView struct{ deps }

func newJobView(cfg *config.Config, store *storage.Store) (*jobView, error) {
	v := &jobView{deps{store: store}}
	var err error
	if v.redis, err = wire.NewRedis(cfg); err != nil {
		return nil, err
	}
	v.gate, err = wire.OpenGate(v.redis, cfg, nil, zerolog.Nop())
	return v, err
}

func (v *jobView) blocked(ctx context.Context, rec *storage.Record) *blocked.Reason {
	return (&blocked.Jobs{Redis: v.redis, Gate: v.gate, Store: v.store}).Of(ctx, rec)
}

// noRecord adds the open batches, and what blocks them, to the error about a job without a record: it may be a row of one.
func (v *jobView) noRecord(ctx context.Context, name jobName, err error) error {
	if !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // Redis may be down
	defer cancel()
	fleet, failed := v.fleet(ctx)
	if failed != nil {
		return err
	}
	batches, failed := listBatches(ctx, batch.NewControl(v.redis, v.store), fleet, false)
	if failed != nil {
		return err
	}
	const shown = 5
	batches = slices.DeleteFunc(batches, func(s *batchStatus) bool { return !slices.Contains(name.kinds, s.Kind) })
	for i, s := range batches {
		switch {
		case i == shown:
			return fmt.Errorf("%w\nand %d further open batches (kycq batch list)", err, len(batches)-shown)
		case s.Blocked != nil:
			err = fmt.Errorf("%w\n%s %s", err, s.Batch, s.Blocked.Line())
		default:
			err = fmt.Errorf("%w\n%s is %s: %d of %d rows ended", err, s.Batch, s.State, s.Ended, s.Rows)
		}
	}
	return err
}
