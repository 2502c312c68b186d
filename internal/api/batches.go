package api

import (
	"bufio"
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/report"
	"github.com/kycq/kycq/internal/batch/submit"
	"github.com/kycq/kycq/internal/blocked"
)

// Batch is a batch as the API shows it. It holds no personal data.
type Batch struct {
	ID         string         `json:"id"`
	Kind       string         `json:"kind" enum:"aadhaar,passport"`
	State      string         `json:"state" doc:"checked after a dry run; ended and cancelled are final once done is true"`
	Done       bool           `json:"done" doc:"no row is unfinished"`
	Run        int            `json:"run" doc:"1, or higher after retries"`
	Rows       int            `json:"rows" doc:"accepted rows"`
	Ended      int            `json:"ended"`
	InProgress int            `json:"in_progress"`
	Waiting    int            `json:"waiting"`
	Outcomes   map[string]int `json:"outcomes" doc:"ended rows by outcome"`
	Codes      []CodeCount    `json:"codes" nullable:"false" doc:"ended rows by code, the most frequent first"`
	Reviews    int            `json:"reviews" doc:"rows whose image a person should look at"`
	Mismatches int            `json:"mismatches" doc:"valid passports that differ from the input"`
	Calls      int            `json:"calls"`
	MaxCalls   int            `json:"max_calls,omitempty"`
	Restoring  bool           `json:"restoring,omitempty" doc:"Redis lost the progress: the counts are too low until it is restored from the records"`
	Blocked    *Blocked       `json:"blocked,omitempty" doc:"why no row makes progress"`
	ETASeconds int64          `json:"eta_seconds,omitempty" doc:"time to the end at the present pace; missing while that is not known"`
	CreatedAt  *time.Time     `json:"created_at,omitempty"`
	EndedAt    *time.Time     `json:"ended_at,omitempty"`
	Check      *Check         `json:"check,omitempty" doc:"what the check of a submission has found"`
}

// CodeCount counts rows.
type CodeCount struct {
	Code       string `json:"code"`
	Count      int    `json:"count"`
	Message    string `json:"message"`
	NextAction string `json:"next_action"`
}

// BatchAnswer is the answer with a batch.
type BatchAnswer struct {
	Status   int
	Location string `header:"Location" doc:"path of the batch, in a 202"`
	Body     Batch
}

// BatchPath names a batch.
type BatchPath struct {
	Batch string `path:"batch" doc:"id of the batch"`
}

func batchPath(id string) string { return "/v1/batches/" + id }

func (a *API) registerBatches() {
	a.registerBatchSubmission()
	register(a, operation{
		name: "listBatches", method: http.MethodGet, path: "/v1/batches", tag: "batches", scope: ScopeRead, codes: []string{"redis_unreachable"},
		summary: "List batches", description: "All batches, ordered by id. The last page has no next.",
	}, a.listBatches)
	register(a, operation{
		name: "getBatch", method: http.MethodGet, path: "/v1/batches/{batch}", tag: "batches", scope: ScopeRead, codes: []string{"not_found", "redis_unreachable"},
		summary: "Read the progress of a batch", description: "It reads counters, not rows.",
	}, func(ctx context.Context, _ *call, in *BatchPath) (*BatchAnswer, error) {
		b, err := a.batch(ctx, in.Batch)
		if err != nil {
			return nil, err
		}
		return a.batchAnswer(ctx, http.StatusOK, b)
	})
	for _, of := range []struct {
		operation
		failures bool
	}{
		{operation{
			name: "getBatchReport", path: "/v1/batches/{batch}/report", summary: "Read the rows of a batch with their outcomes",
			description: "All rows in the order of the manifest.",
		}, false},
		{operation{
			name: "getBatchFailures", path: "/v1/batches/{batch}/failures", summary: "Read the failed and invalid rows of a batch",
			description: "The rows that ended failed or invalid.",
		}, true},
	} {
		op := of.operation
		op.method, op.tag, op.scope, op.codes = http.MethodGet, "batches", ScopeRead, []string{"not_found", "busy"}
		op.description += " CSV, or one JSON object a line with Accept: application/x-ndjson. The input is not in it: line and verification_id name the rows. " +
			"An answer that breaks off is not complete."
		register(a, op, func(ctx context.Context, c *call, in *ReportParams) (*Stream, error) {
			return a.getReport(ctx, c, in, of.failures)
		})
		text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
		a.huma.OpenAPI().Paths[op.path].Get.Responses["200"].Content = map[string]*huma.MediaType{csvType: text, ndjsonType: text}
	}
	a.registerBatchActions()
}

func (a *API) control() *batch.Control { return batch.NewControl(a.cfg.Redis, a.cfg.Store) }

// viewBatch returns a batch as the API shows it.
func (a *API) viewBatch(ctx context.Context, fleet *blocked.Fleet, b *batch.Batch) (*Batch, error) {
	s, err := a.control().StatusOf(ctx, b)
	if err != nil {
		return nil, err
	}
	st, err := fleet.StatusOf(s)
	if err != nil {
		return nil, err
	}
	v := &Batch{
		ID: b.ID, Kind: string(b.Kind), State: string(st.State), Done: st.Done, Run: st.Runs, Rows: st.Rows, Ended: st.Ended, InProgress: st.Open,
		Waiting: st.Waiting, Outcomes: st.Outcomes, Codes: codeCounts(st.Codes), Reviews: st.Reviews, Mismatches: st.Mismatches, Calls: st.Calls,
		MaxCalls: st.MaxCalls, Restoring: st.Rebuilding, Blocked: blockedBy(st.Blocked), ETASeconds: st.ETASeconds, CreatedAt: &b.CreatedAt,
	}
	if st.Done {
		v.EndedAt = &b.EndedAt
	}
	return v, nil
}

