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

// call passes the gate, writes the intent, and makes one request.
func (d *delivery) call(ctx context.Context) (stepName, Verdict) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < minRemaining {
		return stepEnd, later(0, "deadline_too_close")
	}
	began := time.Now()
	// A shutdown ends the waiting here, and nothing else.
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.draining, cancel)()
	permit, err := d.Gate.Acquire(waiting, gate.Call{Kind: string(d.job.Kind), Lane: string(d.job.Lane), JobID: d.job.VerificationID})
	d.Observer.WaitedAtGate(d.job.Kind, d.job.Lane, time.Since(began))
	if err != nil {
		return d.turnedAway(waiting, err)
	}

	next, verdict, reply := d.sendOnce(ctx, permit)
	passed := gate.Outcome{Kind: gate.Unused}
	if reply != nil {
		passed = outcome(reply)
	}
	if err := d.Gate.Report(context.WithoutCancel(ctx), permit, passed); err != nil {
		d.log.Warn().Err(err).Msg("the gate did not hear of the answer")
	}
	return next, verdict
}

// sendOnce makes at most one request; reply is nil where none was made.
func (d *delivery) sendOnce(ctx context.Context, permit *gate.Permit) (stepName, Verdict, *cashfree.Reply) {
	// The batch may have been cancelled while the job waited for its slot.
	if stopped, err := d.stopped(ctx); err != nil {
		next, verdict := d.infra(err, "redis")
		return next, verdict, nil
	} else if stopped {
		next, verdict := d.cancel(ctx)
		return next, verdict, nil
	}
	body, err := d.openSource(ctx)
	if err != nil {
		next, verdict := d.sourceFault(ctx, err)
		return next, verdict, nil
	}
	defer func() { _ = body.Close() }()

	if may, err := d.takeCall(ctx); err != nil {
		next, verdict := d.infra(err, "redis")
		return next, verdict, nil
	} else if !may {
		return stepEnd, later(cappedDelay, "call_limit_reached"), nil
	}

	if err := d.writeIntent(ctx, permit); err != nil {
		var spent *idsSpentError
		if errors.As(err, &spent) {
			next, verdict := d.fail(ctx, "derived_ids_exhausted")
			return next, verdict, nil
		}
		next, verdict := d.lost(err)
		return next, verdict, nil
	}
	// The lease may have gone meanwhile: then another worker may have the task already.
	if ctx.Err() != nil {
		next, verdict := d.unsend(ctx)
		return next, verdict, nil
	}
	d.Observer.Sending(d.job.Kind, *d.rec.LastAttempt())
	reply := d.send(context.WithoutCancel(ctx), body)
	a := newAnswer(d.job, *d.rec.LastAttempt(), reply, d.source)
	d.answer = &a
	d.logCall(reply)
	d.Observer.Called(d.job.Kind, reply.Class, reply.Duration)
	return stepRecord, Verdict{}, reply
}

// takeCall counts the call against the cap of its batch. A call that then does not leave stays counted.
func (d *delivery) takeCall(ctx context.Context) (bool, error) {
	if d.rec.Batch == "" || d.Batches == nil {
		return true, nil
	}
	return d.Batches.TakeCall(ctx, d.rec.Batch)
}

// turnedAway is a job at a closed gate: it goes back as it came, and its record stays as it is.
func (d *delivery) turnedAway(ctx context.Context, err error) (stepName, Verdict) {
	var closed *gate.ClosedError
	switch {
	case errors.As(err, &closed):
		return stepEnd, later(closed.RetryAfter, string(closed.Reason))
	case ctx.Err() != nil:
		return stepEnd, later(0, "interrupted")
	}
	return d.infra(err, "redis")
}

// source is the image on its way into the request, empty for a passport.
type source struct {
	io.ReadCloser
	size int64
}

// openSource opens the image before the intent is written: a fault of S3 then costs a slot, not a sent record.
func (d *delivery) openSource(ctx context.Context) (source, error) {
	if d.input.Image == nil {
		return source{ReadCloser: io.NopCloser(nil)}, nil
	}
	// The body outlives a lost lease together with the call that reads it.
	body, size, err := d.Images.OpenImage(context.WithoutCancel(ctx), *d.input.Image)
	if err != nil {
		return source{}, fmt.Errorf("open the image: %w", err)
	}
	return source{ReadCloser: body, size: size}, nil
}

func (d *delivery) sourceFault(ctx context.Context, err error) (stepName, Verdict) {
	if errors.Is(err, storage.ErrNotFound) {
		return d.fail(ctx, "image_not_found")
	}
	return d.infra(err, "storage")
}

type idsSpentError struct{}

func (*idsSpentError) Error() string { return "no derived ids are left" }

// writeIntent puts the attempt into the record, as sent, and waits for the slot. An intent older than sendWithin by then
// is written again, because a takeover counts its age from the last write.
func (d *delivery) writeIntent(ctx context.Context, permit *gate.Permit) error {
	id, ok := nextProviderID(d.rec)
	if !ok {
		return &idsSpentError{}
	}
	rec := d.rec.Clone()
	rec.State, rec.Reason, rec.NotBefore = storage.StateSent, "", time.Time{}
	rec.Code, rec.Message, rec.NextAction = "", "", ""
	rec.Attempts = append(withoutIdle(rec.Attempts, rec.Run), storage.Attempt{
		Run: rec.Run, ProviderID: id, SentAt: time.Now().UTC().Truncate(time.Millisecond),
		TimeoutMS: d.policy.CallTimeout.Milliseconds(), Probe: permit.Test,
		Reissue: isReissue(d.rec, id),
	})
	for {
		began := time.Now()
		rec.LastAttempt().SentAt = began.UTC().Truncate(time.Millisecond)
		if err := d.save(ctx, rec); err != nil {
			return err
		}
		if permit.Wait(ctx) != nil || time.Since(began) < sendWithin {
			return nil
		}
		rec = d.rec.Clone()
	}
}

// unsend takes an intent back that nothing followed.
func (d *delivery) unsend(ctx context.Context) (stepName, Verdict) {
	rec := d.rec.Clone()
	last := rec.LastAttempt()
	last.Result, last.EndedAt = resultNotSent, time.Now().UTC().Truncate(time.Millisecond)
	wait(rec, 0, "interrupted")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerPatience)
	defer cancel()
	if err := d.save(ctx, rec); err != nil && !errors.Is(err, storage.ErrConflict) {
		d.log.Warn().Err(err).Msg("the record still says sent: it is taken over by its age")
	}
	return stepEnd, later(0, "interrupted")
}

// send makes the request. Nothing but its own timeout ends it.
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
