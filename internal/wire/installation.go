package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/installation"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// namePatience is how long a producer waits for a name that a worker restores.
const namePatience = 15 * time.Second

// CheckInstallation returns an error if Redis and the buckets belong to two installations. If tolerant, it
// does not wait for a missing name, and returns an error only if that is certain.
func CheckInstallation(ctx context.Context, rdb redis.UniversalClient, store *storage.Store, tolerant bool) error {
	patience := namePatience
	if tolerant {
		patience = 0
	}
	err := redisx.CheckName(ctx, rdb, store.RedisName, patience)
	switch {
	case tolerant && !errors.Is(err, redisx.ErrOther):
		return nil
	case errors.Is(err, redisx.ErrNameMissing):
		return cli.WithCode(cli.ExitUnreachable, err)
	}
	return err
}

// NewKeeper builds what makes and verifies the installation.
func NewKeeper(cfg *config.Config, rdb redis.UniversalClient, store *storage.Store, keyset *tasks.Keyset, log zerolog.Logger) (*installation.Keeper, error) {
	account, err := installation.AccountOf(cfg.CashfreeURL, cfg.CashfreeClientID, keyset)
	if err != nil {
		return nil, cli.UsageError(err)
	}
	return installation.New(installation.Config{
		Bucket: installation.BucketOf(store.Buckets()), Redis: rdb, Account: account, Log: log,
		SetName: func(ctx context.Context, name string) error {
			if err := rdb.SetNX(ctx, redisx.NameKey, name, 0).Err(); err != nil {
				return fmt.Errorf("write the name of the installation: %w", err)
			}
			return nil
		},
	}), nil
}
