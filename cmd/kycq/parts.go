package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// appendAudit writes the audit event of what an operator is about to do. If that fails, the action must not happen.
func appendAudit(ctx context.Context, store *storage.Store, act audit.Act) error {
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

// with returns a command's RunE: it reads the settings, opens what the command uses, calls fn, and closes it.
func with[T interface{ Close() }](a *app, open func(context.Context, *config.Config) (T, error), fn func(context.Context, T, []string) error) func(*cobra.Command, []string) error {
	return a.Command(func(cmd *cobra.Command, args []string) error {
		cfg, err := a.Settings(cmd)
		if err != nil {
			return err
		}
		deps, err := open(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		defer deps.Close()
		return fn(cmd.Context(), deps, args)
	})
}

// withStore is like with, for commands that need nothing but the store.
func withStore(a *app, fn func(context.Context, *storage.Store, []string) error) func(*cobra.Command, []string) error {
	return a.Command(func(cmd *cobra.Command, args []string) error {
		cfg, err := a.Settings(cmd)
		if err != nil {
			return err
		}
		store, err := wire.OpenStore(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		return fn(cmd.Context(), store, args)
	})
}

// producer is what the commands that enqueue use.
type producer struct {
	keyset *tasks.Keyset
	redis  redis.UniversalClient
	store  *storage.Store
	client *tasks.Client
}

// openProducer checks settings and keyset before it connects.
func openProducer(ctx context.Context, cfg *config.Config) (*producer, error) {
	keyset, err := wire.OpenKeyset(cfg)
	if err != nil {
		return nil, err
	}
	store, err := wire.OpenStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	rdb, err := wire.OpenRedis(ctx, cfg)
	if err != nil {
		return nil, err
	}
	client, err := tasks.NewClient(tasks.ClientConfig{Redis: rdb, Ledger: store, Keyset: keyset})
	if err != nil {
		_ = rdb.Close()
		return nil, err
	}
	return &producer{keyset: keyset, redis: rdb, store: store, client: client}, nil
}

func (p *producer) Close() { _ = p.redis.Close() }

// fleetDeps is what the fleet commands use.
type fleetDeps struct {
	redis redis.UniversalClient
	store *storage.Store
	gate  *gate.Gate
}

func openFleetDeps(ctx context.Context, cfg *config.Config) (*fleetDeps, error) {
	store, err := wire.OpenStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	rdb, err := wire.OpenRedis(ctx, cfg)
	if err != nil {
		return nil, err
	}
	g, err := wire.OpenGate(rdb, cfg, zerolog.Nop())
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	return &fleetDeps{redis: rdb, store: store, gate: g}, nil
}

func (d *fleetDeps) Close() {
	d.gate.Close()
	_ = d.redis.Close()
}
