package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/worker"
)

func newRetention(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "retention", Short: "erase data that is no longer to be kept"}, newRetentionRun(a))
}

func newRetentionRun(a *app) *cobra.Command {
	var dryRun, yes bool
	cmd := a.command(&cobra.Command{
		Use:   "run",
		Short: "erase the data of jobs whose retention has ended",
		Long: `run does what a worker does once a day: it erases the data of finished jobs that ended longer ago than KYCQ_RETENTION says, as
kycq erase does, each after an event in the audit trail. Jobs under a legal hold and unfinished jobs are kept. An open review ends
with its job; it is announced 7 days before, here and in the worker's log.

Run it with --dry-run first: it lists the jobs and changes nothing.`,
		Example: "  KYCQ_RETENTION=aadhaar.valid=90d,aadhaar.failed=30d,passport=365d kycq retention run --dry-run\n  kycq retention run --retention passport=365d --yes",
		Args:    cobra.NoArgs,
	}, append([]config.Area{config.Retention}, jobAreas...), func(ctx context.Context, d *deps, _ []string) error {
		if len(d.cfg.Retention) == 0 {
			return cli.Usagef("KYCQ_RETENTION is not set: all data is kept")
		}
		return a.runRetention(ctx, d, dryRun, yes)
	})
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "list the jobs and change nothing")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	return cmd
}

func (a *app) runRetention(ctx context.Context, d *deps, dryRun, yes bool) error {
	r := wire.NewRetention(d.cfg, d.redis, d.store, d.keyset, zerolog.Nop(), d.appendAudit)
	plan, err := r.Plan(ctx)
	if err != nil {
		return err
	}
	for _, due := range plan.Reviews {
		a.Note("the open review of %s ends at %s (%s): decide with kycq review", due.VerificationID, stamp(due.Ends), due.Rule)
	}
	if plan.Held > 0 {
		a.Note("%s kept by a legal hold", count(plan.Held, "job"))
	}
	if plan.Unreadable > 0 {
		a.Note("%s cannot be read: they are kept", count(plan.Unreadable, "record"))
	}
	if dryRun || len(plan.Erase) == 0 {
		a.Note("%s to erase; nothing changed", count(len(plan.Erase), "job"))
		return a.Answer(plan, func() string { return describeDue(plan.Erase) })
	}
	if err := a.confirm(yes, "this erases the data of %s; kycq retention run --dry-run lists them", count(len(plan.Erase), "job")); err != nil {
		return err
	}
	done, err := r.Erase(ctx, plan)
	if printErr := a.Answer(done, func() string { return fmt.Sprintf("%s erased\n", count(done.Erased, "job")) }); printErr != nil {
		return printErr
	}
	var remains *storage.RemainsError
	if errors.As(err, &remains) {
		for _, left := range remains.Remnants {
			a.Note("remains: %s", left)
		}
		return cli.WithCode(cli.ExitSomeFailed, err)
	}
	return err
}

func describeDue(due []worker.Due) string {
	if len(due) == 0 {
		return ""
	}
	lines := []string{"KIND\tID\tRULE\tRETENTION ENDED"}
	for _, d := range due {
		lines = append(lines, strings.Join([]string{string(d.Kind), d.VerificationID, d.Rule, stamp(d.Ends)}, "\t"))
	}
	return cli.Table(lines)
}
