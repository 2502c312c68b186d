package main

import (
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/wire"
)

func newAudit(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "audit", Short: "the trail of what operators did"}, newAuditVerify(a))
}

func newAuditVerify(a *app) *cobra.Command {
	return cli.Uses(&cobra.Command{
		Use:   "verify",
		Short: "check that no entry of the trail was changed or removed",
		Long: `verify walks every writer's chain of entries in S3 and reports gaps, changed entries and lost ends. Keep the printed
hashes elsewhere: compared with a later run they show a chain that was rewritten as a whole. Exit code 3 where anything is
found.`,
		Example: "  kycq audit verify\n  kycq audit verify --json | jq .findings",
		Args:    cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			store, err := wire.OpenStore(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			report, err := audit.Verify(cmd.Context(), store)
			if err != nil {
				return err
			}
			return a.printAudit(report)
		}),
	}, config.S3)
}

// printAudit prints the chains, what is wrong with them, and chooses the exit code.
func (a *app) printAudit(r audit.Report) error {
	if a.JSON {
		if err := a.PrintJSON(r); err != nil {
			return err
		}
	} else {
		for _, c := range r.Chains {
			if err := a.Print("%s: %d entries, the last is %d with hash %s\n", c.Writer, c.Entries, c.Last, c.Hash); err != nil {
				return err
			}
		}
		for _, f := range r.Findings {
			if err := a.Print("%s: %s: entry %d: %s\n", f.Writer, f.Code, f.Seq, f.Text); err != nil {
				return err
			}
		}
	}
	if len(r.Findings) > 0 {
		return cli.Exit(cli.ExitSomeFailed)
	}
	a.Note("%d chains, nothing is wrong", len(r.Chains))
	return nil
}
