package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

// Problem is an error answer (RFC 9457). It holds fixed texts only, never what was submitted.
type Problem struct {
	Type      string       `json:"type" doc:"path of the page that explains the code"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail" doc:"what happened, and what to do next"`
	Code      string       `json:"code" doc:"stable, for programs"`
	RequestID string       `json:"request_id" doc:"names the request in the server's log"`
	Errors    []FieldError `json:"errors,omitempty" doc:"the invalid fields; of rows the first 100"`
	Counts    *Check       `json:"counts,omitempty" doc:"of the rows of a batch"`

	retryAfter time.Duration
	err        error // for the log
}

// FieldError describes an invalid field.
type FieldError struct {
	Pointer string `json:"pointer" doc:"JSON pointer of a field of the body; ?name for a parameter of the query"`
	Line    int    `json:"line,omitempty" doc:"of a manifest"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (p *Problem) Error() string { return p.Code }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns the content type of a problem.
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// GetHeaders returns the headers of the answer.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.retryAfter.Seconds())))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="kycq"`)
	}
	return h
}

// kindOfProblem is what a code means.
type kindOfProblem struct {
	status     int
	title      string
	detail     string // what happened, and what to do next
	retryAfter time.Duration
}

// problems lists all codes. Each has a page below problemsPath.
var problems = map[string]kindOfProblem{
	"key_missing":         {401, "API key missing or wrong", "send the header Authorization: Bearer kq_... with a key that is in force", 0},
	"scope_missing":       {403, "scope missing", "the key does not have the scope of this operation: use another key, or have the scope added to its line in the file of keys", 0},
	"not_found":           {404, "not found", "there is no such job, batch or path: correct the address", 0},
	"method_not_allowed":  {405, "method not allowed", "the path has no such operation: see /docs", 0},
	"too_slow":            {408, "body too slow", "the body arrived slower than 64 KiB/s, or took longer than 10 minutes: send it again over a faster connection, or a manifest in parts", 0},
	"different_input":     {409, "different input", "this verification_id already belongs to a job with a different input: use a new id", 0},
	"not_masked_yet":      {409, "not masked yet", "the job has no masked image: read the job to see why, and ask again once it is valid", 0},
	"not_finished":        {409, "not finished", "the job is not finished: wait for it, or cancel it", 0},
	"already_final":       {409, "already final", "the job or batch has ended: there is nothing to cancel", 0},
	"not_in_review":       {409, "not in review", "the job has no image in quarantine that waits for a decision", 0},
	"call_in_flight":      {409, "call in flight", "a call is in flight, or its answer has arrived: the job ends with its result; wait for it", 0},
	"row_of_batch":        {409, "row of a batch", "the job is a row of a batch: cancel the batch", 0},
	"input_gone":          {409, "input gone", "the job's input was deleted or erased: submit it again under a new verification_id", 0},
	"changed_meanwhile":   {409, "changed meanwhile", "the job was changed at the same time: read it, and repeat the request", 0},
	"other_batch":         {409, "other batch", "a batch of this name was submitted with other rows or settings: choose another name", 0},
	"batch_cancelled":     {409, "batch cancelled", "the batch is cancelled: continue it with kycq batch amend, or submit it under another name", 0},
	"call_limit_reached":  {409, "call limit reached", "the batch has made as many calls as it may: raise its limit with kycq batch resume --max-calls", 0},
	"body_too_large":      {413, "body too large", "an image may have 10 MB, a JSON body 64 KiB, a manifest 256 MiB: send less", 0},
	"media_type":          {415, "unsupported media type", "send the content type that /docs names for this operation; an image must be JPEG or PNG, not PDF", 0},
	"invalid_input":       {422, "invalid input", "correct the fields that errors names", 0},
	"rows_rejected":       {422, "rows rejected", "correct the rows that errors names, or add allow_rejects=true to submit the others; nothing was submitted", 0},
	"same_inputs":         {422, "same inputs", "rows have the input of other rows under another verification_id and would be paid for twice: remove them; nothing was submitted", 0},
	"file_invalid":        {422, "file invalid", "the file cannot be read to its end: errors says why; nothing was submitted", 0},
	"too_many_pending":    {429, "too many pending jobs", "the key has as many unfinished jobs as it may have, with the rows of its batches: repeat the request later, or split the batch", 10 * time.Second},
	"internal_error":      {500, "internal error", "repeat the request; if it fails again, look for the request_id in the server's log", 0},
	"busy":                {503, "busy", "other uploads or reports are in progress: repeat the request", 5 * time.Second},
	"redis_full":          {503, "Redis is full", "Redis uses most of its memory; nothing was accepted: repeat the request later", 30 * time.Second},
	"redis_unreachable":   {503, "Redis unreachable", "Redis cannot be reached: repeat the request, a retry with the run that you saw", 5 * time.Second},
	"storage_unreachable": {503, "storage unreachable", "S3 cannot be reached, or did not say whether it wrote: repeat the request, a retry with the run that you saw", 5 * time.Second},
	"misconfigured":       {503, "misconfigured", "the server's settings, credentials or permissions are wrong: its log and `kycq doctor` say which", time.Minute},
	"shutting_down":       {503, "shutting down", "the server is shutting down: repeat the request", time.Second},
}

