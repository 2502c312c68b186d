package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/storage"
)

// enter writes the audit entry of what an operator is about to do. Without the entry the deed is refused.
func enter(ctx context.Context, store *storage.Store, act audit.Act) error {
	user, host, err := audit.Here()
	if err != nil {
		return err
	}
	trail, err := audit.New(audit.Config{Objects: store, User: user, Host: host})
	if err != nil {
		return err
	}
	if _, err := trail.Append(ctx, act); err != nil {
		return fmt.Errorf("refused, because the audit entry cannot be written: %w", err)
	}
	return nil
}

// operator is what the fleet commands act on.
type operator struct {
	redis redis.UniversalClient
	store *storage.Store
	gate  *gate.Gate
}

func openOperator(ctx context.Context, cfg *config.Config) (*operator, error) {
	store, err := openStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	rdb, err := openRedis(ctx, cfg)
	if err != nil {
		return nil, err
	}
	g, err := openGate(rdb, cfg, zerolog.Nop())
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	return &operator{redis: rdb, store: store, gate: g}, nil
}

func (o *operator) Close() {
	o.gate.Close()
	_ = o.redis.Close()
}
