package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func newLegalHold(a *app) *cobra.Command {
	return a.Group(&cobra.Command{
		Use:   "legal-hold",
		Short: "keep the data of a job from erasure and retention",
		Long: `A legal hold keeps what is stored of a job: kycq erase refuses it, and retention skips it, until the hold is removed. It does
not bring back what was deleted before, nor keep the upload of a job that has ended valid or invalid.`,
	}, newLegalHoldChange(a, true), newLegalHoldChange(a, false), newLegalHoldList(a))
}

func newLegalHoldChange(a *app, add bool) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "add KIND ID", Short: "keep the data of a job",
		Example: `  kycq legal-hold add passport P-0001 --reason "court order 12/2026"`,
	}
	action := "legal-hold.add"
	if !add {
		action = "legal-hold.remove"
		cmd = &cobra.Command{
			Use: "remove KIND ID", Short: "end a legal hold",
			Example: `  kycq legal-hold remove passport P-0001 --reason "case closed"`,
		}
	}
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if reason == "" {
			return cli.Usagef("--reason: say why; it is stored in the audit trail (no personal data)")
		}
		return kindAndID(args, "kycq legal-hold add aadhaar ABC00123")
	}
	a.command(cmd, auditAreas, func(ctx context.Context, d *deps, args []string) error {
		user, _, err := wire.Operator(d.cfg)
		if err != nil {
			return err
		}
		_, _, missing := d.store.Record(ctx, tasks.Kind(args[0]), args[1])
		if missing != nil && !errors.Is(missing, storage.ErrNotFound) {
			return missing
		}
		if err := d.appendAudit(ctx, audit.Act{Action: action, Kind: args[0], VerificationID: args[1], Reason: reason}); err != nil {
			return err
		}
		h := storage.LegalHold{
			Kind: tasks.Kind(args[0]), VerificationID: args[1], By: user, Reason: reason, At: time.Now().UTC().Truncate(time.Second),
		}
		if add {
			h, err = d.store.AddLegalHold(ctx, h)
		} else {
			err = d.store.RemoveLegalHold(ctx, h.Kind, h.VerificationID)
		}
		if err != nil {
			return err
		}
		if add && missing != nil {
			a.Note("no %s job with the id %s yet: the hold applies from its first record on; if the id is wrong, run kycq legal-hold remove", args[0], args[1])
		}
		return a.Answer(h, func() string {
			if !add {
				return args[0] + " " + args[1] + ": no legal hold\n"
			}
			return describeLegalHolds([]*storage.LegalHold{&h})
		})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why (required; no personal data)")
	return cmd
}

// kindAndID checks the arguments of a command about one job.
func kindAndID(args []string, example string) error {
	if len(args) != 2 {
		return cli.Usagef("name a kind and one verification_id: %s", example)
	}
	if _, err := tasks.ParseKind(args[0]); err != nil {
		return err
	}
	return tasks.ValidateID(args[1])
}

func newLegalHoldList(a *app) *cobra.Command {
	return a.command(&cobra.Command{
		Use: "list", Short: "list all legal holds", Args: cobra.NoArgs,
		Example: "  kycq legal-hold list\n  kycq legal-hold list --json | jq -r .legal_holds[].verification_id",
	}, storeAreas, func(ctx context.Context, d *deps, _ []string) error {
		holds := []*storage.LegalHold{}
		for h, err := range d.store.LegalHolds(ctx) {
			if err != nil {
				return err
			}
			holds = append(holds, h)
		}
		if len(holds) == 0 {
			a.Note("no legal holds")
		}
		return a.Answer(map[string]any{"legal_holds": holds}, func() string { return describeLegalHolds(holds) })
	})
}

func describeLegalHolds(holds []*storage.LegalHold) string {
	if len(holds) == 0 {
		return ""
	}
	lines := []string{"KIND\tID\tSINCE\tBY\tREASON"}
	for _, h := range holds {
		lines = append(lines, strings.Join([]string{string(h.Kind), h.VerificationID, stamp(h.At), h.By, h.Reason}, "\t"))
	}
	return cli.Table(lines)
}
