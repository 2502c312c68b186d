package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/batch/submit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/tasks"
)

// submitFlags are the flags of batch submit and batch amend.
type submitFlags struct {
	mapping                 []string
	progress, dateFormat    string
	allowRejects, allowSame bool
	dryRun, wait            bool
	patience                time.Duration // of wait
	maxCalls                int
	maxCallsGiven           bool
	price                   float64
	command                 string // the command line, to continue after an interrupt
	submit.Options
}

var errMaxCalls = errors.New("--max-calls: must be 0 (no limit) or more")

func newBatchSubmit(a *app) *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:               "submit KIND FILE",
		ValidArgsFunction: completeKind("csv", "jsonl"),
		Short:             "check a manifest and submit its rows",
		Long: `submit reads FILE (CSV or JSONL; - for standard input) with one job per row. Columns of an aadhaar manifest: image (a path in
the folder of the manifest or --images, or s3://bucket/key). Columns of a passport manifest: file_number, dob (YYYY-MM-DD),
name (optional). Both: verification_id (optional). Other columns are copied to the report.

Without a verification_id, a row gets one that is derived from its input (the image; file_number and dob) under the keyset, so
the same input is the same job in every file and is not paid for twice. To check the same inputs again, for example each year,
or to correct a name, add --ids-for LABEL: other ids, which are the same for the same label.

A column may have another heading (--map). Headings are compared without case, spaces, hyphens and underscores.

All rows are checked first. Rejected rows are written to FILE.rejects.csv (--rejects), and nothing is submitted unless
--allow-rejects is given. A file with the same input under two verification_ids, which would be paid for twice, is refused
unless --allow-duplicate-input is given. So is a file with a quote that is not closed. Blank rows are skipped and counted.

After an interrupt, run the same command again. A batch that was submitted before is not submitted twice; a changed file is
another batch.`,
		Example: `  kycq batch submit passport customers.csv --dry-run --price 3.5
  kycq batch submit passport customers.csv --map verification_id=customer_id --allow-rejects
  kycq batch submit passport customers.csv --ids-for 2027 --date-format DD/MM/YYYY
  kycq batch submit aadhaar cards.csv --images /data/cards --wait
  gunzip -c cards.jsonl.gz | kycq batch submit aadhaar - --name cards-2026`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return cli.Usagef("want a kind (aadhaar or passport) and a file (- for standard input)")
			}
			f.maxCallsGiven, f.command = cmd.Flags().Changed("max-calls"), commandLine(cmd, args)
			return f.check(a, args[0], args[1])
		},
	}
	a.batchCommand(cmd, func(ctx context.Context, d *batchDeps, _ []string) error {
		return a.runSubmission(ctx, d, f, (*submission).submit)
	})
	f.registerCommon(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.mapping, "map", nil, "heading of a column: verification_id=customer_id (repeatable)")
	flags.StringVar(&f.Rejects, "rejects", "", "file for the rejected rows (mode 0600), or - for stderr; FILE.rejects.csv by default")
	flags.StringVar(&f.Images, "images", "", "folder of the images; the manifest's by default")
	flags.BoolVar(&f.allowRejects, "allow-rejects", false, "submit the good rows although others are rejected")
	flags.BoolVar(&f.allowSame, "allow-duplicate-input", false, "pay for an input as often as it has verification_ids in the file")
	flags.StringVar(&f.IDsFor, "ids-for", "", "label of a further check: derive other ids for rows without a verification_id")
	flags.StringVar(&f.dateFormat, "date-format", "", "form of dob: DD, MM or MMM, and YYYY, for example DD/MM/YYYY; YYYY-MM-DD by default")
	flags.BoolVar(&f.dryRun, "dry-run", false, "check and count only; nothing is uploaded or submitted")
	flags.Float64Var(&f.price, "price", 0, "price of a call, to estimate the cost")
	return cmd
}

func (f *submitFlags) registerCommon(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.Name, "name", "", "name of the batch; the file's name by default")
	flags.IntVar(&f.maxCalls, "max-calls", 0, "call limit: stop the batch after this many calls; 0: none")
	flags.BoolVar(&f.wait, "wait", false, "wait until the batch has ended; exit code 3 unless all rows are valid")
	addPatienceFlag(cmd, &f.patience)
	addProgressFlag(cmd, &f.progress)
}

// check checks flags and arguments, and completes the Options. kind is empty for batch amend.
func (f *submitFlags) check(a *app, kind, path string) (err error) {
	f.Path, f.Stdin, f.Stderr = path, a.In, cli.Screen(a.Err)
	if kind != "" {
		if f.Kind, err = tasks.ParseKind(kind); err != nil {
			return err
		}
		if f.Mapping, err = manifest.ParseMapping(f.Kind, f.mapping); err != nil {
			return err
		}
	}
	if f.DateFormat, err = manifest.ParseDateFormat(f.dateFormat); err != nil {
		return err
	}
	if err := batch.CheckLabel(f.IDsFor); err != nil {
		return fmt.Errorf("--ids-for: %w", err)
	}
	switch {
	case f.maxCalls < 0:
		return errMaxCalls
	case f.price < 0:
		return errors.New("--price: must be 0 or more")
	case f.Images != "" && f.Kind != tasks.Aadhaar:
		return errors.New("--images: only aadhaar manifests have images")
	case f.dryRun && f.wait:
		return errors.New("--dry-run submits nothing: there is nothing to --wait for")
	}
	if f.Name != "" {
		if err := batch.CheckName(f.Name); err != nil {
			return fmt.Errorf("--name: %w", err)
		}
	}
	return nil
}
