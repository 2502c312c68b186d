package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/blocked"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// The areas of settings that groups of commands read, and thus what they open.
var (
	storeAreas = []config.Area{config.S3}
	auditAreas = []config.Area{config.S3, config.Audit}
	jobAreas   = []config.Area{config.Redis, config.S3, config.Sealing, config.Audit}
	fleetAreas = []config.Area{config.Redis, config.S3, config.Rates, config.Audit}
	batchAreas = []config.Area{config.Redis, config.S3, config.Sealing, config.Rates, config.Audit}
)

// deps is what a command works with. What its areas of settings do not configure is nil.
type deps struct {
	cfg    *config.Config
	store  *storage.Store
	keyset *tasks.Keyset
	redis  redis.UniversalClient
	client *tasks.Client // if the areas include those of jobs
	gate   *gate.Gate    // if the areas include those of the fleet
}

// command makes fn the code of cmd. It runs with what the areas configure. The area of the audit trail accepts a keyset, for
// the MACs of events; that of sealing requires one.
func (a *app) command(cmd *cobra.Command, areas []config.Area, fn func(ctx context.Context, d *deps, args []string) error) *cobra.Command {
	cmd.RunE = a.Command(func(cmd *cobra.Command, args []string) error {
		return a.withDeps(cmd, areas, func(ctx context.Context, d *deps) error { return fn(ctx, d, args) })
	})
	if slices.Contains(areas, config.Audit) && !slices.Contains(areas, config.Sealing) {
		return cli.Uses(cmd, append(slices.Clone(areas), config.Sealing)...)
	}
	return cli.Uses(cmd, areas...)
}

// withDeps reads the settings of cmd, opens what those of the areas configure, calls fn, and closes it.
func (a *app) withDeps(cmd *cobra.Command, areas []config.Area, fn func(ctx context.Context, d *deps) error) error {
	cfg, err := a.Settings(cmd)
	if err != nil {
		return err
	}
	d := &deps{}
	defer d.Close()
	if err := d.open(cmd.Context(), cfg, areas); err != nil {
		return err
	}
	if d.redis != nil {
		if err := wire.CheckInstallation(cmd.Context(), d.redis, d.store, cmd.Annotations[tolerantAnnotation] != ""); err != nil {
			return err
		}
	}
	if d.client != nil {
		if err := d.store.Buckets().CheckRegions(cmd.Context()); err != nil && !errors.Is(err, objects.ErrUnreachable) {
			return err
		}
	}
	if d.client != nil && !d.keyset.Sealing() {
		if err := d.client.CheckSealing(cmd.Context()); errors.Is(err, tasks.ErrSealed) {
			return err
		}
	}
	return fn(cmd.Context(), d)
}

const tolerantAnnotation = "kycq_tolerant"

// tolerant marks a command that creates no jobs: it also runs while Redis has lost its data, or S3 is down.
func tolerant(cmd *cobra.Command) *cobra.Command {
	cmd.Annotations = map[string]string{tolerantAnnotation: "true"}
	return cmd
}

// open checks all settings before it connects to Redis.
func (d *deps) open(ctx context.Context, cfg *config.Config, areas []config.Area) (err error) {
	d.cfg = cfg
	uses := func(area config.Area) bool { return slices.Contains(areas, area) }
	if uses(config.Sealing) {
		if d.keyset, err = wire.OpenKeyset(cfg); err != nil {
			return err
		}
	}
	if d.store, err = wire.OpenStore(ctx, cfg); err != nil || !uses(config.Redis) {
		return err
	}
	if d.redis, err = wire.OpenRedis(ctx, cfg); err != nil {
		return err
	}
	if uses(config.Rates) {
		if d.gate, err = wire.OpenGate(d.redis, cfg, nil, zerolog.Nop()); err != nil {
			return err
		}
	}
	if uses(config.Sealing) {
		d.client, err = tasks.NewClient(tasks.ClientConfig{Redis: d.redis, Ledger: d.store, Keyset: d.keyset, RetryMax: cfg.RetryMax})
	}
	return err
}

// fleet reads the state of the fleet.
func (d *deps) fleet(ctx context.Context) (*blocked.Fleet, error) {
	return blocked.Read(ctx, d.redis, d.gate)
}

// ownRates are the rates that are set for this command. Those of the workers count.
func (d *deps) ownRates() map[string]rate.Rate {
	own, rates := map[string]rate.Rate{}, map[string]rate.Rate{"aadhaar": d.cfg.AadhaarRate, "passport": d.cfg.PassportRate}
	for _, v := range d.cfg.Values() {
		if kind, isRate := strings.CutSuffix(v.Name, "_rate"); isRate && v.Source != "default" {
			own[kind] = rates[kind]
		}
	}
	return own
}

func (d *deps) Close() {
	if d.gate != nil {
		d.gate.Close()
	}
	if d.redis != nil {
		_ = d.redis.Close()
	}
}

// appendAudit writes the audit event of what an operator is about to do. If that fails, the action must not happen.
func (d *deps) appendAudit(ctx context.Context, act audit.Act) error {
	user, host, err := wire.Operator(d.cfg)
	if err != nil {
		return err
	}
	_, err = wire.AppendAudit(ctx, d.cfg, d.store, user, host, act)
	return err
}
