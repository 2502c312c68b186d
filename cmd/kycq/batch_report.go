package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	batchreport "github.com/kycq/kycq/internal/batch/report"
	"github.com/kycq/kycq/internal/cli"
)

// reportFlags are the flags of batch report and batch failures.
type reportFlags struct {
	format, out, progress string
	failures              bool
}

func newBatchReport(a *app) *cobra.Command {
	return a.reportCommand(&reportFlags{}, &cobra.Command{
		Use:   "report BATCH",
		Short: "write every row with its outcome",
		Long: `report writes every row of the manifest with its outcome, code, message, next action, reference_id, masked image, calls and
times. It holds the input, which is personal data; the report.csv that the batch stores in S3 does not. Cells that a
spreadsheet would run as a formula are escaped.`,
		Example: "  kycq batch report customers-1f00c3aa --out report.csv\n  kycq batch report customers-1f00c3aa --format jsonl | jq -r 'select(.outcome == \"failed\") | .code'",
	})
}

func newBatchFailures(a *app) *cobra.Command {
	return a.reportCommand(&reportFlags{failures: true}, &cobra.Command{
		Use:   "failures BATCH",
		Short: "write the failed and invalid rows, to be corrected and submitted again",
		Long: `failures writes the input columns of the rows that ended failed or invalid, with code and message. Correct the rows, give
them new verification_ids (or none), and submit the file as a new batch.`,
		Example: "  kycq batch failures customers-1f00c3aa --out fix.csv\n  kycq batch failures customers-1f00c3aa --format jsonl",
	})
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
	cmd.Flags().StringVar(&f.out, "out", "", "write to this file (mode 0600) instead of stdout")
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
	if err := auditBatch(ctx, d, action, b, nil); err != nil {
		return err
	}
	shown := a.newProgress(f.progress)
	defer shown.Clear()
	shown.Begin("reading records", int64(b.Rows), "rows")
	report := &batchreport.Report{
		Batch: b, Parts: d.partsOf(b), Records: d.store, Client: d.client, Columns: columns,
		Format: batchreport.Format(f.format), FailuresOnly: f.failures, Visited: func() { shown.Add(1) },
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
	return nil
}

// writeTo writes to stdout, or to a file that appears only when it is complete.
func (a *app) writeTo(path string, write func(io.Writer) (int, error)) (rows int, err error) {
	if path == "" {
		out := bufio.NewWriterSize(a.Out, 64<<10)
		rows, err = write(out)
		return rows, errors.Join(err, out.Flush())
	}
	temp := path + ".part"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, fmt.Errorf("write the report: %w", err)
	}
	defer func() { _ = os.Remove(temp) }() // fails after a successful rename
	out := bufio.NewWriterSize(f, 64<<10)
	rows, err = write(out)
	if err = errors.Join(err, out.Flush(), f.Close()); err != nil {
		return rows, err
	}
	return rows, os.Rename(temp, path)
}