const problemsPath = "/problems/"

// failure returns the problem of a code, and keeps err, which may be nil, for the log.
func failure(code string, err error) *Problem {
	k := problems[code]
	return &Problem{
		Type: problemsPath + code, Title: k.title, Status: k.status, Detail: k.detail, Code: code, retryAfter: k.retryAfter, err: err,
	}
}

// missing returns the problem of something that does not exist.
func missing(what string, err error) *Problem {
	p := failure("not_found", err)
	p.Detail = "there is no such " + what + ": correct its name in the address"
	return p
}

// invalid returns the problem of invalid fields.
func invalid(fields ...FieldError) *Problem {
	p := failure("invalid_input", nil)
	p.Errors = fields
	return p
}

// invalidFields returns the problem of an error of package tasks.
func invalidFields(fields []*tasks.InvalidError) *Problem {
	list := make([]FieldError, len(fields))
	for i, f := range fields {
		list[i] = FieldError{Pointer: "/" + f.Field, Code: f.Code, Message: f.Field + " " + f.Message}
	}
	return invalid(list...)
}

// known maps errors to codes; the first that matches counts.
var known = []struct {
	err  error
	code string
}{
	{tasks.ErrDifferentInput, "different_input"},
	{tasks.ErrOtherInstallation, "misconfigured"},
	{tasks.ErrSealed, "misconfigured"},
	{redisx.ErrNameMissing, "redis_unreachable"},
	{tasks.ErrRedisFull, "redis_full"},
	{batch.ErrOtherManifest, "other_batch"},
	{batch.ErrCancelled, "batch_cancelled"},
	{batch.ErrDone, "already_final"},
	{worker.ErrNotFinal, "not_finished"},
	{worker.ErrEnded, "already_final"},
	{worker.ErrCallInFlight, "call_in_flight"},
	{worker.ErrAnswerPaid, "call_in_flight"},
	{worker.ErrRowOfBatch, "row_of_batch"},
	{worker.ErrInputGone, "input_gone"},
	{worker.ErrErased, "input_gone"},
	{worker.ErrNoReview, "not_in_review"},
	{storage.ErrUnreachable, "storage_unreachable"},
	{storage.ErrUncertain, "storage_unreachable"},
	{storage.ErrDenied, "misconfigured"},
	{storage.ErrNoBucket, "misconfigured"},
	{storage.ErrConflict, "changed_meanwhile"},
}

// problemOf turns an error into an answer.
func problemOf(err error) *Problem {
	var p *Problem
	var job *tasks.InvalidJobError
	var field *tasks.InvalidError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &job):
		return invalidFields(job.Fields)
	case errors.As(err, &field):
		return invalidFields([]*tasks.InvalidError{field})
	}
	if errors.Is(err, storage.ErrNotFound) {
		return missing("job or image", err)
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			return failure(k.code, err)
		}
	}
	if f, refused := redisx.Explain(err); refused && f.Credentials() {
		return failure("misconfigured", err)
	}
	if err != nil && strings.Contains(err.Error(), "OOM command not allowed") {
		return failure("redis_full", err)
	}
	if redisx.Unreachable(err) || errors.Is(err, context.DeadlineExceeded) {
		return failure("redis_unreachable", err)
	}
	return failure("internal_error", err)
}

// humaProblem turns an error of huma, which repeats values and the names of unknown parameters, into a problem.
func humaProblem(ctx huma.Context, status int, _ string, errs ...error) huma.StatusError {
	if status != http.StatusUnprocessableEntity {
		return failure("internal_error", fmt.Errorf("huma: status %d: %w", status, errors.Join(errs...)))
	}
	var fields []FieldError
	for _, err := range errs {
		var detail *huma.ErrorDetail
		if !errors.As(err, &detail) {
			continue
		}
		place, name, _ := strings.Cut(detail.Location, ".")
		if place == "path" {
			return failure("not_found", nil)
		}
		f := FieldError{Code: "parameter_unknown", Message: "unknown parameter of the query"}
		for _, p := range ctx.Operation().Parameters {
			if p.In == place && p.Name == name {
				f = FieldError{Code: "parameter_invalid", Message: name + ": " + detail.Message}
				f.Pointer = map[string]string{"query": "?"}[place] + name
			}
		}
		fields = append(fields, f)
	}
	return invalid(fields...)
}

func init() {
	huma.NewErrorWithContext = humaProblem
	huma.NewError = func(status int, _ string, _ ...error) huma.StatusError {
		return failure("internal_error", errors.New("huma: "+strconv.Itoa(status)))
	}
}
