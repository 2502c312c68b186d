package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	batchreport "github.com/kycq/kycq/internal/batch/report"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/outfile"
)

// reportFlags are the flags of batch report and batch failures.
type reportFlags struct {
	format, out, progress, reason string
	failures, newIDs              bool
	only                          batchreport.Filter
}

func newBatchReport(a *app) *cobra.Command {
	f := &reportFlags{}
	cmd := a.reportCommand(f, &cobra.Command{
		Use:   "report BATCH",
		Short: "write every row with its outcome",
		Long: `report writes every row of the manifest with its outcome, code, message, next action, reference_id, comparisons of a
passport with the input (yes, no, not_told), masked image, review, calls and times. It holds the input, which is personal data;
the report.csv that the batch stores in S3 does not. Cells that a spreadsheet would run as a formula are escaped.`,
		Example: "  kycq batch report customers-1f00c3aa --out report.csv\n  kycq batch report customers-1f00c3aa --format jsonl | jq -r 'select(.outcome == \"failed\") | .code'\n" +
			"  kycq batch report customers-1f00c3aa --mismatch",
	})
	cli.ChoiceFlag(cmd, &f.only.Outcome, "outcome", "only rows with this outcome", batchreport.Any, "valid", "invalid", "failed", "cancelled", "queued",
		"waiting", "sent", "answered")
	return cmd
}

func newBatchFailures(a *app) *cobra.Command {
	f := &reportFlags{failures: true}
	cmd := a.reportCommand(f, &cobra.Command{
		Use:   "failures BATCH",
		Short: "write the failed and invalid rows, to be corrected and submitted again",
		Long: `failures writes the input columns of the rows that ended failed or invalid, with code and message, or with --mismatch those of
passports that differ from the input. To submit rows again, run it with --new-ids, which gives each row a verification_id that no
job has, and the old one in the column previous_id: an id belongs to its input for good. Remove the rows that cannot be corrected,
correct the others, and submit the file as a new batch, with the same --map, --date-format and --images.`,
		Example: "  kycq batch failures customers-1f00c3aa --new-ids --out fix.csv\n  kycq batch failures customers-1f00c3aa --format jsonl",
	})
	cli.ChoiceFlag(cmd, &f.only.Outcome, "outcome", "only rows with this outcome", batchreport.Any, "invalid", "failed")
	cmd.Flags().BoolVar(&f.newIDs, "new-ids", false, "give each row a new verification_id, to be corrected and submitted again")
	return cmd
}

func (a *app) reportCommand(f *reportFlags, cmd *cobra.Command) *cobra.Command {
	cmd.Args = oneBatch
	a.batchCommand(tolerant(cmd), func(ctx context.Context, d *batchDeps, args []string) error {
		if a.JSON {
			f.format = string(batchreport.JSONL)
		}
		return a.writeReport(ctx, d, args[0], f)
	})
	cli.ChoiceFlag(cmd, &f.format, "format", "form of the rows", string(batchreport.CSV), string(batchreport.JSONL))
	cmd.Flags().BoolVar(&f.only.Mismatch, "mismatch", false, "only passports whose name, date of birth or file number differs from the input")
	cmd.Flags().BoolVar(&f.only.Review, "review", false, "only rows whose image a person should look at")
	cmd.Flags().StringVar(&f.only.Code, "code", "", "only rows with this code")
	completeCode(cmd)
	cmd.Flags().StringVar(&f.out, "out", "", "write to this file (mode 0600) instead of stdout")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for the audit trail (no personal data)")
	addProgressFlag(cmd, &f.progress)
	return cmd
}

func (a *app) writeReport(ctx context.Context, d *batchDeps, id string, f *reportFlags) error {
	b, err := d.control.Batches.Load(ctx, id)
	if err != nil {
		return err
	}
	columns, err := b.Columns(d.keyset)
	if err != nil {
		return err
	}
	action := "batch.report"
	if f.failures {
		action = "batch.failures"
	}
	if err := auditBatchWhy(ctx, d, action, b, nil, f.reason); err != nil {
		return err
	}
	shown := a.newProgress(f.progress)
	defer shown.Clear()
	shown.Begin("reading records", int64(b.Rows), "rows")
	report := &batchreport.Report{
		Batch: b, Parts: d.partsOf(b), Records: d.store, Client: d.client, Columns: columns,
		Format: batchreport.Format(f.format), FailuresOnly: f.failures, Only: f.only, NewIDs: f.newIDs,
		Visited: func() { shown.Add(1) },
	}
	rows, err := a.writeTo(f.out, func(w io.Writer) (int, error) { return report.Write(ctx, w) })
	if err != nil {
		return err
	}
	shown.Clear()
	if !b.Done() {
		a.Note("the batch has not ended: rows without an outcome are unfinished")
	}
	a.Note("%d rows written", rows)
	if f.newIDs {
		noteNewIDs(a, b, report, f.out)
	}
	return nil
}

// noteNewIDs notes how to submit the rows, and which of them not to.
func noteNewIDs(a *app, b *batch.Batch, r *batchreport.Report, out string) {
	if r.MaybeCharged > 0 {
		a.Note("%s may have been charged without an answer: under a new id they are paid for again", count(r.MaybeCharged, "row"))
	}
	if r.FixedBefore > 0 {
		a.Note("%s submitted again before under another new id are valid: remove them from the file", count(r.FixedBefore, "row"))
	}
	file := "FILE"
	if out != "" {
		file = quote(out)
	}
	command := fmt.Sprintf("kycq batch submit %s %s", b.Kind, file)
	for _, name := range slices.Sorted(maps.Keys(b.Mapping)) {
		command += " --map " + quote(name+"="+b.Mapping[name])
	}
	if b.DateFormat != "" {
		command += " --date-format " + quote(b.DateFormat)
	}
	a.Note("next: correct the rows, then run: %s", command)
}

// writeTo writes to stdout, or to a file that appears only when it is complete.
func (a *app) writeTo(path string, write func(io.Writer) (int, error)) (rows int, err error) {
	if path == "" {
		out := bufio.NewWriterSize(cli.Screen(a.Out), 64<<10)
		rows, err = write(out)
		return rows, errors.Join(err, out.Flush())
	}
	f, err := outfile.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Discard()
	out := bufio.NewWriterSize(f, 64<<10)
	rows, err = write(out)
	if err = errors.Join(err, out.Flush()); err != nil {
		return rows, err
	}
	return rows, f.Commit()
}
