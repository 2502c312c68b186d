package main

import (
	"context"
	"fmt"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/wire"
)

func newStorageAdopt(a *app) *cobra.Command {
	var reason string
	var clientIDChanged bool
	cmd := cli.Uses(&cobra.Command{
		Use:   "adopt",
		Short: "make this Redis, or a changed client id, that of the buckets",
		Long: `adopt makes the Redis of KYCQ_REDIS_URL the one that drives the buckets, although it carries the name of another
installation, for example of buckets that are gone. With --client-id-changed it also accepts another
KYCQ_CASHFREE_CLIENT_ID at the same host. Another host (sandbox or live) needs other buckets.

Stop all workers first. A Redis that is new or has lost its data needs no adopt: a worker adopts it three minutes after the
one before was last seen.`,
		Example: `  kycq storage adopt --reason "the trial's buckets were deleted"
  kycq storage adopt --client-id-changed --reason "Cashfree issued new API keys"`,
		Args: cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			if reason == "" {
				return cli.Usagef("--reason: say why; it is stored in the audit trail (no personal data)")
			}
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			if err := cfg.Require("cashfree_client_id"); err != nil {
				return err
			}
			d := &deps{}
			defer d.Close()
			if err := d.open(cmd.Context(), cfg, cli.AreasOf(cmd)); err != nil {
				return err
			}
			return a.adopt(cmd.Context(), cfg, d, reason, clientIDChanged)
		}),
	}, config.Redis, config.S3, config.Cashfree, config.Sealing, config.Audit)
	cmd.Flags().StringVar(&reason, "reason", "", "why (required; no personal data)")
	cmd.Flags().BoolVar(&clientIDChanged, "client-id-changed", false, "accept another client id at the same host")
	return cmd
}

func (a *app) adopt(ctx context.Context, cfg *config.Config, d *deps, reason string, clientIDChanged bool) error {
	keeper, err := wire.NewKeeper(cfg, d.redis, d.store, d.keyset, zerolog.Nop())
	if err != nil {
		return err
	}
	found, err := keeper.Look(ctx)
	if err != nil {
		return err
	}
	if err := found.CanAdopt(clientIDChanged); err != nil {
		return cli.UsageError(err)
	}
	if err := refuseRunningWorkers(d.redis); err != nil {
		return err
	}
	if err := d.appendAudit(ctx, audit.Act{Action: "storage.adopt", Reason: reason}); err != nil {
		return err
	}
	if err := hold.NewSet(d.redis).Forget(ctx); err != nil {
		return err
	}
	if err := keeper.Adopt(ctx, found); err != nil {
		return err
	}
	return a.Answer(map[string]bool{"adopted": true}, func() string { return "this Redis drives the buckets now: start the workers\n" })
}

// refuseRunningWorkers returns an error while workers use the Redis. That of one that was killed is listed for some seconds.
func refuseRunningWorkers(rdb redis.UniversalClient) error {
	servers, err := asynq.NewInspectorFromRedisClient(rdb).Servers()
	if err != nil {
		return fmt.Errorf("look for running workers: %w", err)
	}
	if len(servers) > 0 {
		return cli.Usagef("workers use this Redis, for example process %d on %s: stop them first", servers[0].PID, servers[0].Host)
	}
	return nil
}
