package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// call acquires a permit from the gate and uses it for one request.
func (d *delivery) call(ctx context.Context) transition {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < minRemaining {
		return done(later(0, "deadline_too_close"))
	}
	if denied, ok := d.acquire(ctx); !ok {
		if d.unread && ctx.Err() == nil { // the record may have an answer, which needs no slot
			return goTo(stepClaim)
		}
		return denied
	}
	t, reply := d.sendOnce(ctx)
	d.report(ctx, reply)
	if reply == nil || reply.Class == cashfree.NotSent || errors.Is(reply.Err, errImageChanged) {
		d.returnCall(ctx)
	}
	d.counted = false
	return t
}

// report returns the permit with the outcome of its call, or as unused if the reply is nil.
func (d *delivery) report(ctx context.Context, reply *cashfree.Reply) {
	if d.permit == nil {
		return
	}
	if err := d.Gate.Report(context.WithoutCancel(ctx), d.permit, gateOutcome(reply)); err != nil {
		d.log.Warn().Err(err).Msg("the outcome of the call was not reported to the gate")
	}
	d.permit = nil
}

// acquire waits for a permit; ok is false if it is denied. The record stays as it is.
func (d *delivery) acquire(ctx context.Context) (denied transition, ok bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.draining, cancel)() // a shutdown ends the wait
	began := time.Now()
	permit, err := d.Gate.Acquire(ctx, gate.Call{Kind: string(d.job.Kind), Lane: string(d.job.Lane), JobID: d.job.VerificationID})
	d.Observer.WaitedAtGate(d.job.Kind, d.job.Lane, time.Since(began))
	var closed *gate.ClosedError
	switch {
	case err == nil:
		d.permit = permit
		return transition{}, true
	case errors.As(err, &closed):
		return done(later(closed.RetryAfter, string(closed.Reason))), false
	case ctx.Err() != nil:
		return done(later(0, "interrupted")), false
	}
	return d.infraFault(err, "redis"), false
}

// sendOnce makes at most one request. The reply is nil if it made none.
func (d *delivery) sendOnce(ctx context.Context) (transition, *cashfree.Reply) {
	// The batch may have been cancelled or paused while the job waited at the gate.
	if t, stop := d.stopWithBatch(ctx); stop {
		return t, nil
	}
	switch err := d.openSource(ctx); {
	case errors.Is(err, storage.ErrNotFound):
		return d.fail(ctx, "image_not_found"), nil
	case err != nil:
		return d.infraFault(err, "storage"), nil
	}
	defer func() { _ = d.body.Close() }()

	rec, ok := d.nextAttempt()
	if !ok {
		return d.fail(ctx, "derived_ids_exhausted"), nil
	}
	if err := d.writeIntent(ctx, rec); err != nil {
		return d.notSaved(err), nil
	}
	if t, taken := d.takeCall(ctx); !taken {
		return t, nil
	}
	if t, ready := d.awaitSlot(ctx); !ready {
		return t, nil
	}
	d.Observer.Sending(d.job.Kind, *d.rec.LastAttempt())
	reply := d.send(context.WithoutCancel(ctx))
	a := newAnswer(d.job, *d.rec.LastAttempt(), reply, d.source)
	d.setAnswer(&a)
	d.logCall(reply)
	d.Observer.Called(d.job.Kind, reply.Class, reply.Duration)
	return goTo(stepRecord), reply
}

// takeCall counts the call against the limit of the batch, after the intent: a store that takes no writes must not use the
// limit up. The intent is withdrawn if the limit is reached.
func (d *delivery) takeCall(ctx context.Context) (t transition, taken bool) {
	if d.rec.Batch == "" || d.Batches == nil {
		return transition{}, true
	}
	switch allowed, err := d.Batches.TakeCall(ctx, d.rec.Batch); {
	case err != nil:
		return d.withdrawIntent(ctx, d.infraFault(err, "redis")), false
	case !allowed:
		return d.withdrawIntent(ctx, done(later(callLimitDelay, "call_limit_reached"))), false
	}
	d.counted = true
	return transition{}, true
}

// returnCall takes back the count of a call that did not leave. After an error, or a crash, it stays counted.
func (d *delivery) returnCall(ctx context.Context) {
	if !d.counted {
		return
	}
	if err := d.Batches.ReturnCall(context.WithoutCancel(ctx), d.rec.Batch); err != nil {
		d.log.Warn().Err(err).Msg("a call that was not made stays counted against the limit of the batch")
	}
}

// source is the image that streams into the request; empty for a passport.
type source struct {
	io.ReadCloser
	size   int64
	opened time.Time
}

// openSource opens the image before the intent is written, so that an error of S3 does not leave a record in state sent.
// The body stays open if the lease is lost, like the request that reads it.
func (d *delivery) openSource(ctx context.Context) error {
	d.body = source{ReadCloser: io.NopCloser(nil)}
	if d.input.Image == nil {
		return nil
	}
	body, size, err := d.Images.OpenImage(context.WithoutCancel(ctx), *d.input.Image)
	if err != nil {
		return fmt.Errorf("open the image: %w", err)
	}
	d.body = source{ReadCloser: body, size: size, opened: time.Now()}
	return nil
}

