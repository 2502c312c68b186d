package worker

import (
	"context"
	"errors"
	"time"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/storage"
)

const (
	// answerPatience is how long an answer in hand is offered to S3 before its worker turns to other jobs.
	answerPatience = 20 * time.Second
	answerPause    = 500 * time.Millisecond
)

// settle writes the answer in hand into the record, whatever happened to the task meanwhile, and does what its ruling
// says. An answer that S3 does not take is kept in Redis at once, where a takeover looks first; one that neither takes is
// offered to both for as long as this process may live.
func (d *delivery) recordAnswer(ctx context.Context) (stepName, Verdict) {
	ctx = context.WithoutCancel(ctx)
	kept := false
	for began := time.Now(); ; _ = sleep.For(ctx, answerPause) {
		next, verdict, err := d.tryRecordAnswer(ctx)
		if err == nil {
			return next, verdict
		}
		if !kept {
			d.log.Error().Err(err).Msg("the answer cannot be written into the record: keeping it sealed in Redis")
			kept = d.keep(ctx)
		}
		if time.Since(began) > answerPatience && (kept || d.draining.Err() != nil) {
			return stepEnd, later(infraDelay, "storage_unreachable")
		}
	}
}

// tryRecordAnswer writes the answer on top of whatever stands in the record. Losing a compare-and-swap is no error.
func (d *delivery) tryRecordAnswer(ctx context.Context) (stepName, Verdict, error) {
	mayReissue, err := d.mayReissue(ctx)
	if err != nil {
		return stepEnd, Verdict{}, err
	}
	for {
		rec, r, err := d.applied(mayReissue)
		if err != nil {
			return stepEnd, Verdict{}, err
		}
		if rec == nil { // the record went on without this answer
			return stepClaim, Verdict{}, nil
		}
		err = d.save(ctx, rec)
		if err == nil {
			next, verdict := d.follow(ctx, r)
			return next, verdict, nil
		}
		if !errors.Is(err, storage.ErrConflict) {
			return stepEnd, Verdict{}, err
		}
		if err := d.reread(ctx); err != nil {
			return stepEnd, Verdict{}, err
		}
	}
}

// applied is the record with the answer in it; nil where the answer has nothing to say to the record any more.
func (d *delivery) applied(mayReissue bool) (*storage.Record, ruling, error) {
	rec, a := d.rec.Clone(), *d.answer
	i := attemptOf(rec, a)
	ours := rec.State == storage.StateSent && i == len(rec.Attempts)-1
	if i < 0 || rec.State.Final() || !ours && (!a.decisive() || rec.State == storage.StateAnswered) {
		return nil, ruling{}, nil
	}
	r := d.policy.rule(a, earlierWith(rec, i), mayReissue)
	at := &rec.Attempts[i]
	at.EndedAt, at.HTTPStatus, at.Code, at.Result = a.EndedAt.Truncate(time.Millisecond), a.HTTPStatus, a.Code, r.result
	// A failed probe of the breaker's says more about the vendor than about the job.
	at.Counted = r.counted && (!a.Probe || r.next != toRetry)
	if counted, sent := spent(rec); d.policy.exhausted(r, counted, sent) {
		r.next, r.state, r.code = toFinal, storage.StateFailed, "provider_error"
		if unresolved(rec, rec.Run) {
			r.code = "answer_lost" // one of the calls may have been charged: who runs it again must know
		}
	}
	return rec, r, d.enact(rec, r, a)
}

// enact puts a ruling into the record's state.
func (d *delivery) enact(rec *storage.Record, r ruling, a answer) error {
	if a.ReferenceID != 0 {
		rec.ReferenceID = a.ReferenceID
	}
	if a.whole() {
		sealed, err := sealAnswer(d.Keyset, rec.VerificationID, a)
		if err != nil {
			return err
		}
		rec.Sealed = sealed
	}
	switch r.next {
	case toAnswered:
		rec.State, rec.Reason, rec.NotBefore = storage.StateAnswered, "", time.Time{}
	case toFinal:
		if r.state == storage.StateValid {
			if err := d.reopenInput(rec); err != nil {
				return err
			}
			rec.Passport = a.view(d.input.Passport)
		}
		end(rec, r.state, r.code)
	case toRetry:
		counted, _ := spent(rec)
		wait(rec, max(d.policy.backoff(counted), stillOut(rec, r)), r.code)
	case toResend:
		wait(rec, infraDelay, r.code)
	case toHold, toWaitRate, toDerivedID:
		wait(rec, 0, r.code)
	}
	if text := explain(r, a); rec.Message != "" {
		rec.Message, rec.NextAction = text.Message, text.NextAction
	}
	return nil
}

