package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/wire"
)

func newAudit(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "audit", Short: "read and check the audit trail of operators' actions"},
		newAuditList(a), newAuditExport(a), newAuditVerify(a))
}

func newAuditList(a *app) *cobra.Command {
	var who, what string
	var from time.Time
	cmd := a.command(&cobra.Command{
		Use:   "list",
		Short: "show who did what, when and why",
		Long: `list prints the events of the audit trail, the oldest first. --who selects a user, --what an action (fleet.pause), its
first part ("job": job.retry and job.cancel) or its last ("pause": fleet.pause and batch.pause), --since a time: 24h, 30d, or a date.`,
		Example: "  kycq audit list --since 7d\n  kycq audit list --what fleet --who asha\n  kycq audit list --json | jq '.events[] | select(.verification_id == \"ABC00123\")'",
	}, auditAreas, func(ctx context.Context, d *deps, _ []string) error {
		events, unreadable, err := audit.List(ctx, audit.BucketOf(d.store.Buckets()), from)
		if err != nil {
			return err
		}
		events = slices.DeleteFunc(events, func(e audit.Event) bool {
			return who != "" && e.User != who || what != "" && !strings.Contains("."+e.Action+".", "."+what+".")
		})
		if unreadable > 0 {
			a.Warn(count(unreadable, "event") + " cannot be read: run `kycq audit verify`")
		}
		if len(events) == 0 {
			a.Note("no events")
		}
		return a.Answer(map[string]any{"events": events}, func() string { return eventTable(events) })
	})
	cmd.Flags().StringVar(&who, "who", "", "events of this user")
	cmd.Flags().StringVar(&what, "what", "", "events of this action: fleet.pause, fleet or pause")
	addSinceFlag(cmd, &from)
	return cmd
}

func newAuditExport(a *app) *cobra.Command {
	var out string
	var from time.Time
	cmd := a.command(&cobra.Command{
		Use:   "export",
		Short: "write the events of the audit trail, to be kept in a second place",
		Long: `export writes the events as they are stored, one line of JSON each, the oldest first. Each has its number, the hash of the
previous event of its writer, and its MAC. It exits with code 3 if events cannot be read: run kycq audit verify then.`,
		Example: "  kycq audit export --since 24h --out audit-$(date +%F).jsonl\n  kycq audit export --since 2026-11-01 | gzip > november.jsonl.gz",
	}, auditAreas, func(ctx context.Context, d *deps, _ []string) error {
		events, unreadable, err := audit.List(ctx, audit.BucketOf(d.store.Buckets()), from)
		if err != nil {
			return err
		}
		_, err = a.writeTo(out, func(w io.Writer) (int, error) {
			for i, e := range events {
				line, err := e.Line()
				if err == nil {
					_, err = w.Write(line)
				}
				if err != nil {
					return i, err
				}
			}
			return len(events), nil
		})
		if err != nil {
			return err
		}
		a.Note("%s written", count(len(events), "event"))
		if unreadable > 0 {
			return cli.WithCode(cli.ExitSomeFailed, fmt.Errorf("%s cannot be read: run `kycq audit verify`", count(unreadable, "event")))
		}
		return nil
	})
	addSinceFlag(cmd, &from)
	cmd.Flags().StringVar(&out, "out", "", "write to this file (mode 0600) instead of stdout")
	return cmd
}

// addSinceFlag adds --since to a command without arguments.
func addSinceFlag(cmd *cobra.Command, from *time.Time) {
	since := cmd.Flags().String("since", "", "events since then: a duration (24h, 30d), a date (2026-11-01), or a time (RFC 3339)")
	cmd.Args = func(cmd *cobra.Command, args []string) (err error) {
		if *from, err = parseSince(*since); err != nil {
			return err
		}
		return cobra.NoArgs(cmd, args)
	}
}

// parseSince reads a duration before now, a date or a time; nothing is the beginning.
func parseSince(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return time.Now().AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(form, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, cli.Usagef("--since %q is not a duration (24h, 30d), a date (2026-11-01, in UTC) or a time (2026-11-01T09:00:00+05:30)", text)
}

func eventTable(events []audit.Event) string {
	if len(events) == 0 {
		return ""
	}
	lines := []string{"TIME\tUSER\tACTION\tOF\tDETAIL\tREASON"}
	for _, e := range events {
		of := strings.TrimSpace(e.Kind + " " + cmp.Or(e.VerificationID, e.Batch))
		detail := make([]string, 0, len(e.Detail))
		for _, key := range slices.Sorted(maps.Keys(e.Detail)) {
			detail = append(detail, key+"="+e.Detail[key])
		}
		lines = append(lines, strings.Join([]string{
			stamp(e.At), e.User + "@" + e.Host, e.Action, cmp.Or(of, "-"), cmp.Or(strings.Join(detail, " "), "-"), e.Reason,
		}, "\t"))
	}
	return cli.Table(lines)
}

func newAuditVerify(a *app) *cobra.Command {
	return a.command(&cobra.Command{
		Use:   "verify",
		Short: "check that no event of the audit trail was changed or removed",
		Long: `verify reads each writer's hash chain of events in S3 and reports missing and changed events. It exits with code 3 if it
finds any. With the keyset it also checks the MACs of the events, which cannot be forged without it. Keep the printed hashes,
or what kycq audit export writes, in another place: a comparison shows whether the trail was set back to an earlier state.`,
		Example: "  kycq audit verify\n  kycq audit verify --json | jq .findings",
		Args:    cobra.NoArgs,
	}, auditAreas, func(ctx context.Context, d *deps, _ []string) error {
		mac, err := wire.AuditMAC(d.cfg)
		if err != nil {
			return err
		}
		report, err := audit.Verify(ctx, audit.BucketOf(d.store.Buckets()), mac)
		if err != nil {
			return err
		}
		if err := a.Answer(report, func() string { return describeAudit(report) }); err != nil {
			return err
		}
		if mac == nil {
			a.Note("MACs were not checked: there is no keyset (KYCQ_KEYSET_FILE)")
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
		_, _ = fmt.Fprintf(&text, "%s: %s: entry %d: %s\n", cmp.Or(f.Writer, "index"), f.Code, f.Seq, f.Text)
	}
	return text.String()
}
