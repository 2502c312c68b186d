package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/blocked"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

// Fleet is the state of all workers.
type Fleet struct {
	Workers   []FleetWorker `json:"workers" nullable:"false" doc:"those that are alive"`
	Kinds     []FleetKind   `json:"kinds" nullable:"false"`
	Holds     []FleetHold   `json:"holds" nullable:"false" doc:"why calls are stopped, until a person acts"`
	Restoring bool          `json:"restoring,omitempty" doc:"Redis lost data: no calls are made until a worker has restored the pauses"`
}

// FleetWorker is a worker.
type FleetWorker struct {
	Host          string    `json:"host"`
	PID           int       `json:"pid"`
	Version       string    `json:"version"`
	Since         time.Time `json:"since"`
	CallsInFlight int       `json:"calls_in_flight"`
}

// FleetKind is the state of the calls of a kind.
type FleetKind struct {
	Kind            string   `json:"kind" enum:"aadhaar,passport"`
	Rate            string   `json:"rate" doc:"the limit in force: calls/unit" example:"100/m"`
	PerMinute       float64  `json:"per_minute" doc:"the pace of calls now"`
	CallsLastMinute int      `json:"calls_last_minute"`
	Limited         int      `json:"limited" doc:"answers with 429, of all time"`
	Breaker         string   `json:"breaker" doc:"state of the circuit breaker"`
	QueuedLive      int64    `json:"queued_live"`
	QueuedBulk      int64    `json:"queued_bulk" doc:"without rows of batches that are not enqueued yet"`
	Blocked         *Blocked `json:"blocked,omitempty"`
}

// FleetHold stops the calls of a kind, or all.
type FleetHold struct {
	Cause      string    `json:"cause" doc:"operator for a pause"`
	Kind       string    `json:"kind,omitempty" doc:"the only kind that it stops"`
	Code       string    `json:"code"`
	Reason     string    `json:"reason"`
	NextAction string    `json:"next_action"`
	Since      time.Time `json:"since"`
	Testing    bool      `json:"testing,omitempty" doc:"resumed: the next call is the test call"`
}

// PauseRequest is the body of pauseFleet.
type PauseRequest struct {
	ReasonRequest
	Kind string `json:"kind,omitempty" enum:"aadhaar,passport" doc:"only this kind"`
}

// ResumeRequest is the body of resumeFleet.
type ResumeRequest struct {
	PauseRequest
	Cause string `json:"cause,omitempty" enum:"operator,credentials,ip,balance,storage,vendor,mask_check,all" doc:"only holds of this cause; without it all, but no pause while there are other holds"`
}

// FleetAnswer is the answer with the fleet.
type FleetAnswer struct {
	Status int
	Body   Fleet
}

func (a *API) registerFleet() {
	register(a, operation{
		name: "getFleet", method: http.MethodGet, path: "/v1/fleet", tag: "fleet", scope: ScopeRead, codes: []string{"redis_unreachable"},
		summary: "Read the state of all workers", description: "Workers, rates, queues, holds and circuit breakers.",
	}, func(ctx context.Context, _ *call, _ *struct{}) (*FleetAnswer, error) {
		return a.fleetAnswer(ctx, http.StatusOK)
	})
	codes := []string{"media_type", "changed_meanwhile", "redis_unreachable"}
	register(a, operation{
		name: "pauseFleet", method: http.MethodPost, path: "/v1/fleet/pause", tag: "operations", scope: ScopeOperate, status: http.StatusAccepted, codes: codes,
		summary: "Stop all calls, or those of a kind", body: a.jsonBody(typeOf[PauseRequest]()),
		description: "Calls in flight complete, and jobs stay in their queues. A pause that exists keeps its reason.",
	}, func(ctx context.Context, c *call, _ *struct{}) (*FleetAnswer, error) { return a.pauseFleet(ctx, c) })
	register(a, operation{
		name: "resumeFleet", method: http.MethodPost, path: "/v1/fleet/resume", tag: "operations", scope: ScopeOperate, status: http.StatusAccepted, codes: codes,
		summary: "Lift holds, with one test call first", body: a.jsonBody(typeOf[ResumeRequest]()),
		description: "If Cashfree accepts the test call, the hold ends; else it remains.",
	}, func(ctx context.Context, c *call, _ *struct{}) (*FleetAnswer, error) { return a.resumeFleet(ctx, c) })
}

