package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/submit"
	"github.com/kycq/kycq/internal/cli"
)

// submission is one run of batch submit or batch amend.
type submission struct {
	app    *app
	deps   *batchDeps
	flags  submitFlags
	shown  *progress
	source *submit.Source
	answer submitAnswer
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
	if errors.Is(err, fs.ErrNotExist) {
		return cli.UsageError(err)
	}
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
		if err := s.source.CheckExisting(existing); err != nil {
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
	rejected, same := plan.Refused(s.flags.allowRejects, s.flags.allowSame)
	if rejected {
		text := "fix the rows"
		if plan.Rows > 0 {
			text += fmt.Sprintf(", or add --allow-rejects to submit the other %d", plan.Rows)
		}
		next = append(next, text)
	}
	if same {
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
	fleet, err := s.deps.fleet(ctx)
	if err != nil {
		return err
	}
	if r := fleet.Calls(s.answer.Kind); r != nil {
		s.app.Note("%s", r.Line())
	}
	for _, line := range fleet.OtherRates(s.deps.ownRates()) {
		s.app.Note("%s", line)
	}
	ahead, err := s.deps.control.RowsAhead(ctx, s.answer.Kind)
	if err != nil {
		return err
	}
	s.answer.Estimate = plan.Estimate(fleet.PerMinute(s.answer.Kind), ahead, known, s.flags.price)
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
	_, created, err := w.Accept(ctx, s.deps.control, s.flags.maxCalls, func(b *batch.Batch) error {
		s.shown.Clear()
		detail := map[string]string{"rows": strconv.Itoa(b.Rows), "max_calls": strconv.Itoa(b.MaxCalls)}
		return auditBatch(ctx, s.deps, "batch.submit", b, detail)
	})
	if err != nil {
		return err
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
	return s.app.watchBatch(ctx, s.deps, s.answer.Batch, watchFlags{exit: true, progress: s.flags.progress, patience: s.flags.patience})
}
