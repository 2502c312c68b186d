package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

func newJobRetry(a *app) *cobra.Command {
	var name jobName
	var yes bool
	cmd := cli.Uses(&cobra.Command{
		Use:   "retry ID",
		Short: "run a finished job again, and pay for it again",
		Long: `retry begins the next run of a job that is final. Its calls go out under a derived verification_id, so they are paid for
even where an earlier run was: a job that is valid or invalid, or whose answer was lost, needs --yes.`,
		Example: "  kycq job retry ABC00123\n  kycq job retry ABC00123 --yes && kycq job wait ABC00123",
		Args:    oneID,
		RunE: a.Command(func(cmd *cobra.Command, args []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			kinds, err := name.kinds()
			if err != nil {
				return err
			}
			p, err := openProducer(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer p.Close()
			return a.retryJob(cmd.Context(), p, kinds, args[0], yes)
		}),
	}, config.Redis, config.S3, config.Sealing)
	name.register(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "pay again although an earlier call was, or may have been, paid for")
	return cmd
}

func (a *app) retryJob(ctx context.Context, p *producer, kinds []tasks.Kind, id string, yes bool) error {
	rec, err := findRecord(ctx, p.store, kinds, id)
	if err != nil {
		return err
	}
	if why := worker.PaidBefore(rec); why != "" && !yes {
		return cli.Usagef("%s: %s: add --yes to pay for it again", id, why)
	}
	act := audit.Act{Action: "job.retry", Kind: string(rec.Kind), VerificationID: id, Detail: map[string]string{"after": string(rec.State)}}
	if err := appendAudit(ctx, p.store, act); err != nil {
		return err
	}
	next, err := worker.Rerun(ctx, p.store, redisx.NewOpenSet(p.redis), p.client.Push, rec.Kind, id)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.PrintLine(map[string]any{"kind": next.Kind, "verification_id": id, "run": next.Run, "status": "enqueued"})
	}
	a.Note("next: kycq job wait %s --kind %s", id, rec.Kind)
	return a.Print("%s %s: run %d is queued\n", next.Kind, id, next.Run)
}
