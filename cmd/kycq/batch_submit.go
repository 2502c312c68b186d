package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/batch/submit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/tasks"
)

// submitFlags are the flags of batch submit.
type submitFlags struct {
	name, images, progress            string
	mapping                           []string
	allowRejects, dryRun, amend, wait bool
	maxCalls                          int
	price                             float64
	maxCallsGiven                     bool
	command                           string // that resumes
}

func newBatchSubmit(a *app) *cobra.Command {
	var f submitFlags
	cmd := cli.Uses(&cobra.Command{
		Use:   "submit KIND FILE",
		Short: "check a manifest and hand all of its rows in",
		Long: `submit reads FILE (CSV or JSONL; - for standard input), a row per job. Columns of an aadhaar manifest: image (a path in
the folder of the manifest or --images, or s3://bucket/key); of a passport manifest: file_number, dob (YYYY-MM-DD), name
(optional). Both: verification_id (optional: without one, a row is named by what is checked). Other columns are carried
through to the report. --map says which heading stands for which column.

All rows are checked before anything is handed in. Rejected rows go to FILE.rejects.csv; with any of them nothing is
submitted, unless --allow-rejects leaves them out. The same command goes on after any interruption, and changes nothing
once the batch is accepted; a changed file is another batch.`,
		Example: `  kycq batch submit passport customers.csv --dry-run --price 3.5
  kycq batch submit passport customers.csv --map verification_id=customer_id --allow-rejects
  kycq batch submit aadhaar cards.csv --images /data/cards --wait
  gunzip -c cards.jsonl.gz | kycq batch submit aadhaar - --name cards-2026`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return cli.Usagef("want a kind (aadhaar or passport) and a file (- for standard input)")
			}
			return nil
		},
		RunE: a.Command(func(cmd *cobra.Command, args []string) error {
			f.maxCallsGiven, f.command = cmd.Flags().Changed("max-calls"), commandLine(cmd, args)
			opt, err := f.options(a, args)
			if err != nil {
				return cli.UsageError(err)
			}
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			d, err := openBatchDeps(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer d.Close()
			return batchError(a.submit(cmd.Context(), d, opt, f))
		}),
	}, config.Redis, config.S3, config.Sealing, config.Rates)
	f.register(cmd)
	return cmd
}

func (f *submitFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "name of the batch; the file's name by default")
	flags.StringArrayVar(&f.mapping, "map", nil, "heading of a column: verification_id=customer_id (repeatable)")
	flags.StringVar(&f.images, "images", "", "folder of the images; the manifest's by default")
	flags.BoolVar(&f.allowRejects, "allow-rejects", false, "submit the good rows although others are rejected")
	flags.BoolVar(&f.dryRun, "dry-run", false, "check and count only; nothing is uploaded or enqueued")
	flags.BoolVar(&f.amend, "amend", false, "go on with a batch that was cancelled")
	flags.BoolVar(&f.wait, "wait", false, "wait until the batch has ended; exit code 3 where some rows failed")
	flags.IntVar(&f.maxCalls, "max-calls", 0, "pause the batch after this many calls; 0: no cap")
	flags.Float64Var(&f.price, "price", 0, "price of a call, to show what the batch costs")
	addProgressFlag(cmd, &f.progress)
}

func (f *submitFlags) options(a *app, args []string) (submit.Options, error) {
	kind, err := tasks.ParseKind(args[0])
	if err != nil {
		return submit.Options{}, err
	}
	mapping, err := manifest.ParseMapping(kind, f.mapping)
	if err != nil {
		return submit.Options{}, err
	}
	switch {
	case f.maxCalls < 0:
		return submit.Options{}, errors.New("--max-calls: must be 0 (no cap) or more")
	case f.price < 0:
		return submit.Options{}, errors.New("--price: must be 0 or more")
	case f.images != "" && kind != tasks.Aadhaar:
		return submit.Options{}, errors.New("--images: only aadhaar manifests have images")
	case f.dryRun && f.wait:
		return submit.Options{}, errors.New("--dry-run submits nothing: there is nothing to --wait for")
	}
	if f.name != "" {
		if err := batch.CheckName(f.name); err != nil {
			return submit.Options{}, fmt.Errorf("--name: %w", err)
		}
	}
	if err := checkProgress(f.progress); err != nil {
		return submit.Options{}, err
	}
	return submit.Options{Kind: kind, Path: args[1], Stdin: a.In, Name: f.name, Mapping: mapping, Images: f.images}, nil
}

// submission is the answer of submit.
type submission struct {
	Batch    string         `json:"batch"`
	Kind     tasks.Kind     `json:"kind"`
	Status   string         `json:"status"` // rejected, checked, submitted, already_submitted, amended
	Rows     int            `json:"rows"`
	Rejected int            `json:"rejected"`
	Problems map[string]int `json:"problems,omitempty"`
	Rejects  string         `json:"rejects_file,omitempty"`
	Estimate *estimate      `json:"estimate,omitempty"`

	messages map[string]string
	codes    []string
}

