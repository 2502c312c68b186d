package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

func newErase(a *app) *cobra.Command {
	var reason string
	var cancel bool
	cmd := a.command(&cobra.Command{
		Use:   "erase KIND ID",
		Short: "erase a person's stored data",
		Long: `erase deletes the masked image, the encrypted input and answer (also in Redis), and the uploaded image of a finished job.
Id, outcome, attempts and times remain as a tombstone with the user and the reason. It cannot be undone.

A worker that was paused may still store an image: workers delete the images of an erased job again for 45 minutes.

A job that is not finished is refused. With --cancel it is cancelled first, as by kycq job cancel.

In buckets with versions all versions are deleted. If object lock keeps some, erase names them and until when, and exits with
3: run it again then.

It does not touch your own objects in S3, nor the row in the encrypted manifest of the job's batch.`,
		Example: `  kycq erase aadhaar ABC00123 --reason "request 2026-117 of the data principal"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return cli.Usagef("name a kind and one verification_id: kycq erase aadhaar ABC00123")
			}
			if _, err := tasks.ParseKind(args[0]); err != nil {
				return err
			}
			if reason == "" {
				return cli.Usagef("--reason: say why; it is stored in the record and in the audit trail (no personal data)")
			}
			return tasks.ValidateID(args[1])
		},
	}, jobAreas, func(ctx context.Context, d *deps, args []string) error {
		return a.erase(ctx, d, tasks.Kind(args[0]), args[1], reason, cancel)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why (required; no personal data)")
	cmd.Flags().BoolVar(&cancel, "cancel", false, "cancel the job first if it is not finished")
	return cmd
}

func (a *app) erase(ctx context.Context, d *deps, kind tasks.Kind, id, reason string, cancel bool) error {
	user, _, err := wire.Operator(d.cfg)
	if err != nil {
		return err
	}
	if err := d.appendAudit(ctx, audit.Act{Action: "erase", Kind: string(kind), VerificationID: id, Reason: reason}); err != nil {
		return err
	}
	if cancel {
		_, err = worker.Cancel(ctx, d.store, kind, id)
	}
	var rec *storage.Record
	if err == nil || errors.Is(err, worker.ErrEnded) {
		rec, err = worker.Erase(ctx, d.store, worker.ForgetInRedis(d.redis), d.keyset, kind, id, user, reason)
	}
	if errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("no %s job %s: %w", kind, id, storage.ErrNotFound)
	}
	return a.printRemains(rec, err)
}

// printRemains prints a record of which objects were deleted, and the versions of them that remain.
func (a *app) printRemains(rec *storage.Record, err error) error {
	var remains *storage.RemainsError
	if err != nil && (rec == nil || !errors.As(err, &remains)) {
		return err
	}
	if err := a.printRecord(rec); err != nil || remains == nil {
		return err
	}
	for _, r := range remains.Remnants {
		a.Note("remains: %s", r)
	}
	fix := "object lock: run the command again when the retention has ended"
	if remains.Err != nil {
		fix = remains.Err.Error() + ": correct that and run the command again"
	}
	return cli.WithCode(cli.ExitSomeFailed, fmt.Errorf("deleted, but the store keeps %d old versions: %s", len(remains.Remnants), fix))
}
