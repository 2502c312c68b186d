package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// call acquires a permit from the gate and uses it for one request.
func (d *delivery) call(ctx context.Context) transition {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < minRemaining {
		return done(later(0, "deadline_too_close"))
	}
	permit, denied := d.acquire(ctx)
	if permit == nil {
		return denied
	}
	t, reply := d.sendOnce(ctx, permit)
	if err := d.Gate.Report(context.WithoutCancel(ctx), permit, gateOutcome(reply)); err != nil {
		d.log.Warn().Err(err).Msg("the outcome of the call was not reported to the gate")
	}
	return t
}

// acquire waits for a permit. If it is denied, the permit is nil and the record stays as it is.
func (d *delivery) acquire(ctx context.Context) (permit *gate.Permit, denied transition) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.draining, cancel)() // a shutdown ends the wait
	began := time.Now()
	permit, err := d.Gate.Acquire(ctx, gate.Call{Kind: string(d.job.Kind), Lane: string(d.job.Lane), JobID: d.job.VerificationID})
	d.Observer.WaitedAtGate(d.job.Kind, d.job.Lane, time.Since(began))
	var closed *gate.ClosedError
	switch {
	case err == nil:
		return permit, transition{}
	case errors.As(err, &closed):
		return nil, done(later(closed.RetryAfter, string(closed.Reason)))
	case ctx.Err() != nil:
		return nil, done(later(0, "interrupted"))
	}
	return nil, d.infraFault(err, "redis")
}

// sendOnce makes at most one request. The reply is nil if it made none.
func (d *delivery) sendOnce(ctx context.Context, permit *gate.Permit) (transition, *cashfree.Reply) {
	// The batch may have been cancelled while the job waited at the gate.
	if t, stop := d.cancelIfStopped(ctx); stop {
		return t, nil
	}
	body, err := d.openSource(ctx)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return d.fail(ctx, "image_not_found"), nil
	case err != nil:
		return d.infraFault(err, "storage"), nil
	}
	defer func() { _ = body.Close() }()

	switch allowed, err := d.takeCall(ctx); {
	case err != nil:
		return d.infraFault(err, "redis"), nil
	case !allowed:
		return done(later(callLimitDelay, "call_limit_reached")), nil
	}
	switch err := d.writeIntent(ctx, permit); {
	case errors.Is(err, errIDsExhausted):
		return d.fail(ctx, "derived_ids_exhausted"), nil
	case err != nil:
		return d.notSaved(err), nil
	}
	// If the lease was lost meanwhile, another worker may have the task.
	if ctx.Err() != nil {
		return d.withdrawIntent(ctx), nil
	}
	d.Observer.Sending(d.job.Kind, *d.rec.LastAttempt())
	reply := d.send(context.WithoutCancel(ctx), body)
	a := newAnswer(d.job, *d.rec.LastAttempt(), reply, d.source)
	d.setAnswer(&a)
	d.logCall(reply)
	d.Observer.Called(d.job.Kind, reply.Class, reply.Duration)
	return goTo(stepRecord), reply
}

// takeCall counts the call against the limit of the batch. The call stays counted if it then is not made.
func (d *delivery) takeCall(ctx context.Context) (allowed bool, err error) {
	if d.rec.Batch == "" || d.Batches == nil {
		return true, nil
	}
	return d.Batches.TakeCall(ctx, d.rec.Batch)
}

// source is the image that streams into the request; empty for a passport.
type source struct {
	io.ReadCloser
	size int64
}

// openSource opens the image before the intent is written, so that an error of S3 does not leave a record in state sent.
// The body stays open if the lease is lost, like the request that reads it.
func (d *delivery) openSource(ctx context.Context) (source, error) {
	if d.input.Image == nil {
		return source{ReadCloser: io.NopCloser(nil)}, nil
	}
	body, size, err := d.Images.OpenImage(context.WithoutCancel(ctx), *d.input.Image)
	if err != nil {
		return source{}, fmt.Errorf("open the image: %w", err)
	}
	return source{ReadCloser: body, size: size}, nil
}

var errIDsExhausted = errors.New("no derived ids are left")

// writeIntent writes the attempt into the record, in state sent, and waits for the permit's slot. It writes an intent that
// is older than sendWithin by then again, because a takeover counts from the last write.
func (d *delivery) writeIntent(ctx context.Context, permit *gate.Permit) error {
	id, ok := nextProviderID(d.rec)
	if !ok {
		return errIDsExhausted
	}
	rec := d.rec.Clone()
	rec.State, rec.Reason, rec.NotBefore = storage.StateSent, "", time.Time{}
	rec.Code, rec.Message, rec.NextAction = "", "", ""
	rec.Attempts = append(withoutIdle(rec.Attempts, rec.Run), storage.Attempt{
		Run: rec.Run, ProviderID: id, TimeoutMS: d.policy.CallTimeout.Milliseconds(), Probe: permit.Test,
		Reissue: isReissue(d.rec, id),
	})
	for {
		began := time.Now()
		rec.LastAttempt().SentAt = now()
		if err := d.save(ctx, rec); err != nil {
			return err
		}
		if permit.Wait(ctx) != nil || time.Since(began) < sendWithin {
			return nil
		}
		rec = d.rec.Clone()
	}
}

// withdrawIntent records that the request was not sent.
func (d *delivery) withdrawIntent(ctx context.Context) transition {
	rec := d.rec.Clone()
	last := rec.LastAttempt()
	last.Result, last.EndedAt = resultNotSent, now()
	wait(rec, 0, "interrupted")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordPatience)
	defer cancel()
	if err := d.save(ctx, rec); err != nil && !errors.Is(err, storage.ErrConflict) {
		d.log.Warn().Err(err).Msg("the record stays in state sent until it is taken over")
	}
	return done(later(0, "interrupted"))
}

// send makes the request. Only the client's own timeout ends it.
func (d *delivery) send(ctx context.Context, body source) *cashfree.Reply {
	id := d.rec.LastAttempt().ProviderID
	if d.job.Kind == tasks.Passport {
		in := d.input.Passport
		return d.Vendor.VerifyPassport(ctx, cashfree.PassportRequest{
			ProviderID: id, FileNumber: in.FileNumber, DOB: in.DOB, Name: in.Name,
		})
	}
	hashed := newHashingReader(body)
	reply := d.Vendor.MaskAadhaar(ctx, cashfree.MaskRequest{
		ProviderID: id, Image: hashed, Size: body.size, ContentType: d.info.ContentType, Ext: d.info.Ext,
	})
	d.source.SHA256 = hashed.sum(d.source.SHA256)
	return reply
}

func (d *delivery) logCall(reply *cashfree.Reply) {
	e := d.log.Info()
	if reply.Err != nil {
		e = d.log.Warn().Err(reply.Err)
	}
	e.Int("attempt", len(d.rec.Attempts)).Str("class", string(reply.Class)).Int("status", reply.HTTPStatus).
		Str("code", reply.Code).Dur("took_ms", reply.Duration).Msg("call")
}
