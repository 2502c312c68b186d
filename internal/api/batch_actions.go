package api

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/batch"
)

// BatchRetryRequest is the body of a retry of a batch.
type BatchRetryRequest struct {
	ReasonRequest
	Codes []string `json:"codes,omitempty" nullable:"false" maxItems:"20" minItems:"1" doc:"retry the rows that ended with one of these codes; without it the failed rows, except those whose answer was lost"`
	Run   int      `json:"run,omitempty" minimum:"1" doc:"the run of the batch that you saw: if it is at another one, nothing changes"`
}

func (a *API) registerBatchActions() {
	reason := a.jsonBody(typeOf[ReasonRequest]())
	for _, action := range []struct {
		operation
		do func(ctx context.Context, c *call, b *batch.Batch) (status int, after *batch.Batch, err error)
	}{
		{operation{
			name: "cancelBatch", path: "/v1/batches/{batch}/cancel", summary: "Cancel a batch", status: http.StatusAccepted,
			description: "Calls stop within seconds. Calls in flight complete and are recorded; all other unfinished rows become cancelled.",
			codes:       []string{"already_final"}, body: reason,
		}, a.cancelBatch},
		{operation{
			name: "pauseBatch", path: "/v1/batches/{batch}/pause", summary: "Pause a batch", status: http.StatusAccepted,
			description: "No row is enqueued or called until the batch is resumed. Calls in flight complete. A pause that exists keeps its reason.",
			codes:       []string{"already_final", "batch_cancelled"}, body: reason,
		}, a.pauseBatch},
		{operation{
			name: "resumeBatch", path: "/v1/batches/{batch}/resume", summary: "End the pause of a batch", status: http.StatusAccepted,
			description: "A batch that is not paused is not changed.", codes: []string{"call_limit_reached"}, body: reason,
		}, a.resumeBatch},
		{operation{
			name: "retryBatch", path: "/v1/batches/{batch}/retry", summary: "Run selected rows of a batch again", accepted: true,
			description: "Each row costs at least one call. 200: no row is selected, or the batch is at another run: nothing changed.",
			codes:       []string{"batch_cancelled"}, body: a.jsonBody(typeOf[BatchRetryRequest]()),
		}, a.retryBatch},
	} {
		op := action.operation
		op.method, op.tag, op.scope = http.MethodPost, "operations", ScopeOperate
		op.codes = append(op.codes, "not_found", "media_type", "redis_unreachable")
		register(a, op, func(ctx context.Context, c *call, in *BatchPath) (*BatchAnswer, error) {
			b, err := a.batch(ctx, in.Batch)
			if err != nil {
				return nil, err
			}
			status, after, err := action.do(ctx, c, b)
			if err != nil {
				return nil, err
			}
			return a.batchAnswer(ctx, status, after)
		})
	}
}

// jsonBody describes a body.
func (a *API) jsonBody(t reflect.Type) huma.RequestBody {
	return huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		jsonType: {Schema: huma.SchemaFromType(a.huma.OpenAPI().Components.Schemas, t)},
	}}
}

func (a *API) auditBatch(ctx context.Context, c *call, action string, b *batch.Batch, reason string, detail map[string]string) error {
	return a.audit(ctx, c, audit.Act{Action: action, Kind: string(b.Kind), Batch: b.ID, Reason: reason, Detail: detail})
}

func (a *API) cancelBatch(ctx context.Context, c *call, b *batch.Batch) (int, *batch.Batch, error) {
	in, err := c.action()
	if err != nil {
		return 0, nil, err
	}
	if b.Done() && b.State != batch.Cancelled {
		return 0, nil, batch.ErrDone
	}
	if err := a.auditBatch(ctx, c, "batch.cancel", b, in.text["reason"], nil); err != nil {
		return 0, nil, err
	}
	b, err = a.control().Cancel(ctx, b.ID)
	return http.StatusAccepted, b, err
}

func (a *API) pauseBatch(ctx context.Context, c *call, b *batch.Batch) (int, *batch.Batch, error) {
	in, err := c.action()
	if err != nil {
		return 0, nil, err
	}
	if err := a.auditBatch(ctx, c, "batch.pause", b, in.text["reason"], nil); err != nil {
		return 0, nil, err
	}
	b, err = a.control().Pause(ctx, b.ID, batch.Pause{By: auditUser(c.key), Reason: in.text["reason"]})
	return http.StatusAccepted, b, err
}

func (a *API) resumeBatch(ctx context.Context, c *call, b *batch.Batch) (int, *batch.Batch, error) {
	in, err := c.action()
	if err != nil {
		return 0, nil, err
	}
	if b.State == batch.CallLimitReached {
		return 0, nil, failure("call_limit_reached", nil)
	}
	if err := a.auditBatch(ctx, c, "batch.resume", b, in.text["reason"], nil); err != nil {
		return 0, nil, err
	}
	after, err := a.control().Resume(ctx, b.ID)
	if errors.Is(err, batch.ErrNotPaused) {
		after, err = b, nil
	}
	return http.StatusAccepted, after, err
}

var codeForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func (a *API) retryBatch(ctx context.Context, c *call, b *batch.Batch) (int, *batch.Batch, error) {
	in, err := c.action("codes", "run")
	if err != nil {
		return 0, nil, err
	}
	chosen := batch.Selection{Failed: len(in.codes) == 0, Code: strings.Join(in.codes, "+")}
	if in.codes != nil && (len(in.codes) == 0 || len(in.codes) > 20 || slices.ContainsFunc(in.codes, func(code string) bool { return !codeForm.MatchString(code) })) {
		return 0, nil, invalid(FieldError{Pointer: "/codes", Code: "codes_invalid", Message: "codes: want 1 to 20 codes as reports show them"})
	}
	switch {
	case b.State == batch.Cancelled:
		return 0, nil, batch.ErrCancelled
	case in.run != 0 && in.run != len(b.Runs):
		return http.StatusOK, b, nil
	}
	_ = http.NewResponseController(c.w).SetWriteDeadline(noDeadline) // it reads records; a test's writer has none
	selected, err := a.control().Select(ctx, b, batch.PartsOf(a.cfg.Store, a.cfg.Keyset, b), a.cfg.Client, chosen, func(int) {})
	if err != nil || len(selected.Rows) == 0 {
		return http.StatusOK, b, err
	}
	detail := map[string]string{"rows": strconv.Itoa(len(selected.Rows)), "choice": chosen.String()}
	name := "choice"
	for some := range slices.Chunk(in.codes, 3) { // a word of the audit trail has at most 200 characters
		detail[name] = "code:" + strings.Join(some, "+")
		name = "choice_" + strconv.Itoa(len(detail))
	}
	if err := a.auditBatch(ctx, c, "batch.retry", b, in.text["reason"], detail); err != nil {
		return 0, nil, err
	}
	// The rows were selected in this run, so that a run that has begun since ends the retry.
	after, err := a.control().Retry(ctx, b.ID, len(b.Runs), selected.Rows, chosen.String())
	if errors.Is(err, batch.ErrOtherRun) {
		after, err = a.batch(ctx, b.ID)
		return http.StatusOK, after, err
	}
	return http.StatusAccepted, after, err
}
