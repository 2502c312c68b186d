package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

func (a *API) registerJobs() {
	a.registerSubmissions()
	register(a, operation{
		name: "getJob", method: http.MethodGet, path: "/v1/jobs/{kind}/{id}", tag: "jobs", scope: ScopeRead, codes: []string{"not_found"},
		summary:     "Read a job",
		description: "With the header Prefer: wait=N, the answer comes when the job is final, or after N seconds (25 at most).",
	}, a.getJob)
	register(a, operation{
		name: "listJobs", method: http.MethodGet, path: "/v1/jobs", tag: "jobs", scope: ScopeRead, codes: []string{"not_found"},
		summary: "List jobs",
		description: "One of batch, review and open is required; the other parameters select among these jobs. A page reads at most 1,000 jobs: " +
			"it may have fewer than limit, or none, although there are more. The last page has no next.",
	}, a.listJobs)
	register(a, operation{
		name: "getMaskedImage", method: http.MethodGet, path: "/v1/jobs/aadhaar/{id}/image", tag: "jobs", scope: ScopeRead,
		codes: []string{"not_found", "not_masked_yet"}, summary: "Read a masked image",
		description: "The image in which the first eight digits and the QR code are masked.",
	}, a.getImage)
	responses := a.huma.OpenAPI().Paths["/v1/jobs/aadhaar/{id}/image"].Get.Responses
	image := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	responses["200"].Content = map[string]*huma.MediaType{"image/jpeg": image, "image/png": image}
	register(a, operation{
		name: "revealAnswer", method: http.MethodGet, path: "/v1/jobs/{kind}/{id}/answer", tag: "operations", scope: ScopeReveal,
		codes: []string{"not_found"}, summary: "Decrypt Cashfree's answer",
		description: "The answer holds personal data. The audit trail says who has read it, and why.",
	}, a.getAnswer)
}

// JobPath names a job.
type JobPath struct {
	Kind string `path:"kind" enum:"aadhaar,passport"`
	ID   string `path:"id" doc:"verification_id"`
}

// GetJobParams are the parameters of getJob.
type GetJobParams struct {
	JobPath
	Prefer string `header:"Prefer" doc:"wait=N: wait up to N seconds for the end of the job" example:"wait=25"`
}

// GetJobAnswer is the answer of getJob.
type GetJobAnswer struct{ Body Job }

func (a *API) getJob(ctx context.Context, c *call, in *GetJobParams) (*GetJobAnswer, error) {
	job, err := named(in.Kind, in.ID)
	if err != nil {
		return nil, err
	}
	rec, err := a.await(ctx, c, job.kind, job.id, waitOf(in.Prefer))
	if err != nil {
		return nil, err
	}
	return &GetJobAnswer{show(ctx, rec, a.causes())}, nil
}

// ImagePath names an aadhaar job.
type ImagePath struct {
	ID string `path:"id" doc:"verification_id"`
}

// Stream is an answer that is copied from S3.
type Stream struct{ Body func(huma.Context) }

const imageTimeout = 5 * time.Minute

func (a *API) getImage(ctx context.Context, c *call, in *ImagePath) (*Stream, error) {
	job, err := named(string(tasks.Aadhaar), in.ID)
	if err != nil {
		return nil, err
	}
	rec, _, err := a.cfg.Store.Record(ctx, job.kind, job.id)
	if err != nil {
		return nil, err
	}
	m := rec.Best().MaskedImage
	if m == nil {
		return nil, failure("not_masked_yet", nil)
	}
	src, size, err := a.cfg.Store.OpenMasked(ctx, m.Key)
	if err != nil {
		return nil, err
	}
	return &Stream{Body: func(out huma.Context) {
		defer func() { _ = src.Close() }()
		_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(imageTimeout))
		out.SetHeader("Content-Type", m.ContentType)
		out.SetHeader("Content-Length", strconv.FormatInt(size, 10))
		out.SetStatus(http.StatusOK)
		if _, err := io.Copy(out.BodyWriter(), src); err != nil {
			panic(http.ErrAbortHandler) // the client must not take a part for the image
		}
	}}, nil
}

// AnswerParams are the parameters of revealAnswer.
type AnswerParams struct {
	JobPath
	Reason string `query:"reason" required:"true" minLength:"1" maxLength:"500" doc:"why; it is stored in the audit trail (no personal data)"`
}

// AnswerAnswer is the answer of revealAnswer.
type AnswerAnswer struct {
	Body struct {
		Answer any `json:"answer" doc:"Cashfree's answer as kycq keeps it, without the link to the image; null if there is none"`
	}
}

func (a *API) getAnswer(ctx context.Context, c *call, in *AnswerParams) (*AnswerAnswer, error) {
	job, err := named(in.Kind, in.ID)
	if err == nil {
		err = checkReason("?reason", in.Reason)
	}
	if err != nil {
		return nil, err
	}
	rec, _, err := a.cfg.Store.Record(ctx, job.kind, job.id)
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, audit.Act{Action: "reveal", Kind: string(job.kind), VerificationID: job.id, Reason: in.Reason}); err != nil {
		return nil, err
	}
	answer, err := worker.Reveal(a.cfg.Keyset, rec)
	if errors.Is(err, seal.ErrKeyMissing) {
		return nil, failure("misconfigured", err)
	}
	out := &AnswerAnswer{}
	if answer.Answer != nil {
		out.Body.Answer = answer.Answer
	}
	return out, err
}
