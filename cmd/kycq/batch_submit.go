package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
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
	mapping                 []string
	progress, dateFormat    string
	allowRejects, allowSame bool
	dryRun, wait            bool
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
		Use:   "submit KIND FILE",
		Short: "check a manifest and submit its rows",
		Long: `submit reads FILE (CSV or JSONL; - for standard input) with one job per row. Columns of an aadhaar manifest: image (a path in
the folder of the manifest or --images, or s3://bucket/key). Columns of a passport manifest: file_number, dob (YYYY-MM-DD),
name (optional). Both: verification_id (optional). Other columns are copied to the report.

Without a verification_id, a row gets one that is derived from its input (the image; file_number and dob) under the keyset, so
the same input is the same job in every file and is not paid for twice. To check the same inputs again, for example each year,
or to correct a name, add --ids-for LABEL: other ids, which are the same for the same label.

 --map maps a column to another heading. Headings are compared without case, spaces, hyphens and underscores.

All rows are checked first. Rejected rows are written to FILE.rejects.csv (--rejects), and nothing is submitted unless
--allow-rejects is given. A file with the same input under two verification_ids, which would be paid for twice, is refused
unless --allow-duplicate-input is given. Blank rows are skipped and counted. A file whose quotes do not match is refused. After an interrupt, run the same command again. A batch that was submitted before is not submitted twice; a changed
file is another batch.`,
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
	addProgressFlag(cmd, &f.progress)
}

// check checks flags and arguments, and completes the Options. kind is empty for batch amend.
func (f *submitFlags) check(a *app, kind, path string) (err error) {
	f.Path, f.Stdin, f.Stderr = path, a.In, a.Err
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
	Batch    string         `json:"batch"`
	Kind     tasks.Kind     `json:"kind"`
	Status   string         `json:"status"` // rejected, checked, submitted, already_submitted, amended
	Rows     int            `json:"rows"`
	Rejected int            `json:"rejected"`
	Blank    int            `json:"blank,omitempty"`
	Problems map[string]int `json:"problems,omitempty"`
	Rejects  string         `json:"rejects_file,omitempty"`
	// Derived counts the rows without a verification_id, SameInput those with the input of another row.
	Derived   int              `json:"derived_ids,omitempty"`
	SameInput int              `json:"duplicate_inputs,omitempty"`
	SameFile  []string         `json:"same_file_as,omitempty"` // other batches that were submitted from this file
	Estimate  *submit.Estimate `json:"estimate,omitempty"`

	plan *submit.Plan
}

// runSubmission opens the manifest, calls fn, and completes the submission.
func (a *app) runSubmission(ctx context.Context, d *batchDeps, f submitFlags, fn func(*submission, context.Context) error) error {
	f.Keyset = d.keyset
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
	if err != nil && !errors.Is(err, batch.ErrNotFound) {
		return err
	}
	if existing != nil {
		if err := s.checkExisting(existing); err != nil {
			return err
		}
		if !s.flags.dryRun {
			return s.resubmit(ctx, existing)
		}
	}
	plan, err := s.source.Check(ctx, s.deps.store, s.shown)
	if err != nil {
		return err
	}
	s.shown.Clear()
	s.answer.setPlan(plan, s.source)
	if err := s.noteIdentity(ctx, plan); err != nil {
		return err
	}
	refusal := s.refusal(plan)
	switch {
	case s.flags.dryRun && existing != nil:
		return s.dryRun(ctx, plan, "")
	case s.flags.dryRun:
		return s.dryRun(ctx, plan, refusal)
	case refusal != "":
		return s.refuse(refusal)
	}
	if err := s.estimate(ctx, plan, nil); err != nil {
		return err
	}
	return s.accept(ctx, plan)
}

