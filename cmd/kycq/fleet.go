package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

func newFleet(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "fleet", Short: "see and steer all workers together"},
		newFleetStatus(a), newFleetPause(a), newFleetResume(a), newFleetRate(a))
}

// fleetCommand opens what fn uses.
func (a *app) fleetCommand(cmd *cobra.Command, fn func(ctx context.Context, d *fleetDeps, args []string) error) *cobra.Command {
	cmd.RunE = a.Command(func(cmd *cobra.Command, args []string) error {
		cfg, err := a.Settings(cmd)
		if err != nil {
			return err
		}
		d, err := openFleetDeps(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		defer d.Close()
		return fn(cmd.Context(), d, args)
	})
	return cli.Uses(cmd, config.Redis, config.S3, config.Rates)
}

func newFleetPause(a *app) *cobra.Command {
	var reason string
	cmd := a.fleetCommand(&cobra.Command{
		Use:   "pause",
		Short: "stop all calls of the whole fleet",
		Long: `pause puts the account on hold: no worker makes a further call until kycq fleet resume. Calls in flight are finished,
jobs stay where they are.`,
		Example: `  kycq fleet pause --reason "top-up on its way"`,
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, d *fleetDeps, _ []string) error {
		if reason == "" {
			return cli.Usagef("--reason: say why: it is shown to whoever wonders")
		}
		if err := appendAudit(ctx, d.store, audit.Act{Action: "fleet.pause", Reason: reason}); err != nil {
			return err
		}
		first, err := d.gate.RaiseHold(ctx, gate.Hold{
			Reason: reason, Code: "paused", NextAction: "run `kycq fleet resume`", By: "operator",
		})
		if err != nil {
			return err
		}
		if err := worker.NewQueuePause(d.redis).Pause(ctx); err != nil {
			return err
		}
		if !first {
			a.Note("the fleet was on hold already: see kycq fleet status")
		}
		return a.printHold(ctx, d)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the others (required; no personal data)")
	return cmd
}

func newFleetResume(a *app) *cobra.Command {
	return a.fleetCommand(&cobra.Command{
		Use:   "resume",
		Short: "end a hold: one call finds out, then all go on",
		Long: `resume lets one call through. If Cashfree answers it, the hold ends and all go on; if it is refused again, the hold
stays. Nothing is lost by trying.`,
		Example: "  kycq fleet resume && kycq fleet status --watch",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, d *fleetDeps, _ []string) error {
		if err := appendAudit(ctx, d.store, audit.Act{Action: "fleet.resume"}); err != nil {
			return err
		}
		switch err := d.gate.Resume(ctx); {
		case errors.Is(err, gate.ErrNotHeld):
			a.Note("the fleet is not on hold")
		case err != nil:
			return err
		}
		if err := worker.NewQueuePause(d.redis).Resume(ctx); err != nil {
			return err
		}
		return a.printHold(ctx, d)
	})
}

func newFleetRate(a *app) *cobra.Command {
	return a.fleetCommand(&cobra.Command{
		Use:   "rate KIND RATE",
		Short: "change the rate of a kind for all workers",
		Long: `rate changes the calls per time that all workers together make, within 2 seconds and until it is changed again. It is
kept in Redis: after a Redis that lost its data, the workers' configured rates count again.`,
		Example: "  kycq fleet rate aadhaar 200/m\n  kycq fleet rate passport 50/m",
		Args:    cobra.ExactArgs(2),
	}, func(ctx context.Context, d *fleetDeps, args []string) error {
		kind, err := tasks.ParseKind(args[0])
		if err != nil {
			return cli.UsageError(err)
		}
		limit, err := rate.Parse(args[1])
		if err != nil {
			return cli.UsageError(err)
		}
		act := audit.Act{Action: "fleet.rate", Kind: string(kind), Detail: map[string]string{"rate": limit.String()}}
		if err := appendAudit(ctx, d.store, act); err != nil {
			return err
		}
		if err := d.gate.SetRate(ctx, string(kind), limit); err != nil {
			return err
		}
		if a.JSON {
			return a.PrintLine(map[string]string{"kind": string(kind), "rate": limit.String()})
		}
		return a.Print("%s is paced at %s from now on\n", kind, limit)
	})
}

// printHold says what the hold is now.
func (a *app) printHold(ctx context.Context, d *fleetDeps) error {
	hold, err := d.gate.Hold(ctx)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.PrintLine(map[string]any{"hold": hold})
	}
	return a.Print("%s\n", describeHold(hold))
}