// stillOut is how long the last call of rec may go on at the vendor's although its answer is lost: as long as a takeover
// would wait. A vendor that takes ids only with success could otherwise do, and charge, the same work twice at once.
func stillOut(rec *storage.Record, r ruling) time.Duration {
	last := rec.LastAttempt()
	if r.result != resultUnknown || last == nil {
		return 0
	}
	age := takeoverAge(time.Duration(last.TimeoutMS) * time.Millisecond)
	return min(age-time.Since(last.SentAt), age)
}

// reopenInput makes sure that the input is at hand: an answer that Redis kept is settled by a worker that has not opened
// it yet.
func (d *delivery) reopenInput(rec *storage.Record) error {
	if d.input.Passport != nil || d.input.Image != nil {
		return nil
	}
	in, err := openInput(d.Keyset, rec)
	d.input = in
	return err
}

// follow does what the saved ruling says.
func (d *delivery) follow(ctx context.Context, r ruling) (stepName, Verdict) {
	a := *d.answer
	d.inHand(nil)
	switch r.next {
	case toAnswered:
		return stepMask, Verdict{}
	case toFinal:
		return stepFinish, Verdict{}
	case toRetry:
		return stepEnd, Verdict{Decision: Retry, After: time.Until(d.rec.NotBefore), Reason: r.code}
	case toHold:
		d.hold(ctx, r.code, explain(r, a))
		return stepEnd, later(heldDelay, "held")
	case toWaitRate, toDerivedID:
		return d.again(), Verdict{}
	case toResend:
	}
	return stepEnd, later(time.Until(d.rec.NotBefore), r.code)
}

// again is the way to another call by the same delivery: it keeps the job's place among the others of its lane.
func (d *delivery) again() stepName {
	if d.input.Passport == nil && d.info.Ext == "" {
		return stepCheck // the answer was settled by a worker that has not looked at the input
	}
	return stepCall
}

// heldDelay paces the looks of a job whose queue is not paused although the fleet is on hold.
const heldDelay = 10 * time.Second

// gateHold is a shorthand for the type of Parts.OnHold.
type gateHold = gate.Hold

// hold stops the fleet. The first job that sees the refusal raises it, logs it and pauses the queues.
func (d *delivery) hold(ctx context.Context, code string, text advice.Text) {
	h := gate.Hold{Reason: text.Message, Code: code, NextAction: text.NextAction, By: "worker", Since: time.Now().UTC()}
	first, err := d.Gate.RaiseHold(ctx, h)
	if err != nil {
		d.log.Error().Err(err).Str("code", code).Msg("the account is refused, and the hold could not be raised: the next refusal tries again")
		return
	}
	if first {
		d.log.Error().Str("code", code).Str("reason", h.Reason).Str("next_action", h.NextAction).Msg("the whole fleet is on hold")
		d.Observer.Held(code)
	}
	d.OnHold(ctx, h)
}

// mayReissue asks whether an answer that proves lost may be bought again at once. It spends one of the day's reissues, so
// it is asked only where the answer is a 409 about a request whose answer nobody has, and once for each: not again with
// every try to write it.
func (d *delivery) mayReissue(ctx context.Context) (bool, error) {
	if d.reissue != nil {
		return *d.reissue, nil
	}
	may, err := d.askForReissue(ctx)
	if err == nil {
		d.reissue = &may
	}
	return may, err
}

func (d *delivery) askForReissue(ctx context.Context) (bool, error) {
	i := attemptOf(d.rec, *d.answer)
	if i < 0 {
		return false, nil
	}
	r := d.policy.rule(*d.answer, earlierWith(d.rec, i), false)
	if r.code != "answer_lost" {
		return false, nil
	}
	return d.reissueAllowed(ctx)
}

func (d *delivery) reissueAllowed(ctx context.Context) (bool, error) {
	if !d.policy.ReissueLostAnswers {
		return false, nil
	}
	return d.Hints.TakeReissue(ctx, d.policy.ReissuesPerDay)
}

func (d *delivery) reread(ctx context.Context) error {
	rec, version, err := d.Records.Record(ctx, d.job.Kind, d.job.VerificationID)
	if err != nil {
		return err
	}
	d.rec, d.version = rec, version
	return nil
}

// keep holds the answer in Redis, sealed; it tells whether that worked.
func (d *delivery) keep(ctx context.Context) bool {
	sealed, err := sealAnswer(d.Keyset, d.job.VerificationID, *d.answer)
	if err == nil {
		err = d.Hints.KeepAnswer(ctx, string(d.job.Kind), d.job.VerificationID, sealed)
	}
	if err != nil {
		d.log.Error().Err(err).Msg("the answer cannot be kept in Redis either: trying both again")
	}
	return err == nil
}

// attemptOf finds the attempt that an answer belongs to, -1 where there is none.
func attemptOf(rec *storage.Record, a answer) int {
	for i := len(rec.Attempts) - 1; i >= 0; i-- {
		if a.of(rec.Attempts[i]) {
			return i
		}
	}
	return -1
}
