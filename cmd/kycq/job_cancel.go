package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/worker"
)

func newJobCancel(a *app) *cobra.Command {
	var name jobName
	var reason string
	cmd := a.command(&cobra.Command{
		Use:   "cancel ID",
		Short: "cancel a job that is not finished",
		Long: `cancel ends a single job that is not finished: no further call is made, and its outcome is cancelled. It refuses a job whose
call is in flight, or whose answer has arrived: such a job ends with its result. An uploaded image stays for kycq job retry,
until it expires. Rows of a batch are cancelled with their batch.

cancel may be repeated; a cancelled job stays cancelled.`,
		Example: "  kycq job cancel ABC00123 --reason \"the customer withdrew\"\n  kycq job cancel P-0001 --kind passport --json",
	}, jobAreas, func(ctx context.Context, d *deps, _ []string) error {
		rec, err := name.find(ctx, d.store)
		if err != nil {
			return err
		}
		act := audit.Act{
			Action: "job.cancel", Kind: string(rec.Kind), VerificationID: rec.VerificationID, Reason: reason,
			Detail: map[string]string{"before": string(rec.State)},
		}
		if err := d.appendAudit(ctx, act); err != nil {
			return err
		}
		rec, err = worker.Cancel(ctx, d.store, rec.Kind, rec.VerificationID)
		if err != nil {
			return err
		}
		if err := worker.EndTask(ctx, d.store, worker.FreeInRedis(d.redis), d.client.Push, rec); err != nil {
			return err
		}
		return a.Answer(map[string]any{
			"kind": rec.Kind, "verification_id": rec.VerificationID, "run": rec.Run, "status": rec.State, "code": rec.Code,
			"maybe_charged": rec.MaybeCharged(),
		}, func() string {
			return fmt.Sprintf("%s %s: cancelled (%s)\n", rec.Kind, rec.VerificationID, rec.Message)
		})
	})
	name.register(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is stored in the audit trail (no personal data)")
	return cmd
}
