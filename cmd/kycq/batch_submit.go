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
	"github.com/kycq/kycq/tasks"
)

// submitFlags are the flags of batch submit and batch amend.
type submitFlags struct {
	mapping                    []string
	progress                   string
	allowRejects, dryRun, wait bool
	maxCalls                   int
	maxCallsGiven              bool
	price                      float64
	command                    string // the command line, to continue after an interrupt
	submit.Options
}

var errMaxCalls = errors.New("--max-calls: must be 0 (no limit) or more")

func newBatchSubmit(a *app) *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "submit KIND FILE",
		Short: "check a manifest and submit its rows",
		Long: `submit reads FILE (CSV or JSONL; - for standard input) with one job per row. Columns of an aadhaar manifest: image (a path in
the folder of the manifest or --images, or s3://bucket/key). Columns of a passport manifest: file_number, dob (YYYY-MM-DD),
name (optional). Both: verification_id (optional; by default it is derived from the row's input). Other columns are copied
to the report. --map maps a column to another heading. Headings are compared without case, spaces, hyphens and underscores.

All rows are checked first. Rejected rows are written to FILE.rejects.csv (--rejects), and nothing is submitted unless
--allow-rejects is given. Blank rows are skipped and counted. A file whose quotes do not match is refused. After an interrupt, run the same command again. A batch that was submitted before is not submitted twice; a changed
file is another batch.`,
		Example: `  kycq batch submit passport customers.csv --dry-run --price 3.5
  kycq batch submit passport customers.csv --map verification_id=customer_id --allow-rejects
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
	flags.StringVar(&f.Rejects, "rejects", "", "file for the rejected rows (mode 0600); FILE.rejects.csv by default")
	flags.StringVar(&f.Images, "images", "", "folder of the images; the manifest's by default")
	flags.BoolVar(&f.allowRejects, "allow-rejects", false, "submit the good rows although others are rejected")
	flags.BoolVar(&f.dryRun, "dry-run", false, "check and count only; nothing is uploaded or submitted")
	flags.Float64Var(&f.price, "price", 0, "price of a call, to estimate the cost")
	return cmd
}

func (f *submitFlags) registerCommon(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.Name, "name", "", "name of the batch; the file's name by default")
	flags.IntVar(&f.maxCalls, "max-calls", 0, "call limit: stop the batch after this many calls; 0: none")
	flags.BoolVar(&f.wait, "wait", false, "wait until the batch has ended; exit code 3 if rows failed")
	addProgressFlag(cmd, &f.progress)
}

// check checks flags and arguments, and completes the Options. kind is empty for batch amend.
func (f *submitFlags) check(a *app, kind, path string) (err error) {
	f.Path, f.Stdin = path, a.In
	if kind != "" {
		if f.Kind, err = tasks.ParseKind(kind); err != nil {
			return err
		}
		if f.Mapping, err = manifest.ParseMapping(f.Kind, f.mapping); err != nil {
			return err
		}
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

// submission is one run of batch submit or batch amend.
type submission struct {
	app    *app
	deps   *batchDeps
	flags  submitFlags
	shown  *progress
	source *submit.Source
	answer submitAnswer
}

// submitAnswer is what a submission prints.
type submitAnswer struct {
	Batch    string           `json:"batch"`
	Kind     tasks.Kind       `json:"kind"`
	Status   string           `json:"status"` // rejected, checked, submitted, already_submitted, amended
	Rows     int              `json:"rows"`
	Rejected int              `json:"rejected"`
	Blank    int              `json:"blank,omitempty"`
	Problems map[string]int   `json:"problems,omitempty"`
	Rejects  string           `json:"rejects_file,omitempty"`
	Estimate *submit.Estimate `json:"estimate,omitempty"`

	plan *submit.Plan
}

// runSubmission opens the manifest, calls fn, and completes the submission.
func (a *app) runSubmission(ctx context.Context, d *batchDeps, f submitFlags, fn func(*submission, context.Context) error) error {
	s := &submission{app: a, deps: d, flags: f, shown: a.newProgress(f.progress)}
	defer s.shown.Clear()
	err := s.open(ctx)
	if err == nil {
		defer func() { _ = s.source.Close() }()
		err = fn(s, ctx)
	}
	if err = a.interrupted(ctx, err, f.command); err != nil || f.dryRun {
		return err
	}
	return s.finish(ctx)
}

// open opens the manifest and prints the batch's id.
func (s *submission) open(ctx context.Context) (err error) {
	s.source, err = submit.Open(ctx, s.flags.Options, s.shown)
	s.shown.Clear()
	if err != nil {
		return err
	}
	s.answer = submitAnswer{Batch: s.source.ID, Kind: s.flags.Kind}
	if s.app.JSON {
		s.app.Note("batch %s", s.source.ID)
		return nil
	}
	return s.app.Print("batch %s\n", s.source.ID)
}

// submit submits a new batch, or one that was submitted before again.
func (s *submission) submit(ctx context.Context) error {
	existing, err := s.deps.control.Batches.Load(ctx, s.source.ID)
	switch {
	case err == nil && !s.flags.dryRun:
		return s.resubmit(ctx, existing)
	case err != nil && !errors.Is(err, batch.ErrNotFound):
		return err
	}
	plan, err := s.source.Check(ctx, s.deps.store, s.shown)
	if err != nil {
		return err
	}
	s.shown.Clear()
	s.answer.setPlan(plan, s.source)
	switch {
	case s.flags.dryRun:
		return s.dryRun(ctx, plan)
	case plan.Rejected > 0 && (!s.flags.allowRejects || plan.Rows == 0):
		return s.refuse(plan)
	}
	if err := s.estimate(ctx, plan, nil); err != nil {
		return err
	}
	return s.accept(ctx, plan)
}

// dryRun prints what a submission would do.
func (s *submission) dryRun(ctx context.Context, plan *submit.Plan) error {
	s.answer.Status = "checked"
	known, err := plan.Known(ctx, s.deps.store, s.answer.Kind, s.shown)
	s.shown.Clear()
	if err != nil {
		return err
	}
	if err := s.estimate(ctx, plan, known); err != nil {
		return err
	}
	if err := s.app.Answer(s.answer, s.answer.text); err != nil {
		return err
	}
	s.app.Note("this was a dry run; nothing was submitted")
	if plan.Rejected > 0 && !s.flags.allowRejects {
		return cli.Exit(cli.ExitUsage)
	}
	return nil
}

// estimate sets the answer's estimate. known may be nil.
func (s *submission) estimate(ctx context.Context, plan *submit.Plan, known *submit.Known) error {
	rate, holds, err := batch.Pace(ctx, s.deps.gate, s.answer.Kind)
	if err != nil {
		return err
	}
	if len(holds) > 0 {
		s.app.Note("%s", holdLines(holds))
	}
	ahead, err := s.deps.control.RowsAhead(ctx, s.answer.Kind)
	if err != nil {
		return err
	}
	s.answer.Estimate = plan.Estimate(rate, ahead, known, s.flags.price)
	if err := plan.CheckInbox(s.answer.Estimate, s.deps.store.Config().InboxLifecycle); err != nil {
		return cli.UsageError(err)
	}
	return nil
}

// refuse ends a submission with rejected rows.
func (s *submission) refuse(plan *submit.Plan) error {
	s.answer.Status = "rejected"
	if err := s.app.Answer(s.answer, s.answer.text); err != nil {
		return err
	}
	next := "fix the rows"
	if plan.Rows > 0 {
		next += fmt.Sprintf(", or add --allow-rejects to submit the other %d", plan.Rows)
	}
	s.app.Note("%s", next)
	return cli.Exit(cli.ExitUsage)
}

// accept writes the parts, then the batch, and starts the feeding.
func (s *submission) accept(ctx context.Context, plan *submit.Plan) error {
	w := &submit.Writer{Source: s.source, Plan: plan, Store: s.deps.store, Keyset: s.deps.keyset, Progress: s.shown}
	b, err := w.Write(ctx)
	if err != nil {
		return err
	}
	s.shown.Clear()
	b.MaxCalls = s.flags.maxCalls
	created, err := s.deps.control.Batches.Accept(ctx, b)
	if err != nil {
		return err
	}
	if err := s.deps.control.Start(ctx, b, created); err != nil {
		return fmt.Errorf("the batch is accepted, and workers start it within minutes: %w", err)
	}
	s.answer.Status = "submitted"
	if !created {
		s.answer.Status = "already_submitted"
	}
	return nil
}

// resubmit is a submission of a batch that was accepted before.
func (s *submission) resubmit(ctx context.Context, b *batch.Batch) error {
	var err error
	switch {
	case b.Kind != s.source.Kind, b.Content != s.source.Content, !maps.Equal(b.Mapping, s.source.Mapping):
		return batch.ErrOtherManifest
	case b.State == batch.Cancelled:
		return batch.ErrCancelled
	case s.flags.maxCallsGiven && s.flags.maxCalls != b.MaxCalls:
		_, err = s.deps.control.SetMaxCalls(ctx, b.ID, s.flags.maxCalls)
	default:
		err = s.deps.control.Start(ctx, b, false)
	}
	s.answer.Status = "already_submitted"
	s.answer.existing(b)
	return err
}

// finish prints the answer and, with --wait, waits for the batch.
func (s *submission) finish(ctx context.Context) error {
	if !s.app.JSON || !s.flags.wait {
		if err := s.app.Answer(s.answer, s.answer.text); err != nil {
			return err
		}
	}
	if !s.flags.wait {
		s.app.Note("next: kycq batch watch %s", s.answer.Batch)
		return nil
	}
	return s.app.watchBatch(ctx, s.deps, s.answer.Batch, watchFlags{exit: true, progress: s.flags.progress})
}

func (s *submitAnswer) setPlan(plan *submit.Plan, source *submit.Source) {
	s.Rows, s.Rejected, s.Blank, s.Problems, s.plan = plan.Rows, plan.Rejected, plan.Blank, plan.Problems, plan
	if plan.Rejected > 0 {
		s.Rejects = source.RejectsPath()
	}
}

func (s *submitAnswer) existing(b *batch.Batch) {
	s.Kind, s.Rows, s.Rejected = b.Kind, b.Rows, b.Rejected
}

func (s submitAnswer) text() string {
	var text strings.Builder
	counts := count(s.Rows+s.Rejected+s.Blank, "row")
	if s.Rejected+s.Blank > 0 {
		counts += fmt.Sprintf(": %d good, %d rejected", s.Rows, s.Rejected)
	}
	if s.Blank > 0 {
		counts += fmt.Sprintf(", %d blank", s.Blank)
	}
	if s.Status == "rejected" {
		_, _ = fmt.Fprintf(&text, "%s; nothing was submitted\n", counts)
	} else {
		_, _ = fmt.Fprintf(&text, "%s: %s\n", strings.ReplaceAll(s.Status, "_", " "), counts)
	}
	if s.plan != nil {
		for _, code := range s.plan.Codes() {
			_, _ = fmt.Fprintf(&text, "  %8d  %-28s %s\n", s.Problems[code], code, s.plan.Messages[code])
		}
	}
	if s.Rejects != "" {
		_, _ = fmt.Fprintf(&text, "rejects: %s\n", s.Rejects)
	}
	if s.Estimate != nil {
		_, _ = fmt.Fprint(&text, s.Estimate)
	}
	return text.String()
}
