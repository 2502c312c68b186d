package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

func newFleet(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "fleet", Short: "inspect and control all workers"},
		newFleetStatus(a), newFleetPause(a), newFleetResume(a), newFleetRate(a))
}

func newFleetPause(a *app) *cobra.Command {
	var reason string
	cmd := a.command(tolerant(&cobra.Command{
		Use:   "pause",
		Short: "stop all calls of all workers",
		Long: `pause puts the fleet on hold: no worker makes a call until kycq fleet resume. Calls in flight complete; jobs stay in
their queues.`,
		Example: `  kycq fleet pause --reason "top-up on its way"`,
		Args:    cobra.NoArgs,
	}), fleetAreas, func(ctx context.Context, d *deps, _ []string) error {
		if reason == "" {
			return cli.Usagef("--reason: say why; kycq fleet status shows it")
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
			a.Note("the fleet was on hold already; its hold keeps this reason:")
		}
		return a.printHold(ctx, d)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why (required; no personal data)")
	return cmd
}

func newFleetResume(a *app) *cobra.Command {
	return a.command(tolerant(&cobra.Command{
		Use:   "resume",
		Short: "lift a hold (one test call first)",
		Long: `resume lets workers make one test call. If Cashfree accepts it, the hold ends; if Cashfree refuses it, the hold remains.
No job is lost either way.`,
		Example: "  kycq fleet resume && kycq fleet status --watch",
		Args:    cobra.NoArgs,
	}), fleetAreas, func(ctx context.Context, d *deps, _ []string) error {
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
	return a.command(tolerant(&cobra.Command{
		Use:   "rate KIND RATE",
		Short: "change the rate limit of a kind for all workers",
		Long: `rate changes the rate limit that all workers share. It takes effect within 2 seconds and is stored in Redis; if Redis
loses its data, the workers' configured rates apply again.`,
		Example: "  kycq fleet rate aadhaar 200/m\n  kycq fleet rate passport 50/m",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return cli.Usagef("want a kind and a rate: kycq fleet rate aadhaar 200/m")
			}
			return nil
		},
	}), fleetAreas, func(ctx context.Context, d *deps, args []string) error {
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
		return a.AnswerLine(map[string]string{"kind": string(kind), "rate": limit.String()},
			func() string { return fmt.Sprintf("%s: %s for all workers\n", kind, limit) })
	})
}

// printHold prints the present hold.
func (a *app) printHold(ctx context.Context, d *deps) error {
	hold, err := d.gate.Hold(ctx)
	if err != nil {
		return err
	}
	return a.AnswerLine(map[string]any{"hold": hold}, func() string { return describeHold(hold) + "\n" })
}