func codeCounts(codes map[string]int) []CodeCount {
	list := []CodeCount{}
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		text := advice.For(code)
		list = append(list, CodeCount{code, codes[code], text.Message, text.NextAction})
	}
	slices.SortStableFunc(list, func(x, y CodeCount) int { return cmp.Compare(y.Count, x.Count) })
	return list
}

func blockedBy(r *blocked.Reason) *Blocked {
	if r == nil {
		return nil
	}
	b := &Blocked{Reason: cmp.Or(r.Code, r.Cause), NextAction: r.NextAction}
	if !r.Since.IsZero() {
		b.Since = &r.Since
	}
	return b
}

func (a *API) batchAnswer(ctx context.Context, status int, b *batch.Batch) (*BatchAnswer, error) {
	fleet, err := blocked.Read(ctx, a.cfg.Redis, a.cfg.Gate)
	if err != nil {
		return nil, err
	}
	v, err := a.viewBatch(ctx, fleet, b)
	if err != nil {
		return nil, err
	}
	answer := &BatchAnswer{Status: status, Body: *v}
	if status == http.StatusAccepted {
		answer.Location = batchPath(b.ID)
	}
	return answer, nil
}

// BatchListAnswer is the answer of listBatches.
type BatchListAnswer struct {
	Body struct {
		Items []Batch `json:"items" nullable:"false"`
		Next  string  `json:"next,omitempty" doc:"the parameter after for the next page; missing on the last"`
	}
}

func (a *API) listBatches(ctx context.Context, _ *call, in *Page) (*BatchListAnswer, error) {
	after, err := decodeCursor(in.After)
	if err != nil {
		return nil, err
	}
	ids, err := a.control().Batches.IDs(ctx, "")
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	from, found := slices.BinarySearch(ids, after)
	if found {
		from++
	}
	ids = ids[from:]
	out := &BatchListAnswer{}
	if len(ids) > in.Limit {
		ids = ids[:in.Limit]
		out.Body.Next = encodeCursor(ids[in.Limit-1])
	}
	fleet, err := blocked.Read(ctx, a.cfg.Redis, a.cfg.Gate)
	if err != nil {
		return nil, err
	}
	batches, err := a.control().Batches.LoadAll(ctx, ids) // without submissions that were never accepted
	if err != nil {
		return nil, err
	}
	out.Body.Items = make([]Batch, len(batches))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookUpParallel)
	for i, b := range batches {
		group.Go(func() error {
			v, err := a.viewBatch(ctx, fleet, b)
			if err == nil {
				out.Body.Items[i] = *v
			}
			return err
		})
	}
	return out, group.Wait()
}

// ReportParams are the parameters of reports.
type ReportParams struct {
	BatchPath
	Accept   string `header:"Accept" doc:"text/csv (the default) or application/x-ndjson"`
	Code     string `query:"code" maxLength:"64" doc:"only rows with this code"`
	Outcome  string `query:"outcome" enum:"valid,invalid,failed,cancelled,queued,waiting,sent,answered" doc:"only rows with this outcome, or in this state"`
	Review   bool   `query:"review" doc:"only rows whose image a person should look at"`
	Mismatch bool   `query:"mismatch" doc:"only passports that differ from the input"`
}

const (
	csvType    = "text/csv"
	ndjsonType = "application/x-ndjson"
)

func (a *API) getReport(ctx context.Context, c *call, in *ReportParams, failures bool) (*Stream, error) {
	b, err := a.batch(ctx, in.Batch)
	if err != nil {
		return nil, err
	}
	r := &report.Report{
		Batch: b, Parts: batch.PartsOf(a.cfg.Store, a.cfg.Keyset, b), Records: a.cfg.Store, Client: a.cfg.Client, NoInput: true, FailuresOnly: failures,
		Only:   report.Filter{Code: in.Code, Outcome: in.Outcome, Review: in.Review, Mismatch: in.Mismatch},
		Format: report.CSV, Visited: func() {},
	}
	contentType := csvType + "; charset=utf-8"
	if strings.Contains(in.Accept, ndjsonType) {
		r.Format, contentType = report.JSONL, ndjsonType
	}
	release, err := a.takeLarge(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Stream{Body: func(huma.Context) {
		defer release()
		c.w.Header().Set("Content-Type", contentType)
		out := bufio.NewWriterSize(patientWriter{c.w}, 64<<10)
		_, err := r.Write(ctx, out)
		if err == nil {
			err = out.Flush()
		}
		switch {
		case err == nil:
		case c.w.status == 0: // nothing was sent yet
			a.refuse(c, problemOf(err))
		default:
			panic(http.ErrAbortHandler) // the client must not take a part for the report
		}
	}}, nil
}

// patientWriter limits the time of each write, not that of the answer.
type patientWriter struct{ w http.ResponseWriter }

func (w patientWriter) Write(p []byte) (int, error) {
	_ = http.NewResponseController(w.w).SetWriteDeadline(time.Now().Add(requestTimeout)) // a test's writer has none
	return w.w.Write(p)
}

// quiet is a submit.Progress that shows nothing.
type quiet struct{}

func (quiet) Begin(string, int64, string) {}
func (quiet) Add(int64)                   {}

var _ submit.Progress = quiet{}
