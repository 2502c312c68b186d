package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/batch/submit"
	"github.com/kycq/kycq/internal/blocked"
	"github.com/kycq/kycq/tasks"
)

const (
	// maxManifest is the size of a manifest in bytes: a few million rows.
	maxManifest = 256 << 20
	// maxLarge is how many manifests and reports are in work at once. Of the manifests, one at a time is checked and stored, since that
	// takes 56 MB for a million rows.
	maxLarge = 4
	// maxLargeOfKey is how many of these a key may have, which leaves places to the others.
	maxLargeOfKey = maxLarge / 2
	// maxShown is how many problems of rows an answer lists.
	maxShown = 100
	// batchTimeout is the time for storing a manifest that was read.
	batchTimeout = time.Hour
)

// BatchParams are the parameters of submitBatch.
type BatchParams struct {
	Kind         string `query:"kind" required:"true" enum:"aadhaar,passport"`
	Name         string `query:"name" maxLength:"60" doc:"the id of the batch is the name and the beginning of the content's hash"`
	DryRun       bool   `query:"dry_run" doc:"check and count only"`
	AllowRejects bool   `query:"allow_rejects" doc:"submit the good rows although others are rejected"`
	IDsFor       string `query:"ids_for" maxLength:"60" doc:"label of a further check of the same inputs: other ids are derived for rows without a verification_id"`
}

// Check is what the check of a manifest has found.
type Check struct {
	Rows       int    `json:"rows" doc:"good rows"`
	Rejected   int    `json:"rejected"`
	Blank      int    `json:"blank"`
	DerivedIDs int    `json:"derived_ids" doc:"good rows without a verification_id"`
	SameInputs int    `json:"same_inputs" doc:"good rows with the input of another row under another verification_id"`
	Calls      *int   `json:"calls,omitempty" doc:"calls to make; in a dry run"`
	Seconds    *int64 `json:"seconds,omitempty" doc:"how long they take, after the rows of other batches; in a dry run"`
	Done       *int   `json:"done_already,omitempty" doc:"rows whose job has ended; in a dry run"`
	Different  *int   `json:"different_input,omitempty" doc:"rows whose verification_id belongs to a job with another input; in a dry run"`
}

func checkOf(p *submit.Plan) *Check {
	return &Check{Rows: p.Rows, Rejected: p.Rejected, Blank: p.Blank, DerivedIDs: p.Derived, SameInputs: p.SameInput}
}

func (a *API) registerBatchSubmission() {
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	register(a, operation{
		name: "submitBatch", method: http.MethodPost, path: "/v1/batches", tag: "batches", scope: ScopeSubmit, accepted: true,
		codes: []string{
			"body_too_large", "media_type", "other_batch", "batch_cancelled", "rows_rejected", "same_inputs", "file_invalid", "too_slow", "too_many_pending",
			"busy", "shutting_down", "redis_full", "redis_unreachable",
		},
		summary: "Submit a batch",
		description: "The body is a manifest: CSV with headings, or a JSON object a line, with one job per row. Columns of passport: file_number, dob (YYYY-MM-DD), name " +
			"(optional); of aadhaar: image (s3://bucket/key); of both: verification_id (optional). All rows are checked first, and accepted together. " +
			"202: the batch is new and durable. 200: the batch exists, or this was a dry run. " +
			"After a complete body the submission goes on even if the client goes away: repeat the request to see the batch.",
		body: huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{csvType: text, ndjsonType: text}},
	}, a.submitBatch)
}

// options checks the parameters.
func (in *BatchParams) options() (submit.Options, error) {
	opt := submit.Options{Kind: tasks.Kind(in.Kind), Path: "-", Name: in.Name, IDsFor: in.IDsFor, StoredOnly: true}
	for _, p := range []struct {
		name string
		err  error
	}{{"ids_for", batch.CheckLabel(in.IDsFor)}, {"name", batch.CheckName(cmp.Or(in.Name, "api"))}} {
		if p.err != nil {
			return opt, invalid(FieldError{Pointer: "?" + p.name, Code: "parameter_invalid", Message: p.name + ": " + p.err.Error()})
		}
	}
	if opt.Name == "" {
		if opt.Name = "api"; in.IDsFor != "" { // the same file for another label is another batch
			opt.Name = batch.NameOf(in.IDsFor + "-api.")
		}
	}
	return opt, nil
}

