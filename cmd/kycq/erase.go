package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

type eraseFlags struct {
	reason, proof string
	cancel        bool
}

func newErase(a *app) *cobra.Command {
	var f eraseFlags
	cmd := a.command(&cobra.Command{
		Use:               "erase KIND ID",
		ValidArgsFunction: completeKind(),
		Short:             "erase a person's stored data",
		Long: `erase deletes the masked image, the encrypted input and answer (also in Redis), the uploaded image of a finished job, and the
rows of this id in the encrypted manifests of all batches. Id, outcome, attempts and times remain as a tombstone with the user
and the reason. It cannot be undone.

A worker that was paused may still store an image: workers delete the images of an erased job again for 45 minutes.

A job that is not finished is refused. With --cancel it is cancelled first, as by kycq job cancel. A job under a legal hold is
refused (kycq legal-hold).

In buckets with versions all versions are deleted. If object lock keeps some, erase names them and until when, and exits with
3: run it again then.

It does not touch your own objects in S3. --proof writes what was removed from where, and what cannot be.`,
		Example: `  kycq erase aadhaar ABC00123 --reason "request 2026-117 of the data principal" --proof 2026-117.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 2 && f.reason == "" {
				return cli.Usagef("--reason: say why; it is stored in the record and in the audit trail (no personal data)")
			}
			return kindAndID(args, "kycq erase aadhaar ABC00123")
		},
	}, jobAreas, func(ctx context.Context, d *deps, args []string) error {
		return a.erase(ctx, d, tasks.Kind(args[0]), args[1], f)
	})
	cmd.Flags().StringVar(&f.reason, "reason", "", "why (required; no personal data)")
	cmd.Flags().StringVar(&f.proof, "proof", "", "write to this file what was removed from where, and what cannot be (JSON, mode 0600)")
	cmd.Flags().BoolVar(&f.cancel, "cancel", false, "cancel the job first if it is not finished")
	return cmd
}

func (a *app) erase(ctx context.Context, d *deps, kind tasks.Kind, id string, f eraseFlags) error {
	user, host, err := wire.Operator(d.cfg)
	if err != nil {
		return err
	}
	act := audit.Act{Action: "erase", Kind: string(kind), VerificationID: id, Reason: f.reason}
	entry, err := wire.AppendAudit(ctx, d.cfg, d.store, user, host, act)
	if err != nil {
		return err
	}
	if f.cancel {
		_, err = worker.Cancel(ctx, d.store, kind, id)
	}
	var rec *storage.Record
	if err == nil || errors.Is(err, worker.ErrEnded) {
		rec, err = worker.Erase(ctx, d.store, worker.ForgetInRedis(d.redis), d.keyset, kind, id, user, f.reason)
	}
	if errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("no %s job %s: %w", kind, id, storage.ErrNotFound)
	}
	var remains storage.RemainsError
	if err = remains.Take(err); err != nil || rec == nil {
		return errors.Join(err, remains.Result())
	}
	if rec.Batch != "" && rec.Review != "" {
		if err := batch.NewControl(d.redis, d.store).Decided(ctx, rec); err != nil {
			return fmt.Errorf("the job is erased, but its batch still counts its review; run the command again: %w", err)
		}
	}
	parts, err := batch.EraseRows(ctx, d.store, d.keyset, kind, map[string]bool{id: true})
	if err = remains.Take(err); err != nil {
		return fmt.Errorf("the job is erased, but not its rows in manifests; run the command again: %w", err)
	}
	if f.proof != "" {
		if err := a.writeProof(f.proof, proofOf(d.store.Config(), rec, entry, parts, &remains)); err != nil {
			return err
		}
	}
	return a.printRemains(rec, remains.Result())
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
