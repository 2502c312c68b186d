package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/wire"
)

func newBatchPause(a *app) *cobra.Command {
	var reason string
	cmd := a.batchCommand(tolerant(&cobra.Command{
		Use:   "pause BATCH",
		Short: "stop the calls of a batch until it is resumed",
		Long: `pause stops the calls of a batch within five seconds, until kycq batch resume. Calls in flight complete and are recorded; other
batches and live jobs go on. The pause is stored in S3, so it lasts even if Redis loses its data. kycq fleet pause stops all
batches.`,
		Example: "  kycq batch pause customers-1f00c3aa --reason \"wrong file numbers\"",
		Args:    oneBatch,
	}), func(ctx context.Context, d *batchDeps, args []string) error {
		user, _, err := wire.Operator(d.cfg)
		if err != nil {
			return err
		}
		b, err := d.control.Batches.Load(ctx, args[0])
		if err != nil {
			return err
		}
		if b.State == batch.Paused {
			a.Note("it is paused already; the pause keeps its reason")
			return a.printPause(b)
		}
		if err := auditBatchWhy(ctx, d, "batch.pause", b, nil, reason); err != nil {
			return err
		}
		if b, err = d.control.Pause(ctx, b.ID, batch.Pause{By: user, Reason: reason}); err != nil {
			return err
		}
		a.Note("to continue it, run: kycq batch resume %s", b.ID)
		return a.printPause(b)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why (no personal data); the commands that show the batch print it")
	return cmd
}

func (a *app) printPause(b *batch.Batch) error {
	return a.Answer(map[string]any{"batch": b.ID, "state": b.State, "pause": b.Pause}, func() string {
		return fmt.Sprintf("%s: %s\n", b.ID, b.State)
	})
}

func newBatchResume(a *app) *cobra.Command {
	var maxCalls int
	var yes bool
	var reason string
	cmd := &cobra.Command{
		Use:   "resume BATCH",
		Short: "continue a batch that is paused or has reached its call limit",
		Long: `resume ends the pause of a batch; its rows go on within a few seconds.

With --max-calls, it sets the call limit of the batch, and continues the batch if it had reached the previous one. Without
--max-calls, a batch at its limit may make as many calls again.`,
		Example: `  kycq batch resume customers-1f00c3aa
  kycq batch resume customers-1f00c3aa --max-calls 5000
  kycq batch resume customers-1f00c3aa --max-calls 0 --yes`,
		Args: oneBatch,
	}
	a.batchCommand(cmd, func(ctx context.Context, d *batchDeps, args []string) error {
		if maxCalls < 0 {
			return cli.UsageError(errMaxCalls)
		}
		st, b, err := d.control.Status(ctx, args[0])
		if err != nil {
			return err
		}
		limit := cmd.Flags().Changed("max-calls")
		switch {
		case b.State == batch.Cancelled:
			return batch.ErrCancelled
		case limit:
		case b.State == batch.Paused:
		case b.State != batch.CallLimitReached:
			return cli.Usagef("the batch is not paused and has not reached a call limit: add --max-calls N to set one")
		default:
			limit, maxCalls = true, st.Calls+b.MaxCalls
		}
		if limit {
			if b, err = a.setMaxCalls(ctx, d, b, maxCalls, yes, reason); err != nil {
				return err
			}
		}
		if b.State == batch.Paused {
			if err := auditBatchWhy(ctx, d, "batch.resume", b, nil, reason); err != nil {
				return err
			}
			if b, err = d.control.Resume(ctx, b.ID); err != nil {
				return err
			}
		}
		return a.Answer(map[string]any{"batch": b.ID, "state": b.State, "max_calls": b.MaxCalls}, func() string {
			return fmt.Sprintf("%s: %s, %s\n", b.ID, b.State, callsText(b.MaxCalls))
		})
	})
	cmd.Flags().IntVar(&maxCalls, "max-calls", 0, "new call limit, counting the calls made so far; 0: none")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail (no personal data)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation of a call limit")
	return cmd
}

func callsText(maxCalls int) string {
	if maxCalls == 0 {
		return "any number of calls"
	}
	return "at most " + count(maxCalls, "call")
}

func (a *app) setMaxCalls(ctx context.Context, d *batchDeps, b *batch.Batch, maxCalls int, yes bool, reason string) (*batch.Batch, error) {
	if err := a.confirm(yes, "the batch may then make %s in all", callsText(maxCalls)); err != nil {
		return nil, err
	}
	if err := auditBatchWhy(ctx, d, "batch.max_calls", b, map[string]string{"max_calls": strconv.Itoa(maxCalls)}, reason); err != nil {
		return nil, err
	}
	return d.control.SetMaxCalls(ctx, b.ID, maxCalls)
}