func (a *API) submitBatch(ctx context.Context, c *call, in *BatchParams) (*BatchAnswer, error) {
	opt, err := in.options()
	if err != nil {
		return nil, err
	}
	kind, parameters := c.mediaType()
	switch { // the size is judged before the type
	case c.r.ContentLength > maxManifest:
		return nil, failure("body_too_large", nil)
	case kind != csvType && kind != ndjsonType || !isUTF8(parameters):
		return nil, failure("media_type", nil)
	}
	release, err := a.takeLarge(ctx, c)
	if err != nil {
		return nil, err
	}
	defer release()
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(bodyTime + batchTimeout)) // a test's writer has none
	var shown []FieldError
	opt.Keyset, opt.Stdin = a.cfg.Keyset, c.body(maxManifest)
	opt.Rejected = func(line int, p *manifest.Problem) {
		if len(shown) < maxShown {
			shown = append(shown, rowErrors(line, p)...)
		}
	}
	source, err := submit.Open(ctx, opt, quiet{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = source.Close() }()
	ctx, cancel := a.untilShutdown(ctx, in.DryRun)
	defer cancel()
	answer, err := a.submitSource(ctx, c, in, source)
	var p *Problem
	if errors.As(err, &p) && p.Status == http.StatusUnprocessableEntity {
		p.Errors = append(p.Errors, shown[:min(len(shown), maxShown)]...)
	} else if errors.As(context.Cause(ctx), &p) {
		err = p
	}
	return answer, err
}

