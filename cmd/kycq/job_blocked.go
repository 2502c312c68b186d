package main

import (
	"context"
	"errors"
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
type jobView struct {
	deps
	row *storage.Record // of a row without a record in S3
}

func newJobView(cfg *config.Config, store *storage.Store) (*jobView, error) {
	v := &jobView{deps: deps{cfg: cfg, store: store}}
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

// find returns the record of a job, or that of a row of an open batch which has none yet.
func (v *jobView) find(ctx context.Context, name jobName) (*storage.Record, error) {
	rec, err := name.find(ctx, v.store)
	if !errors.Is(err, storage.ErrNotFound) {
		return rec, err
	}
	batches := batch.NewStore(v.store)
	if v.row == nil {
		v.row = v.openRow(ctx, batches, name)
	} else if b, failed := batches.Load(ctx, v.row.Batch); failed == nil && b.Done() { // cancelled before a call, or ended since the search above
		v.row = nil
		return name.find(ctx, v.store)
	}
	if v.row == nil {
		return nil, err
	}
	return v.row, nil
}

// rowPatience is how long the open batches are searched for a row.
const rowPatience = 20 * time.Second

// openRow searches the open batches for a row. Without the keyset, or in an outage, it finds none.
func (v *jobView) openRow(ctx context.Context, batches *batch.Store, name jobName) *storage.Record {
	ctx, cancel := context.WithTimeout(ctx, rowPatience)
	defer cancel()
	keyset, err := wire.OpenKeyset(v.cfg)
	if err != nil {
		return nil
	}
	open, _ := batches.Open(ctx)
	for _, b := range open {
		if !slices.Contains(name.kinds, b.Kind) {
			continue
		}
		if row, _ := batch.PartsOf(v.store, keyset, b).Find(ctx, name.id); row != nil {
			return b.Queued(row)
		}
	}
	return nil
}
