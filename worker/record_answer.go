package worker

import (
	"context"
	"errors"
	"time"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/storage"
)

const (
	// recordPatience is how long a worker tries to write one answer into the record.
	recordPatience = 20 * time.Second
	recordPause    = 500 * time.Millisecond
	// heldDelay is the delay of a job that met a hold; usually its queue is paused too.
	heldDelay = 10 * time.Second
)

// recordAnswer writes the answer into the record, even if ctx has ended. If S3 is unavailable, it keeps the sealed answer
// in Redis, where takeOver looks first. If neither takes the answer, it goes on trying until a shutdown.
func (d *delivery) recordAnswer(ctx context.Context) transition {
	ctx = context.WithoutCancel(ctx)
	kept := false
	for began := time.Now(); ; _ = sleep.For(ctx, recordPause) {
		t, err := d.tryRecordAnswer(ctx)
		if err == nil {
			return t
		}
		if !kept {
			d.fresh = false
			d.log.Error().Err(err).Msg("the answer cannot be written into the record: keeping it sealed in Redis")
			kept = d.keepAnswer(ctx)
		}
		if time.Since(began) > recordPatience && (kept || d.draining.Err() != nil) {
			return done(later(infraDelay, infraReason(err, "storage")))
		}
	}
}

// tryRecordAnswer writes the answer into whatever the record is now. A lost compare-and-swap is not an error.
func (d *delivery) tryRecordAnswer(ctx context.Context) (transition, error) {
	d.countAnswer(ctx)
	mayReissue, err := d.mayReissue(ctx)
	if err != nil {
		return transition{}, err
	}
	for {
		rec, r, err := d.applyAnswer(mayReissue)
		switch {
		case err != nil:
			return transition{}, err
		case rec == nil: // the record has advanced without this answer
			return goTo(stepClaim), nil
		}
		if d.rec.State.Final() { // it has no marker any more
			d.reopened = true
			if err := d.Records.MarkOpen(ctx, storage.OpenRunOf(rec.JobSpec)); err != nil {
				return transition{}, err
			}
		}
		switch err := d.save(ctx, rec); {
		case err == nil:
			return d.afterAnswer(ctx, r), nil
		case !errors.Is(err, storage.ErrConflict):
			return transition{}, err
		}
		if err := d.reread(ctx); err != nil {
			return transition{}, err
		}
	}
}

// applyAnswer returns the record with the answer in it, and the ruling; nil if the record no longer takes the answer.
func (d *delivery) applyAnswer(mayReissue bool) (*storage.Record, ruling, error) {
	rec, a := d.rec.Clone(), *d.answer
	i := attemptOf(rec, a)
	if !takes(rec, i, a) {
		return nil, ruling{}, nil
	}
	r := d.policy.rule(a, earlierWith(rec, i), mayReissue)
	at := &rec.Attempts[i]
	at.EndedAt, at.HTTPStatus, at.Code, at.Result = a.EndedAt.Truncate(time.Millisecond), a.HTTPStatus, a.Code, r.result
	if a.Class == cashfree.Undocumented {
		r = ruleUndocumented(rec, a, *d.streak)
	}
	// A failed test call says more about Cashfree than about the job.
	at.Counted = r.counted && (!a.Probe || r.next != toRetry)
	if counted, sent := spent(rec); d.policy.exhausted(r, counted, sent) {
		r.next, r.state, r.code = toFinal, storage.StateFailed, "provider_error"
		if paidInRun(rec) {
			r.code = "answer_lost" // one of the calls may have been charged
		}
	}
	return rec, r, d.applyRuling(rec, r, a)
}

// applyRuling changes the record's state as the ruling says.
func (d *delivery) applyRuling(rec *storage.Record, r ruling, a answer) error {
	if a.ReferenceID != 0 {
		rec.ReferenceID = a.ReferenceID
	}
	if a.received() {
		sealed, err := sealAnswer(d.Keyset, rec.VerificationID, a)
		if err != nil {
			return err
		}
		rec.Sealed = sealed
	}
	switch r.next {
	case toAnswered:
		rec.State, rec.Reason, rec.NotBefore = storage.StateAnswered, "", time.Time{}
		rec.Code, rec.Message, rec.NextAction, rec.CompletedAt = "", "", "", time.Time{} // of answer_lost, if it replaces that
	case toFinal:
		if r.state == storage.StateValid {
			in := d.input
			if in.Passport == nil { // the answer was found in Redis
				var err error
				if in, err = openInput(d.Keyset, rec); err != nil {
					return err
				}
			}
			rec.Passport = a.view(in.Passport)
		}
		end(rec, r.state, r.code)
	case toRetry:
		counted, _ := spent(rec)
		wait(rec, max(d.policy.backoff(counted), remainingCallTime(rec, r, a)), r.code)
	case toWait:
		wait(rec, undocumentedDelay(rec), r.code)
	case toResend:
		wait(rec, infraDelay, r.code)
	case toHold, toWaitRate, toDerivedID:
		wait(rec, 0, r.code)
	}
	if text := explain(r, a); r.next != toAnswered {
		rec.Message, rec.NextAction = text.Message, text.NextAction
		noteCharge(rec)
	}
	return nil
}