func (a *API) fleetAnswer(ctx context.Context, status int) (*FleetAnswer, error) {
	fleet, err := blocked.Read(ctx, a.cfg.Redis, a.cfg.Gate)
	if err != nil {
		return nil, err
	}
	v := Fleet{Workers: []FleetWorker{}, Kinds: []FleetKind{}, Holds: []FleetHold{}, Restoring: fleet.Restoring}
	for _, w := range fleet.Workers {
		if w.Alive() {
			v.Workers = append(v.Workers, FleetWorker{w.Host, w.PID, w.Version, w.Since, w.CallsOut})
		}
	}
	for _, k := range fleet.Kinds {
		kind := tasks.Kind(k.Kind)
		reason, err := fleet.Kind(kind)
		if err != nil {
			return nil, err
		}
		v.Kinds = append(v.Kinds, FleetKind{
			Kind: k.Kind, Rate: k.Limit().String(), PerMinute: k.PerMinute, CallsLastMinute: k.LastMinute, Limited: k.Limited, Breaker: string(k.Breaker),
			QueuedLive: fleet.Queues[tasks.Queue(kind, tasks.Live)].Waiting(), QueuedBulk: fleet.Queues[tasks.Queue(kind, tasks.Bulk)].Waiting(),
			Blocked: blockedBy(reason),
		})
	}
	for _, h := range fleet.Holds {
		v.Holds = append(v.Holds, FleetHold{h.Cause, h.Kind, h.Code, h.Reason, h.NextAction, h.Since, h.Probing})
	}
	return &FleetAnswer{status, v}, nil
}

// fleetAction reads the body of an action on the fleet. Its kind may be empty.
func (c *call) fleetAction(names ...string) (object, error) {
	in, err := c.action(append(names, "kind")...)
	if err == nil && in.text["kind"] != "" {
		if _, kindErr := tasks.ParseKind(in.text["kind"]); kindErr != nil {
			err = invalid(FieldError{Pointer: "/kind", Code: "kind_invalid", Message: "kind must be aadhaar or passport, or missing for both"})
		}
	}
	return in, err
}

func (a *API) pauseFleet(ctx context.Context, c *call) (*FleetAnswer, error) {
	in, err := c.fleetAction()
	if err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, audit.Act{Action: "fleet.pause", Kind: in.text["kind"], Reason: in.text["reason"]}); err != nil {
		return nil, err
	}
	_, err = a.cfg.Pauses.Pause(ctx, hold.Hold{
		Kind: in.text["kind"], Reason: in.text["reason"], Code: "paused", NextAction: "run `kycq fleet resume`", By: auditUser(c.key),
		Since: time.Now().UTC().Truncate(time.Second),
	})
	if err != nil {
		return nil, err
	}
	return a.afterHolds(ctx)
}

func (a *API) resumeFleet(ctx context.Context, c *call) (*FleetAnswer, error) {
	in, err := c.fleetAction("cause")
	if err != nil {
		return nil, err
	}
	cause, act := in.text["cause"], audit.Act{Action: "fleet.resume", Kind: in.text["kind"], Reason: in.text["reason"]}
	if cause != "" {
		if cause != hold.All && !slices.Contains(hold.Causes, cause) {
			return nil, invalid(FieldError{Pointer: "/cause", Code: "cause_invalid", Message: "cause must be one of " + strings.Join(hold.Causes, ", ") + ", all"})
		}
		act.Detail = map[string]string{"cause": cause}
	}
	if err := a.audit(ctx, c, act); err != nil {
		return nil, err
	}
	resumed, err := a.cfg.Pauses.Resume(ctx, func(all []hold.Hold) []hold.Hold { return hold.ToResume(slices.Clone(all), cause, act.Kind) })
	if err != nil && !errors.Is(err, hold.ErrNotHeld) {
		return nil, err
	}
	if err := worker.NewQueuePause(a.cfg.Redis).ClearIdle(ctx, a.cfg.Gate, resumed); err != nil {
		return nil, err
	}
	return a.afterHolds(ctx)
}

// afterHolds pauses or resumes the queues, and answers with the fleet.
func (a *API) afterHolds(ctx context.Context) (*FleetAnswer, error) {
	if err := worker.NewQueuePause(a.cfg.Redis).Sync(ctx, a.cfg.Gate); err != nil {
		return nil, err
	}
	return a.fleetAnswer(ctx, http.StatusAccepted)
}
