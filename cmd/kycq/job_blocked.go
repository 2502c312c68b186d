package main

import (
	"context"

	"github.com/rs/zerolog"

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