// remainingCallTime is how long Cashfree may still be working on a last call whose answer is lost. If Cashfree takes ids
// with a success only, a second call before that could be charged as well. The call was timed by the worker that made it.
func remainingCallTime(rec *storage.Record, r ruling, a answer) time.Duration {
	last := rec.LastAttempt()
	if r.result != resultUnknown || last == nil {
		return 0
	}
	return takeoverAge(*last) - max(a.EndedAt.Sub(a.SentAt), 0)
}

// afterAnswer follows a ruling that is in the record.
func (d *delivery) afterAnswer(ctx context.Context, r ruling) transition {
	a, held := *d.answer, holdsKind(*d.answer, *d.streak)
	d.setAnswer(nil)
	if held {
		d.hold(ctx, oddHold(a))
	}
	switch r.next {
	case toAnswered:
		return goTo(stepMask)
	case toFinal:
		return goTo(stepFinish)
	case toRetry:
		return done(Verdict{Decision: Retry, After: d.waitOf(), Reason: r.code})
	case toHold:
		if cause := accountCauses[a.Class]; cause != "" {
			text := explain(r, a)
			d.hold(ctx, hold.Hold{Cause: cause, Reason: text.Message, Code: r.code, NextAction: text.NextAction})
		}
		return done(later(heldDelay, "held"))
	case toWaitRate, toDerivedID:
		// Calling again in this delivery keeps the job's place in its lane.
		if d.input.Passport == nil && d.info.Ext == "" {
			return goTo(stepCheck) // the answer was found in Redis: the input is not checked yet
		}
		return goTo(stepCall)
	case toResend, toWait:
	}
	return done(later(d.waitOf(), r.code))
}

// hold puts the account or a kind on hold. If that fails, the next such answer does it.
func (d *delivery) hold(ctx context.Context, h hold.Hold) {
	if err := d.raiseHold(ctx, h); err != nil {
		d.log.Error().Err(err).Str("code", advice.Listed(h.Code)).Msg("the hold could not be raised: the next such answer raises it")
	}
}

// raiseHold raises a hold and pauses the queues. Only the first job that raises it logs it.
func (d *delivery) raiseHold(ctx context.Context, h hold.Hold) error {
	h.Code = advice.Listed(h.Code)
	h.By, h.Job, h.JobKind = "worker", d.job.VerificationID, string(d.job.Kind)
	first, err := d.Gate.RaiseHold(ctx, h)
	if err != nil {
		return err
	}
	if first {
		stopped := "the whole fleet is on hold"
		if h.Kind != "" {
			stopped = "all calls of this kind are on hold"
		}
		d.log.Error().Str("cause", h.Cause).Str("code", h.Code).Str("reason", h.Reason).Str("next_action", h.NextAction).Msg(stopped)
		d.Observer.Held(h.Code)
	}
	d.OnHold(ctx)
	return nil
}

// mayReissue reports whether an answer that turns out to be lost may be bought again at once. It takes one of the day's
// reissues, so it asks once for each answer, not for each try to write it, and only for a 409 after a request with an
// unknown answer.
func (d *delivery) mayReissue(ctx context.Context) (bool, error) {
	if d.reissue != nil {
		return *d.reissue, nil
	}
	allowed := false
	if i := attemptOf(d.rec, *d.answer); i >= 0 && d.policy.rule(*d.answer, earlierWith(d.rec, i), false).code == "answer_lost" {
		var err error
		if allowed, err = d.takeReissue(ctx); err != nil {
			return false, err
		}
	}
	d.reissue = &allowed
	return allowed, nil
}

// takeReissue takes one of the day's reissues, if the policy allows reissues and any is left.
func (d *delivery) takeReissue(ctx context.Context) (bool, error) {
	if !d.policy.ReissueLostAnswers {
		return false, nil
	}
	return d.Hints.TakeReissue(ctx, d.policy.ReissuesPerDay)
}

// keepAnswer keeps the sealed answer in Redis, and reports whether that succeeded.
func (d *delivery) keepAnswer(ctx context.Context) bool {
	sealed, err := sealAnswer(d.Keyset, d.job.VerificationID, *d.answer)
	if err == nil {
		err = d.Hints.KeepAnswer(ctx, string(d.job.Kind), d.job.VerificationID, sealed)
	}
	if err != nil {
		d.log.Error().Err(err).Msg("the answer cannot be kept in Redis either: retrying both")
	}
	return err == nil
}

// attemptOf returns the index of the attempt that an answer belongs to, or -1.
func attemptOf(rec *storage.Record, a answer) int {
	for i := len(rec.Attempts) - 1; i >= 0; i-- {
		if a.of(rec.Attempts[i]) {
			return i
		}
	}
	return -1
}
