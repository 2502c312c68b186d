package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/pauses"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

func newFleet(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "fleet", Short: "inspect and control all workers"},
		newFleetStatus(a), newFleetWorkers(a), newFleetPause(a), newFleetResume(a), newFleetRate(a))
}

func newFleetPause(a *app) *cobra.Command {
	var reason string
	cmd := a.command(tolerant(&cobra.Command{
		Use:               "pause [KIND]",
		ValidArgsFunction: completeKind(),
		Short:             "stop all calls of all workers",
		Long: `pause puts the fleet on hold, or one kind: no worker makes a call until kycq fleet resume. Calls in flight complete; jobs
stay in their queues. The pause is stored in S3, so it lasts even if Redis loses its data.`,
		Example: `  kycq fleet pause --reason "top-up on its way"
  kycq fleet pause passport --reason "wrong file numbers in the last batch"`,
		Args: optionalKind,
	}), fleetAreas, func(ctx context.Context, d *deps, args []string) error {
		if reason == "" {
			return cli.Usagef("--reason: say why; kycq fleet status shows it")
		}
		user, host, err := wire.Operator(d.cfg)
		if err != nil {
			return err
		}
		h := hold.Hold{
			Kind: kindOf(args), Reason: reason, Code: "paused", NextAction: "run `kycq fleet resume`",
			By: user, Host: host, Since: time.Now().UTC().Truncate(time.Second),
		}
		if err := d.appendAudit(ctx, audit.Act{Action: "fleet.pause", Kind: h.Kind, Reason: reason}); err != nil {
			return err
		}
		first, err := d.pauses().Pause(ctx, h)
		if err != nil {
			return err
		}
		if !first {
			a.Note("it was paused already; the pause keeps its reason:")
		}
		return a.printHolds(ctx, d)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why (required; no personal data)")
	return cmd
}

func newFleetResume(a *app) *cobra.Command {
	var cause string
	cmd := a.command(tolerant(&cobra.Command{
		Use:               "resume [KIND]",
		ValidArgsFunction: completeKind(),
		Short:             "lift a hold (one test call first)",
		Long: `resume lets workers make one test call. If Cashfree accepts it, the hold ends; if Cashfree refuses it, the hold remains.
No job is lost either way.

Without --cause, resume lifts all holds. It keeps a pause while there are other holds, since topping up the balance is no
reason to end the pause of a colleague. With KIND, it lifts only the holds of that kind.`,
		Example: `  kycq fleet resume && kycq fleet status --watch
  kycq fleet resume --cause balance
  kycq fleet resume --cause operator passport`,
		Args: optionalKind,
	}), fleetAreas, func(ctx context.Context, d *deps, args []string) error {
		if cause != "" && cause != hold.All && !slices.Contains(hold.Causes, cause) {
			return cli.Usagef("--cause: want one of %s, or %s", strings.Join(hold.Causes, ", "), hold.All)
		}
		act := audit.Act{Action: "fleet.resume", Kind: kindOf(args)}
		if cause != "" {
			act.Detail = map[string]string{"cause": cause}
		}
		if err := d.appendAudit(ctx, act); err != nil {
			return err
		}
		kept := false
		resumed, err := d.pauses().Resume(ctx, func(all []hold.Hold) []hold.Hold {
			selected := hold.ToResume(slices.Clone(all), cause, kindOf(args))
			kept = slices.ContainsFunc(all, hold.Hold.Paused) && !slices.ContainsFunc(selected, hold.Hold.Paused)
			return selected
		})
		switch {
		case errors.Is(err, hold.ErrNotHeld) && len(args) == 0 && cause == "":
			a.Note("the fleet is not on hold")
		case errors.Is(err, hold.ErrNotHeld):
			a.Note("there is no such hold")
		case err != nil:
			return err
		}
		for _, h := range resumed {
			a.Note("resumed: %s", describeHold(h))
		}
		if err := worker.NewQueuePause(d.redis).ClearIdle(ctx, d.gate, resumed); err != nil {
			return err
		}
		if kept {
			a.Note("the pause remains; to end it, run: kycq fleet resume --cause operator")
		}
		return a.printHolds(ctx, d)
	})
	cmd.Flags().StringVar(&cause, "cause", "", "lift only the hold of this cause: "+strings.Join(hold.Causes, ", ")+"; or "+hold.All)
	return cmd
}

// optionalKind accepts at most one argument, a kind.
func optionalKind(_ *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return cli.Usagef("want at most one kind")
	case len(args) == 0:
		return nil
	}
	if _, err := tasks.ParseKind(args[0]); err != nil {
		return cli.UsageError(err)
	}
	return nil
}

func kindOf(args []string) string { return strings.Join(args, "") }

func (d *deps) pauses() *pauses.Pauses {
	return wire.OpenPauses(d.store, d.redis, d.gate, zerolog.Nop())
}

func newFleetRate(a *app) *cobra.Command {
	var reset bool
	cmd := a.command(tolerant(&cobra.Command{
		Use:               "rate KIND {RATE | --reset}",
		ValidArgsFunction: completeKind(),
		Short:             "change the rate limit of a kind for all workers",
		Long: `rate changes the rate limit that all workers share. It takes effect within 2 seconds and is stored in Redis: until --reset, or
until Redis loses its data, the workers' own settings (KYCQ_AADHAAR_RATE, KYCQ_PASSPORT_RATE) are not in force. kycq fleet status
shows both.`,
		Example: "  kycq fleet rate aadhaar 200/m\n  kycq fleet rate passport 50/m\n  kycq fleet rate passport --reset",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 && !(reset && len(args) == 1) || reset && len(args) == 2 {
				return cli.Usagef("want a kind and a rate, or a kind and --reset: kycq fleet rate aadhaar 200/m")
			}
			return nil
		},
	}), fleetAreas, func(ctx context.Context, d *deps, args []string) error {
		kind, err := tasks.ParseKind(args[0])
		if err != nil {
			return cli.UsageError(err)
		}
		var limit rate.Rate // zero: reset
		if !reset {
			if limit, err = rate.Parse(args[1]); err != nil {
				return cli.UsageError(err)
			}
		}
		word := limit.String()
		if reset {
			word = "reset"
		}
		user, host, err := wire.Operator(d.cfg)
		if err != nil {
			return err
		}
		act := audit.Act{Action: "fleet.rate", Kind: string(kind), Detail: map[string]string{"rate": word}}
		if err := d.appendAudit(ctx, act); err != nil {
			return err
		}
		if err := d.gate.SetRate(ctx, string(kind), limit, user+" on "+host); err != nil {
			return err
		}
		return a.Answer(map[string]string{"kind": string(kind), "rate": word}, func() string {
			if reset {
				return fmt.Sprintf("%s: the workers' configured rate is in force again\n", kind)
			}
			return fmt.Sprintf("%s: %s for all workers\n", kind, limit)
		})
	})
	cmd.Flags().BoolVar(&reset, "reset", false, "put the workers' configured rate in force again")
	return cmd
}

// printHolds pauses or resumes the queues, and prints the holds.
func (a *app) printHolds(ctx context.Context, d *deps) error {
	if err := worker.NewQueuePause(d.redis).Sync(ctx, d.gate); err != nil {
		return err
	}
	holds, err := d.gate.Holds(ctx)
	if err != nil {
		return err
	}
	return a.Answer(holdStatusOf(holds), func() string { return describeHolds(holds) })
}
