package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
)

func newAudit(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "audit", Short: "check the audit trail of operators' actions"}, newAuditVerify(a))
}

func newAuditVerify(a *app) *cobra.Command {
	return a.command(&cobra.Command{
		Use:   "verify",
		Short: "check that no event of the audit trail was changed or removed",
		Long: `verify reads each writer's hash chain of events in S3 and reports missing and changed events. It exits with code 3 if it
finds any. Keep the printed hashes elsewhere: compared with a later run, they reveal a chain that was replaced entirely.`,
		Example: "  kycq audit verify\n  kycq audit verify --json | jq .findings",
		Args:    cobra.NoArgs,
	}, storeAreas, func(ctx context.Context, d *deps, _ []string) error {
		report, err := audit.Verify(ctx, audit.BucketOf(d.store.Buckets()))
		if err != nil {
			return err
		}
		if err := a.Answer(report, func() string { return describeAudit(report) }); err != nil {
			return err
		}
		if len(report.Findings) > 0 {
			return cli.Exit(cli.ExitSomeFailed)
		}
		a.Note("%s, no events missing or changed", count(len(report.Chains), "chain"))
		return nil
	})
}

func describeAudit(r audit.Report) string {
	var text strings.Builder
	for _, c := range r.Chains {
		_, _ = fmt.Fprintf(&text, "%s: %d entries, the last is %d with hash %s\n", c.Writer, c.Entries, c.Last, c.Hash)
	}
	for _, f := range r.Findings {
		_, _ = fmt.Fprintf(&text, "%s: %s: entry %d: %s\n", f.Writer, f.Code, f.Seq, f.Text)
	}
	return text.String()
}
