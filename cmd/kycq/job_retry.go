package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/worker"
)

func newJobRetry(a *app) *cobra.Command {
	var name jobName
	var yes bool
	cmd := cli.Uses(&cobra.Command{
		Use:   "retry ID",
		Short: "run a finished job again, which costs a further call",
		Long: `retry starts another run of a finished job. Its calls use a derived verification_id, so they are charged again. If an
earlier run was, or may have been, charged, retry needs --yes.`,
		Example: "  kycq job retry ABC00123\n  kycq job retry ABC00123 --yes && kycq job wait ABC00123",
		RunE: with(a, openProducer, func(ctx context.Context, p *producer, _ []string) error {
			return a.retryJob(ctx, p, name, yes)
		}),
	}, config.Redis, config.S3, config.Sealing)
	name.register(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "pay again for a job that was, or may have been, paid for")
	return cmd
}

func (a *app) retryJob(ctx context.Context, p *producer, name jobName, yes bool) error {
	rec, err := name.find(ctx, p.store)
	if err != nil {
		return err
	}
	id := rec.VerificationID
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
	if !a.JSON {
		a.Note("next: kycq job wait %s --kind %s", id, rec.Kind)
	}
	return a.AnswerLine(map[string]any{"kind": next.Kind, "verification_id": id, "run": next.Run, "status": "enqueued"},
		func() string { return fmt.Sprintf("%s %s: run %d is queued\n", next.Kind, id, next.Run) })
}