// refreshSource opens the image again after a long wait: S3 and proxies close a connection that nothing reads from.
func (d *delivery) refreshSource(ctx context.Context) error {
	if d.input.Image == nil || sleep.Elapsed(d.body.opened) < sourceIdle {
		return nil
	}
	_ = d.body.Close()
	return d.openSource(ctx)
}

// nextAttempt returns the record in state sent, with the next attempt; ok is false if no derived id is left.
func (d *delivery) nextAttempt() (rec *storage.Record, ok bool) {
	id, ok := nextProviderID(d.rec)
	if !ok {
		return nil, false
	}
	rec = d.rec.Clone()
	rec.State, rec.Reason, rec.NotBefore = storage.StateSent, "", time.Time{}
	rec.Code, rec.Message, rec.NextAction = "", "", ""
	rec.Attempts = append(withoutIdle(rec.Attempts, rec.Run), storage.Attempt{
		Run: rec.Run, ProviderID: id, TimeoutMS: d.policy.CallTimeout.Milliseconds(), Reissue: isReissue(d.rec, id),
	})
	return rec, true
}

// writeIntent writes rec, whose last attempt is about to be sent. Its age counts from the beginning of the write.
func (d *delivery) writeIntent(ctx context.Context, rec *storage.Record) error {
	last := rec.LastAttempt()
	last.SendWithinMS = min(max(2*time.Duration(d.lastPut.Load()), minSendWithin), maxSendWithin).Milliseconds()
	last.SentAt, last.Probe = now(), d.permit.Test
	d.intended = time.Now()
	if err := d.save(ctx, rec); err != nil {
		return err
	}
	d.lastPut.Store(int64(time.Since(d.intended)))
	return nil
}

// awaitSlot waits for the permit's slot. The request may leave if then, as the last thing before it, the permit is not late,
// the intent is not too old, and the task has not ended: this worker may have been paused, and S3 slow. A late permit is
// exchanged for another one, an old intent is written again, unless another worker has taken over. If that happens too
// often, the intent is withdrawn.
func (d *delivery) awaitSlot(ctx context.Context) (t transition, ready bool) {
	for intents := 1; ; {
		_ = d.permit.Wait(ctx)
		old, late := sleep.Elapsed(d.intended) > sendWithin(*d.rec.LastAttempt()), d.permit.Late()
		switch {
		case ctx.Err() != nil: // another worker may have the task
			return d.withdrawIntent(ctx, done(later(0, "interrupted"))), false
		case !old && !late:
			return transition{}, true
		case old && intents == maxIntents:
			return d.withdrawIntent(ctx, done(later(infraDelay, "storage_slow"))), false
		}
		if old {
			intents++
			if err := d.writeIntent(ctx, d.rec.Clone()); errors.Is(err, storage.ErrConflict) {
				return d.notSaved(err), false
			} else if err != nil {
				return d.withdrawIntent(ctx, d.infraFault(err, "storage")), false
			}
			continue
		}
		d.report(ctx, nil)
		if denied, ok := d.acquire(ctx); !ok {
			return d.withdrawIntent(ctx, denied), false
		}
		d.rec.LastAttempt().Probe = d.permit.Test // written with the answer
		if err := d.refreshSource(ctx); err != nil {
			return d.withdrawIntent(ctx, d.infraFault(err, "storage")), false
		}
	}
}

// withdrawIntent records that the request was not sent, and returns t.
func (d *delivery) withdrawIntent(ctx context.Context, t transition) transition {
	rec := d.rec.Clone()
	last := rec.LastAttempt()
	last.Result, last.EndedAt = resultNotSent, now()
	wait(rec, 0, t.verdict.Reason)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordPatience)
	defer cancel()
	if err := d.save(ctx, rec); err != nil && !errors.Is(err, storage.ErrConflict) {
		d.log.Warn().Err(err).Msg("the record stays in state sent until it is taken over")
	}
	return t
}

// send makes the request. Only the client's own timeout ends it.
func (d *delivery) send(ctx context.Context) *cashfree.Reply {
	id := d.rec.LastAttempt().ProviderID
	if d.job.Kind == tasks.Passport {
		in := d.input.Passport
		return d.Vendor.VerifyPassport(ctx, cashfree.PassportRequest{
			ProviderID: id, FileNumber: in.FileNumber, DOB: in.DOB, Name: in.Name,
		})
	}
	hashed := newHashingReader(d.body, d.body.size, d.input.Image.SHA256)
	reply := d.Vendor.MaskAadhaar(ctx, cashfree.MaskRequest{
		ProviderID: id, Image: hashed, Size: d.body.size, ContentType: d.info.ContentType, Ext: d.info.Ext,
	})
	d.source.SHA256 = hashed.sum(d.source.SHA256)
	return reply
}

func (d *delivery) logCall(reply *cashfree.Reply) {
	e := d.log.Debug()
	if reply.Err != nil {
		e = d.fault().Err(reply.Err)
	}
	e.Int("attempt", len(d.rec.Attempts)).Str("class", string(reply.Class)).Int("status", reply.HTTPStatus).
		Str("code", advice.Listed(reply.Code)).Dur("took_ms", reply.Duration).Msg("call")
}
