package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

func newErase(a *app) *cobra.Command {
	var reason string
	cmd := cli.Uses(&cobra.Command{
		Use:   "erase KIND ID",
		Short: "remove what is kept of a person, and leave a tombstone",
		Long: `erase removes the masked image, the sealed input and answer, also from Redis, and kycq's own upload of a finished job.
The id, the outcome, the attempts and their times stay, with who erased it and why, so that the ledger remains whole. It
cannot be undone.

Not touched: objects of your own in S3, and the row in the sealed manifest of the batch that it came with.`,
		Example: `  kycq erase aadhaar ABC00123 --reason "request 2026-117 of the data principal"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return cli.Usagef("name a kind and one verification_id: kycq erase aadhaar ABC00123")
			}
			return tasks.ValidateID(args[1])
		},
		RunE: a.Command(func(cmd *cobra.Command, args []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			kind, err := tasks.ParseKind(args[0])
			if err != nil {
				return cli.UsageError(err)
			}
			if reason == "" {
				return cli.Usagef("--reason: say why: it stays in the record and in the audit trail (no personal data)")
			}
			keyset, err := wire.OpenKeyset(cfg)
			if err != nil {
				return err
			}
			store, err := wire.OpenStore(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			rdb, err := wire.OpenRedis(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { _ = rdb.Close() }()
			return a.erase(cmd.Context(), store, worker.ForgetInRedis(rdb), keyset, kind, args[1], reason)
		}),
	}, config.Redis, config.S3, config.Sealing)
	cmd.Flags().StringVar(&reason, "reason", "", "why (required; no personal data)")
	return cmd
}

func (a *app) erase(ctx context.Context, store *storage.Store, forget worker.Forget, keyset *tasks.Keyset, kind tasks.Kind, id, reason string) error {
	user, _, err := audit.Here()
	if err != nil {
		return err
	}
	if err := appendAudit(ctx, store, audit.Act{Action: "erase", Kind: string(kind), VerificationID: id, Reason: reason}); err != nil {
		return err
	}
	rec, err := worker.Erase(ctx, store, forget, keyset, kind, id, user, reason)
	if err != nil {
		return err
	}
	return a.printRecord(rec)
}
