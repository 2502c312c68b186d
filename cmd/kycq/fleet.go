package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

func newFleet(a *app) *cobra.Command {
	return a.group(&cobra.Command{Use: "fleet", Short: "see and steer all workers together"},
		newFleetStatus(a), newFleetPause(a), newFleetResume(a), newFleetRate(a))
}

// fleetCommand gives fn the operator's parts.
func (a *app) fleetCommand(cmd *cobra.Command, fn func(ctx context.Context, o *operator, args []string) error) *cobra.Command {
	cmd.RunE = a.command(func(cmd *cobra.Command, args []string) error {
		cfg, err := a.settings(cmd)
		if err != nil {
			return err
		}
		o, err := openOperator(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		defer o.Close()
		return fn(cmd.Context(), o, args)
	})
	return uses(cmd, config.Redis, config.S3, config.Rates)
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
	}, func(ctx context.Context, o *operator, _ []string) error {
		if reason == "" {
			return usagef("--reason: say why: it is shown to whoever wonders")
		}
		if err := enter(ctx, o.store, audit.Act{Action: "fleet.pause", Reason: reason}); err != nil {
			return err
		}
		first, err := o.gate.RaiseHold(ctx, gate.Hold{
			Reason: reason, Code: "paused", NextAction: "run `kycq fleet resume`", By: "operator",
		})
		if err != nil {
			return err
		}
		if err := worker.NewQueuePause(o.redis).Pause(ctx); err != nil {
			return err
		}
		if !first {
			a.note("the fleet was on hold already: see kycq fleet status")
		}
		return a.printHold(ctx, o)
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
	}, func(ctx context.Context, o *operator, _ []string) error {
		if err := enter(ctx, o.store, audit.Act{Action: "fleet.resume"}); err != nil {
			return err
		}
		switch err := o.gate.Resume(ctx); {
		case errors.Is(err, gate.ErrNotHeld):
			a.note("the fleet is not on hold")
		case err != nil:
			return err
		}
		if err := worker.NewQueuePause(o.redis).Resume(ctx); err != nil {
			return err
		}
		return a.printHold(ctx, o)
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
	}, func(ctx context.Context, o *operator, args []string) error {
		kind, err := tasks.ParseKind(args[0])
		if err != nil {
			return usageError(err)
		}
		rate, err := gate.ParseRate(args[1])
		if err != nil {
			return usageError(err)
		}
		act := audit.Act{Action: "fleet.rate", Kind: string(kind), Detail: map[string]string{"rate": rate.String()}}
		if err := enter(ctx, o.store, act); err != nil {
			return err
		}
		if err := o.gate.SetRate(ctx, string(kind), rate); err != nil {
			return err
		}
		if a.json {
			return a.printLine(map[string]string{"kind": string(kind), "rate": rate.String()})
		}
		return a.print("%s is paced at %s from now on\n", kind, rate)
	})
}

// printHold says what the hold is now.
func (a *app) printHold(ctx context.Context, o *operator) error {
	hold, err := o.gate.Hold(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return a.printLine(map[string]any{"hold": hold})
	}
	return a.print("%s\n", describeHold(hold))
}
