package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
)

func newBatchCancel(a *app) *cobra.Command {
	var yes bool
	cmd := a.batchCommand(&cobra.Command{
		Use:   "cancel BATCH",
		Short: "stop the calls of a batch within seconds",
		Long: `cancel stops the calls of a batch within five seconds. Calls in flight complete and are recorded; all other unfinished rows
become cancelled. batch amend continues the batch later.`,
		Example: "  kycq batch cancel customers-1f00c3aa\n  kycq batch cancel customers-1f00c3aa --yes --json",
		Args:    oneBatch,
	}, func(ctx context.Context, d *batchDeps, args []string) error {
		st, b, err := d.control.Status(ctx, args[0])
		if err != nil {
			return err
		}
		if b.Done() && b.State != batch.Cancelled {
			return batch.ErrDone
		}
		if err := a.confirm(yes, "%d of %d rows have not ended and will not be called", st.Rows-st.Ended, st.Rows); err != nil {
			return err
		}
		if err := auditBatch(ctx, d, "batch.cancel", b, nil); err != nil {
			return err
		}
		if b, err = d.control.Cancel(ctx, b.ID); err != nil {
			return err
		}
		a.Note("next: kycq batch watch %s (until all rows have ended)", b.ID)
		return a.Answer(map[string]any{"batch": b.ID, "state": b.State}, func() string {
			return fmt.Sprintf("%s: %s\n", b.ID, b.State)
		})
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	return cmd
}

func newBatchAmend(a *app) *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "amend FILE",
		Short: "continue a cancelled batch",
		Long: `amend continues the cancelled batch that was submitted from FILE (- for standard input), once all of its rows are closed.
It calls the cancelled rows and no others. --name must be that of the submission.`,
		Example: "  kycq batch amend customers.csv\n  kycq batch amend customers.csv --name customers-2026 --max-calls 5000",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("want the file of the batch (- for standard input)")
			}
			if _, err := os.Stat(args[0]); err != nil && batch.CheckID(args[0]) == nil {
				return cli.Usagef("%s is a batch: name the file that it was submitted from", args[0])
			}
			f.command = commandLine(cmd, args)
			return f.check(a, "", args[0])
		},
	}
	a.batchCommand(cmd, func(ctx context.Context, d *batchDeps, _ []string) error {
		return a.runSubmission(ctx, d, f, (*submission).amend)
	})
	f.registerCommon(cmd)
	return cmd
}

func (s *submission) amend(ctx context.Context) error {
	control := s.deps.control
	b, err := control.Batches.Load(ctx, s.source.ID)
	switch {
	case errors.Is(err, batch.ErrNotFound):
		return fmt.Errorf("%w: was the file changed, or submitted under another --name?", err)
	case err != nil:
		return err
	case b.Content != s.source.Content:
		return batch.ErrOtherManifest
	}
	s.answer.Status = "already_submitted"
	if b.State == batch.Cancelled {
		s.answer.Status = "amended"
		if err := auditBatch(ctx, s.deps, "batch.amend", b, nil); err != nil {
			return err
		}
	}
	if b, err = control.Amend(ctx, b.ID, s.flags.maxCalls); err != nil {
		return err
	}
	s.answer.existing(b)
	return nil
}
