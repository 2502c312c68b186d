package main

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/doctor"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
)

func newDoctor(a *app) *cobra.Command {
	var role string
	cmd := cli.Uses(&cobra.Command{
		Use:   "doctor",
		Short: "check settings, Redis, S3, keyset, Cashfree and whether they belong together, and print fixes",
		Long: `doctor checks the settings, this machine's clock, Redis, the buckets, the keyset, Cashfree, and whether these belong to one
installation. It prints one line for each finding (ok, warn, fail or skip), and the fix on the next line. Checks that depend
on a failed one are skipped.

It creates and deletes a temporary object in each bucket, also tries anonymous access, reads how the bucket is protected, and sends Cashfree one request
without fields, which cannot be charged. It tries every permission that the role needs in the buckets and in Redis (from
version 7 on), and names those that are missing. --role selects the role; what only workers need, such as Cashfree, is
checked for workers only.

The exit code is 0 if no check fails, else the highest of: 6 unreachable, 5 balance, 4 credentials or IP whitelist,
2 settings, 1 other failures.`,
		Example: "  kycq doctor\n  kycq doctor --json | jq '.checks[] | select(.status == \"fail\")'",
		Args:    cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			target, closeTarget := a.openTarget(cmd, access.Role(role))
			defer closeTarget()
			found := doctor.Run(cmd.Context(), target)
			worst := doctor.Worst(found)
			err := a.Answer(map[string]any{"ok": worst != doctor.Failure, "worst": worst, "checks": found},
				func() string { return describeFindings(found) })
			if err != nil {
				return err
			}
			return cli.Exit(exitCodeOf(found))
		}),
	}, config.Redis, config.S3, config.Cashfree, config.Sealing, config.Rates, config.Work, config.Listen, config.Dashboard, config.Log)
	cli.ChoiceFlag(cmd, &role, "role", "whose settings to check", roleNames()...)
	return cmd
}

func roleNames() []string {
	var names []string
	for _, r := range access.Roles() {
		names = append(names, string(r))
	}
	return names
}

// openTarget opens what the settings allow. What it cannot open becomes a problem of the target.
func (a *app) openTarget(cmd *cobra.Command, role access.Role) (t doctor.Target, closeAll func()) {
	t.Role = role
	t.Zone = variable(a.Environ, "TZ")
	open := func(fn func(*config.Config) error, areas ...config.Area) {
		cfg, err := config.Load(config.Sources{Environ: a.Environ, Flags: cmd.Flags()}, areas...)
		switch {
		case err == nil:
			err = fn(cfg)
		case len(areas) > 0:
			return // reported for all areas together
		}
		if err != nil {
			t.Problems = append(t.Problems, lines(err)...)
		}
	}
	var closers []func()
	var redisClient redis.UniversalClient
	var store *storage.Store
	open(func(cfg *config.Config) error {
		t.Warnings, t.Careless = cfg.Warnings(), cfg.Careless()
		return nil
	})
	open(func(cfg *config.Config) error {
		t.AllowVolatile = cfg.AllowVolatileRedis
		t.DigitCheck, t.DigitRequired = "off", cfg.DigitCheck == "require"
		number, err := wire.OpenDigits(cmd.Context(), cfg)
		if t.DigitErr = err; number != nil {
			t.DigitCheck = number.Version
		}
		rdb, err := wire.NewRedis(cfg)
		if err == nil {
			redisClient, t.Redis = rdb, redisTarget{rdb}
			closers = append(closers, func() { _ = rdb.Close() })
		}
		return err
	}, config.Redis, config.Work)
	open(func(cfg *config.Config) error {
		opened, err := wire.OpenStore(cmd.Context(), cfg)
		if err == nil {
			store, t.Store, t.Subscribers = opened, opened.Buckets(), opened.Subscribers
			t.Inbox = func(ctx context.Context) iter.Seq2[objects.Info, error] { return store.Buckets().Inbox.List(ctx, "") }
		}
		return err
	}, config.S3)
	open(func(cfg *config.Config) error {
		t.Keyset, t.KeysetErr = wire.OpenKeyset(cfg)
		return nil
	}, config.Sealing)
	open(func(cfg *config.Config) error {
		if cfg.PrometheusURL != "" {
			t.Prometheus = func(ctx context.Context) (bool, error) { return askPrometheus(ctx, cfg.PrometheusURL) }
		}
		return nil
	}, config.Dashboard)
	open(func(cfg *config.Config) error {
		if t.VendorErr = cfg.RequireCredentials(); t.VendorErr != nil {
			return nil
		}
		vendor, err := wire.OpenVendor(cfg, a.Build)
		if t.VendorErr = err; err == nil {
			t.Vendor = vendor
			closers = append(closers, vendor.Close)
		}
		return nil
	}, config.Cashfree)
	open(func(cfg *config.Config) error {
		if redisClient == nil || store == nil || t.Keyset == nil || cfg.RequireCredentials() != nil {
			return nil
		}
		keeper, err := wire.NewKeeper(cfg, redisClient, store, t.Keyset, zerolog.Nop())
		if err == nil {
			t.Installation = keeper.Look
		}
		return err
	}, config.Cashfree)
	return t, func() {
		for _, c := range closers {
			c()
		}
	}
}

func describeFindings(found []doctor.Finding) string {
	var text strings.Builder
	for _, f := range found {
		_, _ = fmt.Fprintf(&text, "%-4s  %-21s %s\n", f.Status, f.Check, f.Message)
		if f.Fix != "" {
			_, _ = fmt.Fprintf(&text, "      %-21s fix: %s\n", "", f.Fix)
		}
	}
	return text.String()
}

var causeCodes = map[doctor.Cause]int{
	doctor.Settings: cli.ExitUsage, doctor.Credentials: cli.ExitCredentials, doctor.Balance: cli.ExitBalance,
	doctor.Unreachable: cli.ExitUnreachable, doctor.Environment: cli.ExitFailure,
}

// exitCodeOf returns the highest exit code of the failures.
func exitCodeOf(found []doctor.Finding) int {
	code := cli.ExitOK
	for _, f := range found {
		if f.Status == doctor.Failure {
			code = max(code, causeCodes[f.Cause])
		}
	}
	return code
}