// untilShutdown returns a context that ends at a shutdown. Only a dry run ends when its client goes away.
func (a *API) untilShutdown(ctx context.Context, dryRun bool) (context.Context, context.CancelFunc) {
	if !dryRun {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-a.stopping:
			cancel(failure("shutting_down", nil))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

func (a *API) submitSource(ctx context.Context, c *call, in *BatchParams, source *submit.Source) (*BatchAnswer, error) {
	release, err := a.takePlaces(ctx, a.checking)
	if err != nil {
		return nil, err
	}
	defer release()
	existing, err := a.control().Batches.Load(ctx, source.ID)
	if err != nil && !errors.Is(err, batch.ErrNotFound) {
		return nil, err
	}
	if existing != nil {
		if err := source.CheckExisting(existing); err != nil {
			return nil, err
		}
		if !in.DryRun {
			if err := a.control().Start(ctx, existing, false); err != nil {
				return nil, err
			}
			return a.batchAnswer(ctx, http.StatusOK, existing)
		}
	}
	plan, err := source.Check(ctx, a.cfg.Store, quiet{})
	if err != nil {
		return nil, fileProblem(err)
	}
	if rejected, same := plan.Refused(in.AllowRejects, false); rejected || same {
		return nil, refused(plan, rejected)
	}
	if in.DryRun {
		return a.dryRun(ctx, source, plan)
	}
	if err := a.pending.check(ctx, c.key.Name, "", plan.Rows); err != nil {
		return nil, err
	}
	w := &submit.Writer{Source: source, Plan: plan, Store: a.cfg.Store, Progress: quiet{}}
	b, created, err := w.Accept(ctx, a.control(), 0, func(b *batch.Batch) error {
		b.SubmittedBy = c.key.Name
		return a.audit(ctx, c, audit.Act{Action: "batch.submit", Kind: string(b.Kind), Batch: b.ID, Detail: map[string]string{"rows": strconv.Itoa(b.Rows)}})
	})
	if b == nil {
		return nil, err
	}
	if err != nil { // workers start it
		a.cfg.Log.Warn().Err(err).Str("request_id", c.id).Str("batch", b.ID).Msg("an accepted batch was not started at once")
	}
	status := http.StatusOK
	if created {
		status = http.StatusAccepted
	}
	answer, err := a.batchAnswer(ctx, status, b)
	if err == nil {
		answer.Body.Check = checkOf(plan)
	}
	return answer, err
}

// dryRun answers with what a submission would do.
func (a *API) dryRun(ctx context.Context, source *submit.Source, plan *submit.Plan) (*BatchAnswer, error) {
	known, err := source.Known(ctx, plan, a.cfg.Store, a.control().Batches, a.cfg.Client, quiet{})
	if err != nil {
		return nil, err
	}
	fleet, err := blocked.Read(ctx, a.cfg.Redis, a.cfg.Gate)
	if err != nil {
		return nil, err
	}
	ahead, err := a.control().RowsAhead(ctx, source.Kind)
	if err != nil {
		return nil, err
	}
	e := plan.Estimate(fleet.PerMinute(source.Kind), ahead, known, 0)
	check := checkOf(plan)
	check.Calls, check.Seconds, check.Done, check.Different = &e.Calls, &e.Seconds, e.DoneAlready, &known.DifferentInput
	return &BatchAnswer{Status: http.StatusOK, Body: Batch{
		ID: source.ID, Kind: string(source.Kind), State: "checked", Rows: plan.Rows, Outcomes: map[string]int{}, Codes: []CodeCount{}, Check: check,
	}}, nil
}

// rowErrors describes a rejected row without quoting it.
func rowErrors(line int, p *manifest.Problem) []FieldError {
	if p.Fields != nil {
		list := invalidFields(p.Fields).Errors
		for i := range list {
			list[i].Line = line
		}
		return list
	}
	message := p.Message
	if p.Code == manifest.CodeMisspelled {
		message = "a key looks like one that kycq reads, but is spelled otherwise"
	}
	return []FieldError{{Line: line, Code: p.Code, Message: message}}
}

// fileProblem is the problem of a file that cannot be read to its end.
func fileProblem(err error) error {
	var file *manifest.FileError
	if !errors.As(err, &file) {
		return err
	}
	p, message := failure("file_invalid", nil), file.Message
	if file.Quotes {
		message = "a column is missing or misspelled: see the columns of the kind in /docs"
	}
	p.Errors = []FieldError{{Line: file.Line, Code: "file_invalid", Message: message}}
	return p
}

// refused is the problem of a plan that is not submitted.
func refused(plan *submit.Plan, rejected bool) *Problem {
	p := failure("same_inputs", nil)
	if rejected {
		p = failure("rows_rejected", nil)
	} else {
		p.Errors = []FieldError{{Line: plan.SameLines[1], Code: "same_input", Message: "the row has the input of line " + strconv.Itoa(plan.SameLines[0])}}
	}
	p.Counts = checkOf(plan)
	return p
}

// places limits how many large requests are in work at once.
type places chan struct{}

// takeLarge takes a place for a manifest or a report.
func (a *API) takeLarge(ctx context.Context, c *call) (release func(), err error) {
	ofKey, _ := a.ofKeys.LoadOrStore(c.key.Name, make(places, maxLargeOfKey))
	return a.takePlaces(ctx, ofKey.(places), a.large)
}

// takePlaces waits for one of each of the places for at most bodyPatience.
func (a *API) takePlaces(ctx context.Context, from ...places) (release func(), err error) {
	patience := time.NewTimer(bodyPatience)
	defer patience.Stop()
	taken := 0
	release = func() {
		for _, p := range from[:taken] {
			<-p
		}
	}
	for _, p := range from {
		select {
		case p <- struct{}{}:
			taken++
			continue
		case <-patience.C:
			err = failure("busy", nil)
		case <-a.stopping:
			err = failure("shutting_down", nil)
		case <-ctx.Done():
			err = ctx.Err()
		}
		release()
		return nil, err
	}
	return release, nil
}
