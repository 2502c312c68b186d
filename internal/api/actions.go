package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

// ReasonRequest is the body of what operators do.
type ReasonRequest struct {
	Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"why; it is stored in the audit trail (no personal data)"`
}

// RetryRequest is the body of a retry.
type RetryRequest struct {
	ReasonRequest
	Run int `json:"run,omitempty" minimum:"1" doc:"the run of the job that you saw: if it is at another one, nothing changes"`
}

// AcceptedJob is the answer with a job after a change.
type AcceptedJob struct {
	Status int
	Body   Job
}

func (a *API) registerActions() {
	body := a.jsonBody(typeOf[ReasonRequest]())
	common := []string{"not_found", "media_type", "changed_meanwhile", "redis_unreachable"}
	for _, action := range []struct {
		operation
		names []string // of fields beside the reason
		do    func(ctx context.Context, c *call, job jobID, in object) (*storage.Record, error)
	}{
		{operation{
			name: "retryJob", path: "/v1/jobs/{kind}/{id}/retry", summary: "Run a finished job again",
			description: "Starts the next run of a finished job. Its calls are charged again, also if an earlier run was. " +
				"With the run that you saw, the request may be repeated: 200 if the job is at another run, and nothing changed.",
			codes: []string{"not_finished", "input_gone"}, accepted: true, body: a.jsonBody(typeOf[RetryRequest]()),
		}, []string{"run"}, a.retry},
		{operation{
			name: "cancelJob", path: "/v1/jobs/{kind}/{id}/cancel", summary: "Cancel an unfinished job",
			description: "No further call is made. A job whose call is in flight, or whose answer has arrived, ends with its result.",
			codes:       []string{"already_final", "call_in_flight", "row_of_batch"},
		}, nil, a.cancel},
		{operation{
			name: "approveJob", path: "/v1/jobs/{kind}/{id}/approve", summary: "Store a quarantined image as the masked one",
			description: "The job becomes valid. No call is made.", codes: []string{"not_in_review"},
		}, nil, a.decide(true)},
		{operation{
			name: "rejectJob", path: "/v1/jobs/{kind}/{id}/reject", summary: "Delete a quarantined image",
			description: "The job stays failed.", codes: []string{"not_in_review"},
		}, nil, a.decide(false)},
	} {
		op := action.operation
		op.method, op.tag, op.scope, op.codes = http.MethodPost, "operations", ScopeOperate, append(op.codes, common...)
		if !op.accepted {
			op.body, op.status = body, http.StatusAccepted
		}
		register(a, op, func(ctx context.Context, c *call, in *JobPath) (*AcceptedJob, error) {
			return a.act(ctx, c, in, action.names, action.do)
		})
	}
}

// act reads and audits an action, does it, and answers with the job.
func (a *API) act(ctx context.Context, c *call, in *JobPath, names []string, do func(context.Context, *call, jobID, object) (*storage.Record, error)) (*AcceptedJob, error) {
	job, err := named(in.Kind, in.ID)
	if err != nil {
		return nil, err
	}
	of, err := c.action(names...)
	if err != nil {
		return nil, err
	}
	status := http.StatusAccepted
	rec, err := do(ctx, c, job, of)
	if errors.Is(err, worker.ErrOtherRun) {
		status = http.StatusOK
		rec, _, err = a.cfg.Store.Record(ctx, job.kind, job.id)
	}
	if err != nil {
		return nil, err
	}
	return &AcceptedJob{status, show(ctx, rec, a.causes())}, nil
}

func checkReason(pointer, text string) error {
	if text != "" && audit.CheckReason(text) == nil {
		return nil
	}
	return invalid(FieldError{
		Pointer: pointer, Code: "reason_invalid", Message: "reason must be one line of 1 to 500 printable characters: it is stored in the audit trail",
	})
}

// auditJob writes the event of an action on a job that exists.
func (a *API) auditJob(ctx context.Context, c *call, action string, job jobID, reason string) error {
	rec, _, err := a.cfg.Store.Record(ctx, job.kind, job.id)
	if err != nil {
		return err
	}
	return a.audit(ctx, c, audit.Act{
		Action: action, Kind: string(job.kind), VerificationID: job.id, Reason: reason, Detail: map[string]string{"before": string(rec.State)},
	})
}

func (a *API) retry(ctx context.Context, c *call, job jobID, in object) (*storage.Record, error) {
	if seen, _, err := a.cfg.Store.Record(ctx, job.kind, job.id); err == nil && in.run != 0 && in.run != seen.Run {
		return nil, worker.ErrOtherRun // nothing to audit
	}
	if err := a.auditJob(ctx, c, "job.retry", job, in.text["reason"]); err != nil {
		return nil, err
	}
	next, err := worker.Rerun(ctx, a.cfg.Store, a.cfg.Client.Push, job.kind, job.id, in.run)
	switch {
	case err != nil && next.Run == 0:
		return nil, err
	case err != nil: // the run is recorded: an error would make clients repeat the retry
		a.cfg.Log.Warn().Err(err).Str("request_id", c.id).Msg("the leader will enqueue the task of a run")
	}
	rec, _, err := a.cfg.Store.Record(ctx, job.kind, job.id)
	return rec, err
}

func (a *API) cancel(ctx context.Context, c *call, job jobID, in object) (*storage.Record, error) {
	if err := a.auditJob(ctx, c, "job.cancel", job, in.text["reason"]); err != nil {
		return nil, err
	}
	rec, err := worker.Cancel(ctx, a.cfg.Store, job.kind, job.id)
	if err != nil {
		return nil, err
	}
	return rec, worker.EndTask(ctx, a.cfg.Store, worker.FreeInRedis(a.cfg.Redis), a.cfg.Client.Push, rec)
}

func (a *API) decide(approve bool) func(context.Context, *call, jobID, object) (*storage.Record, error) {
	return func(ctx context.Context, c *call, job jobID, in object) (*storage.Record, error) {
		if job.kind != tasks.Aadhaar {
			return nil, worker.ErrNoReview
		}
		action := "review.reject"
		if approve {
			action = "review.approve"
		}
		if err := a.auditJob(ctx, c, action, job, in.text["reason"]); err != nil {
			return nil, err
		}
		var rec *storage.Record
		var err error
		if approve {
			rec, err = worker.Approve(ctx, a.cfg.Store, a.cfg.Client.Push, job.id, auditUser(c.key), in.text["reason"])
		} else {
			rec, err = worker.Reject(ctx, a.cfg.Store, job.id, auditUser(c.key), in.text["reason"])
		}
		var remains storage.RemainsError
		err = remains.Take(err)
		if left := remains.Result(); left != nil {
			a.cfg.Log.Warn().Err(left).Str("request_id", c.id).Msg("versions of a quarantined image remain")
		}
		if rec != nil && rec.Batch != "" {
			err = errors.Join(err, a.control().Decided(ctx, rec))
		}
		return rec, err
	}
}
