package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/worker"
)

func newJobRetry(a *app) *cobra.Command {
	var name jobName
	var yes bool
	cmd := a.command(&cobra.Command{
		Use:   "retry ID",
		Short: "run a finished job again, which costs a further call",
		Long: `retry starts another run of a finished job. Its calls use a derived verification_id, so they are charged again. If an
earlier run was, or may have been, charged, retry needs --yes.`,
		Example: "  kycq job retry ABC00123\n  kycq job retry ABC00123 --yes && kycq job wait ABC00123",
	}, jobAreas, func(ctx context.Context, d *deps, _ []string) error {
		return a.retryJob(ctx, d, name, yes)
	})
	name.register(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "pay again for a job that was, or may have been, charged")
	return cmd
}

func (a *app) retryJob(ctx context.Context, d *deps, name jobName, yes bool) error {
	rec, err := name.find(ctx, d.store)
	if err != nil {
		return err
	}
	id := rec.VerificationID
	if rec.State.Final() && rec.InputGone() {
		return worker.ErrInputGone
	}
	if rec.MayHavePaid() && !yes {
		return cli.Usagef("%s: %s: add --yes to pay for it again", id, paidBefore(rec))
	}
	act := audit.Act{Action: "job.retry", Kind: string(rec.Kind), VerificationID: id, Detail: map[string]string{"after": string(rec.State)}}
	if err := d.appendAudit(ctx, act); err != nil {
		return err
	}
	next, err := worker.Rerun(ctx, d.store, d.client.Push, rec.Kind, id, 0)
	if err != nil {
		return err
	}
	if !a.JSON {
		a.Note("next: kycq job wait %s --kind %s", id, rec.Kind)
	}
	return a.Answer(map[string]any{"kind": next.Kind, "verification_id": id, "run": next.Run, "status": "enqueued"},
		func() string { return fmt.Sprintf("%s %s: run %d is queued\n", next.Kind, id, next.Run) })
}

// paidBefore says what a call of the job was, or may have been, charged for.
func paidBefore(rec *storage.Record) string {
	switch {
	case rec.State == storage.StateValid || rec.State == storage.StateInvalid:
		return fmt.Sprintf("it is %s already", rec.State)
	case rec.Code == "unsafe_mask" && !strings.HasPrefix(rec.Review, storage.ReviewRejected):
		return "its masked image was paid for: `kycq review approve` would not cost anything"
	case rec.MaybeCharged():
		return "a call may have been charged, but its answer did not arrive"
	}
	return "a call was answered, and may have been charged"
}

func newJobReconcile(a *app) *cobra.Command {
	return a.command(&cobra.Command{
		Use:   "reconcile",
		Short: "read all records, and enqueue unfinished jobs without a task",
		Long: `reconcile reads every record, writes the marker of each unfinished job if it is missing, and enqueues each that has no task
in Redis. Workers enqueue missing tasks by the markers every 3 minutes on their own, so reconcile is needed only if
markers were deleted, or if a version without markers still accepted jobs after the upgrade. It is safe to run at any time
and repeatedly, also while workers run.`,
		Example: "  kycq job reconcile\n  kycq job reconcile --json",
		Args:    cobra.NoArgs,
	}, jobAreas, func(ctx context.Context, d *deps, _ []string) error {
		sweeper := &worker.Sweeper{
			Ledger: d.store, Tasks: d.client, MarkBatches: batch.NewStore(d.store).MarkOpen, Log: zerolog.Nop(),
		}
		found, err := sweeper.Reconcile(ctx)
		if err != nil {
			return err
		}
		return a.Answer(found, func() string {
			line := fmt.Sprintf("%d records, %d of them open, %d enqueued again\n", found.Records, found.Open, found.Enqueued)
			if found.Unreadable > 0 {
				line += fmt.Sprintf("%d cannot be read, first %s\n", found.Unreadable, found.FirstUnreadable)
			}
			return line
		})
	})
}
