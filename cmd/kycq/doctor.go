package main

import (
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/doctor"
	"github.com/kycq/kycq/internal/wire"
)

func newDoctor(a *app) *cobra.Command {
	return cli.Uses(&cobra.Command{
		Use:   "doctor",
		Short: "find out what would keep kycq from working here, and say what to do",
		Long: `doctor looks at the settings, this machine's clock, Redis, the buckets, the keyset and Cashfree, and prints one line
for each: ok, warn, fail or skip, with the fix. What depends on something that is wrong is skipped.

It puts and removes a throw-away object in each bucket and sends Cashfree one request without a single field, which
cannot be charged.

The exit code is 0 where nothing fails, else the highest that applies: 6 where something cannot be reached, 5 balance,
4 credentials or IP whitelist, 2 settings, 1 all others. Warnings do not count.`,
		Example: "  kycq doctor\n  kycq doctor --json | jq '.checks[] | select(.status == \"fail\")'",
		Args:    cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			patient, discharge := a.admitPatient(cmd)
			defer discharge()
			return a.printExamination(doctor.Examine(cmd.Context(), patient))
		}),
	}, config.Redis, config.S3, config.Cashfree, config.Sealing, config.Rates, config.Work, config.Listen, config.Dashboard, config.Log)
}

// admitPatient builds what can be built of the settings. What cannot be used is among the problems.
func (a *app) admitPatient(cmd *cobra.Command) (p doctor.Patient, discharge func()) {
	load := func(areas ...config.Area) (*config.Config, error) {
		return config.Load(config.Sources{Environ: a.Environ, Flags: cmd.Flags()}, areas...)
	}
	p.Zone = variable(a.Environ, "TZ")
	if all, err := load(); err != nil {
		p.Problems = lines(err)
	} else {
		p.Warnings = all.Warnings()
	}
	var cleanup []func()
	if cfg, err := load(config.Redis, config.Work); err == nil {
		p.AllowVolatile = cfg.AllowVolatileRedis
		if rdb, err := wire.NewRedis(cfg); err != nil {
			p.Problems = append(p.Problems, lines(err)...)
		} else {
			p.Redis = redisPatient{rdb}
			cleanup = append(cleanup, func() { _ = rdb.Close() })
		}
	}
	if cfg, err := load(config.S3); err == nil {
		if store, err := wire.OpenStore(cmd.Context(), cfg); err != nil {
			p.Problems = append(p.Problems, lines(err)...)
		} else {
			p.Store = store
		}
	}
	if cfg, err := load(config.Sealing); err == nil {
		p.Keyset, p.KeysetErr = wire.OpenKeyset(cfg)
	}
	if cfg, err := load(config.Cashfree); err == nil {
		if vendor, err := a.openKnownVendor(cfg); err != nil {
			p.VendorErr = err
		} else {
			p.Vendor = vendor
			cleanup = append(cleanup, vendor.Close)
		}
	}
	return p, func() {
		for _, c := range cleanup {
			c()
		}
	}
}

func (a *app) openKnownVendor(cfg *config.Config) (*cashfree.Client, error) {
	if err := cfg.RequireCredentials(); err != nil {
		return nil, err
	}
	return wire.OpenVendor(cfg, a.Build)
}

func (a *app) printExamination(found []doctor.Finding) error {
	code := examinationCode(found)
	if a.JSON {
		if err := a.PrintJSON(map[string]any{"ok": doctor.Worst(found) != doctor.Failure, "worst": doctor.Worst(found), "checks": found}); err != nil {
			return err
		}
		return cli.Exit(code)
	}
	for _, f := range found {
		text := f.Message
		if f.Fix != "" {
			text += ": " + f.Fix
		}
		if err := a.Print("%-4s  %-18s %s\n", f.Status, f.Check, text); err != nil {
			return err
		}
	}
	return cli.Exit(code)
}

var causeCodes = map[doctor.Cause]int{
	doctor.Settings: cli.ExitUsage, doctor.Credentials: cli.ExitCredentials, doctor.Balance: cli.ExitBalance,
	doctor.Unreachable: cli.ExitUnreachable, doctor.Environment: cli.ExitFailure,
}

// examinationCode is the highest code of a failure: what cannot be reached hides the rest.
func examinationCode(found []doctor.Finding) int {
	code := cli.ExitOK
	for _, f := range found {
		if f.Status == doctor.Failure {
			code = max(code, causeCodes[f.Cause])
		}
	}
	return code
}