// submit leads one manifest to its batch.
func (a *app) submit(ctx context.Context, d *batchDeps, opt submit.Options, f submitFlags) error {
	shown, err := a.newProgress(f.progress)
	if err != nil {
		return cli.UsageError(err)
	}
	defer shown.Close()
	source, err := submit.Open(ctx, opt, shown)
	if err != nil {
		return a.interrupted(ctx, fileUsage(err), f.command)
	}
	defer func() { _ = source.Close() }()
	shown.Pause()
	if a.JSON {
		a.Note("batch %s", source.ID)
	} else if err := a.Print("batch %s\n", source.ID); err != nil {
		return err
	}
	sub := &submission{Batch: source.ID, Kind: opt.Kind}
	standing, err := d.control.Batches.Load(ctx, source.ID)
	switch {
	case err == nil && !f.dryRun:
		return a.resubmit(ctx, d, standing, source, sub, f)
	case err != nil && !errors.Is(err, batch.ErrNotFound):
		return a.interrupted(ctx, err, f.command)
	}
	plan, err := source.Check(ctx, d.store, shown)
	if err != nil {
		return a.interrupted(ctx, fileUsage(err), f.command)
	}
	shown.Pause()
	sub.take(plan, source)
	if f.dryRun {
		return a.dryRun(ctx, d, plan, sub, f)
	}
	if plan.Rejected > 0 && (!f.allowRejects || plan.Rows == 0) {
		return a.refuse(sub)
	}
	if sub.Estimate, err = a.estimate(ctx, d, plan, opt.Kind, f); err != nil {
		return err
	}
	accepted, fresh, err := a.accept(ctx, d, source, plan, shown, f)
	if err != nil {
		return a.interrupted(ctx, err, f.command)
	}
	sub.Status = "submitted"
	if !fresh {
		sub.Status = "already_submitted"
	}
	return a.submitted(ctx, d, accepted, sub, f)
}

func (s *submission) take(plan *submit.Plan, source *submit.Source) {
	s.Rows, s.Rejected, s.Problems, s.messages, s.codes = plan.Rows, plan.Rejected, plan.Problems, plan.Messages, plan.Codes()
	if plan.Rejected > 0 {
		s.Rejects = source.RejectsPath()
	}
}

// accept writes the parts, then the batch, then lets the feeding begin.
func (a *app) accept(ctx context.Context, d *batchDeps, source *submit.Source, plan *submit.Plan, shown *progress, f submitFlags) (*batch.Batch, bool, error) {
	w := &submit.Writer{Source: source, Plan: plan, Store: d.store, Keyset: d.keyset, Progress: shown}
	b, err := w.Write(ctx)
	if err != nil {
		return nil, false, err
	}
	shown.Pause()
	b.MaxCalls = f.maxCalls
	fresh, err := d.control.Batches.Accept(ctx, b)
	if err != nil {
		return nil, false, err
	}
	if err := d.control.Start(ctx, b, fresh); err != nil {
		return nil, false, fmt.Errorf("the batch is accepted, and the workers find it within minutes: %w", err)
	}
	return b, fresh, nil
}

// resubmit is for a batch that was accepted before.
func (a *app) resubmit(ctx context.Context, d *batchDeps, b *batch.Batch, source *submit.Source, sub *submission, f submitFlags) error {
	var err error
	sub.Rows, sub.Rejected, sub.Status = b.Rows, b.Rejected, "already_submitted"
	switch {
	case b.Kind != source.Kind, b.Content != source.Content, !maps.Equal(b.Mapping, source.Mapping):
		return batch.ErrOtherManifest
	case b.State == batch.Cancelled && !f.amend:
		return batch.ErrCancelled
	case b.State == batch.Cancelled:
		if err := a.enterBatch(ctx, d, "batch.amend", b, nil); err != nil {
			return err
		}
		b, err = d.control.Amend(ctx, b.ID, f.maxCalls)
		sub.Status = "amended"
	case f.maxCallsGiven && f.maxCalls != b.MaxCalls:
		b, err = d.control.SetMaxCalls(ctx, b.ID, f.maxCalls)
	default:
		err = d.control.Start(ctx, b, false)
	}
	if err != nil {
		return a.interrupted(ctx, err, f.command)
	}
	return a.submitted(ctx, d, b, sub, f)
}

func (a *app) submitted(ctx context.Context, d *batchDeps, b *batch.Batch, sub *submission, f submitFlags) error {
	if a.JSON && !f.wait {
		return a.PrintJSON(sub)
	}
	if !a.JSON {
		if err := a.Print("%s", sub.text()); err != nil {
			return err
		}
	}
	if !f.wait {
		a.Note("next: kycq batch watch %s", b.ID)
		return nil
	}
	return a.watchBatch(ctx, d, b.ID, watchFlags{exit: true, progress: f.progress})
}

// refuse ends a submit with rejected rows.
func (a *app) refuse(sub *submission) error {
	sub.Status = "rejected"
	if a.JSON {
		if err := a.PrintJSON(sub); err != nil {
			return err
		}
	} else if err := a.Print("%s", sub.text()); err != nil {
		return err
	}
	a.Note("nothing was submitted: mend the rows, or add --allow-rejects to submit the other %d", sub.Rows)
	return cli.Exit(cli.ExitUsage)
}

func (s *submission) text() string {
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, "%s: %d rows", strings.ReplaceAll(s.Status, "_", " "), s.Rows)
	if s.Rejected > 0 {
		_, _ = fmt.Fprintf(&text, ", %d rejected", s.Rejected)
	}
	_, _ = fmt.Fprintln(&text)
	for _, code := range s.codes {
		_, _ = fmt.Fprintf(&text, "  %8d  %-28s %s\n", s.Problems[code], code, s.messages[code])
	}
	if s.Rejects != "" {
		_, _ = fmt.Fprintf(&text, "rejects: %s\n", s.Rejects)
	}
	if s.Estimate != nil {
		_, _ = fmt.Fprint(&text, s.Estimate.text())
	}
	return text.String()
}

// interrupted says how to go on.
func (a *app) interrupted(ctx context.Context, err error, command string) error {
	if err != nil && ctx.Err() != nil {
		a.Note("interrupted: nothing is lost. Go on with:\n  %s", command)
		return context.Canceled
	}
	return err
}

// fileUsage gives a file that cannot be read the exit code of wrong input.
func fileUsage(err error) error {
	var file *manifest.FileError
	if errors.As(err, &file) {
		return cli.UsageError(err)
	}
	return err
}
