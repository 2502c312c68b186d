package main

import (
	"context"
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

// viewPatience is how long Redis is waited for.
const viewPatience = 3 * time.Second

func (v *jobView) blocked(ctx context.Context, rec *storage.Record) *blocked.Reason {
	if rec.State.Final() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, viewPatience)
	defer cancel()
	fleet, err := v.fleet(ctx)
	if err != nil {
		return blocked.NoRedis()
	}
	var status *batch.Status
	if rec.Batch != "" {
		status, _, _ = batch.NewControl(v.redis, v.store).Status(ctx, rec.Batch) // without it, the line says less
	}
	reason, err := fleet.Job(rec, status)
	if err != nil {
		return blocked.NoRedis()
	}
	return reason
}