// noteIdentity notes what decides whether rows are paid for again.
func (s *submission) noteIdentity(ctx context.Context, plan *submit.Plan) error {
	if plan.Derived > 0 {
		s.app.Note("%s without a verification_id: it is derived from the input, so the same input is the same job in every file", count(plan.Derived, "row"))
	}
	same, err := s.deps.control.Batches.SameFile(ctx, s.source.Content, s.source.ID)
	if err != nil {
		return err
	}
	for _, b := range same {
		s.answer.SameFile = append(s.answer.SameFile, b.ID)
		s.app.Note("this file was submitted as batch %s before: rows with the same verification_id are not called again", b.ID)
	}
	return nil
}

// refusal says why a plan is not submitted, and what to do. It is empty for a good plan.
func (s *submission) refusal(plan *submit.Plan) string {
	var next []string
	if plan.Rejected > 0 && (!s.flags.allowRejects || plan.Rows == 0) {
		text := "fix the rows"
		if plan.Rows > 0 {
			text += fmt.Sprintf(", or add --allow-rejects to submit the other %d", plan.Rows)
		}
		next = append(next, text)
	}
	if plan.SameInput > 0 && !s.flags.allowSame {
		next = append(next, fmt.Sprintf("%s with the input of another row under another verification_id would be paid for twice (for example line %d, which repeats line %d): remove them, or add --allow-duplicate-input",
			count(plan.SameInput, "row"), plan.SameLines[1], plan.SameLines[0]))
	}
	return strings.Join(next, "\n")
}

// dryRun prints what a submission would do, and ends as it would.
func (s *submission) dryRun(ctx context.Context, plan *submit.Plan, refusal string) error {
	s.answer.Status = "checked"
	known, err := s.source.Known(ctx, plan, s.deps.store, s.deps.control.Batches, s.deps.client, s.shown)
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
	if refusal != "" {
		s.app.Note("it would be refused: %s", refusal)
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

// refuse ends a submission that needs the user's decision.
func (s *submission) refuse(refusal string) error {
	s.answer.Status = "rejected"
	if err := s.app.Answer(s.answer, s.answer.text); err != nil {
		return err
	}
	s.app.Note("%s", refusal)
	return cli.Exit(cli.ExitUsage)
}

// accept writes the parts, then the batch, and starts the feeding.
func (s *submission) accept(ctx context.Context, plan *submit.Plan) error {
	w := &submit.Writer{Source: s.source, Plan: plan, Store: s.deps.store, Progress: s.shown}
	b, err := w.Write(ctx)
	if err != nil {
		return err
	}
	s.shown.Clear()
	b.MaxCalls = s.flags.maxCalls
	detail := map[string]string{"rows": strconv.Itoa(b.Rows), "max_calls": strconv.Itoa(b.MaxCalls)}
	if err := auditBatch(ctx, s.deps, "batch.submit", b, detail); err != nil {
		return err
	}
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

// checkExisting compares the submission with a batch of the same id.
func (s *submission) checkExisting(b *batch.Batch) error {
	switch {
	case b.Kind != s.source.Kind, b.Content != s.source.Content, !maps.Equal(b.Mapping, s.source.Mapping),
		b.IDsFor != s.source.IDsFor, b.DateFormat != string(s.source.DateFormat):
		return batch.ErrOtherManifest
	case b.State == batch.Cancelled:
		return batch.ErrCancelled
	}
	return nil
}

// resubmit is a submission of a batch that was accepted before.
func (s *submission) resubmit(ctx context.Context, b *batch.Batch) error {
	var err error
	switch {
	case s.flags.maxCallsGiven && s.flags.maxCalls != b.MaxCalls:
		err = auditBatch(ctx, s.deps, "batch.max_calls", b, map[string]string{"max_calls": strconv.Itoa(s.flags.maxCalls)})
		if err == nil {
			_, err = s.deps.control.SetMaxCalls(ctx, b.ID, s.flags.maxCalls)
		}
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
	s.Derived, s.SameInput = plan.Derived, plan.SameInput
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
