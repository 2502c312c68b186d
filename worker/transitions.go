package worker

import (
	"context"
	"errors"
	"time"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/storage"
)

// maxConflicts is how often a delivery claims its job again after a lost compare-and-swap.
const maxConflicts = 5

// countPatience is how long Redis is waited for to count an end.
const countPatience = 2 * time.Second

// saveThen saves the record and goes to the next step.
func (d *delivery) saveThen(ctx context.Context, rec *storage.Record, next stepName) transition {
	if err := d.save(ctx, rec); err != nil {
		return d.notSaved(err)
	}
	return goTo(next)
}

// save writes a change of state, and reports a run that it finished to the observer.
func (d *delivery) save(ctx context.Context, rec *storage.Record) error {
	err := d.write(ctx, rec)
	if err == nil && rec.State.Final() {
		d.Observer.Finished(rec)
		d.countEnd(ctx, rec)
	}
	return err
}

// countEnd announces the end of a job, and counts its code unless it is valid, and the calls of its run that may have been paid
// for.
func (d *delivery) countEnd(ctx context.Context, rec *storage.Record) {
	code := advice.Listed(rec.Code)
	if code == "cancelled" {
		code = ""
	}
	paid := 0
	for _, at := range rec.Attempts {
		if at.Run == rec.Run && at.MayHavePaid() {
			paid++
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), countPatience)
	defer cancel()
	if err := d.Hints.CountEnd(ctx, string(rec.Kind), rec.VerificationID, code, rec.Batch, paid); err != nil {
		d.log.Debug().Err(err).Msg("the end of the job was not counted")
	}
}

// write writes the record by compare-and-swap and keeps its new version. It returns storage.ErrConflict if another worker
// has written the record meanwhile.
func (d *delivery) write(ctx context.Context, rec *storage.Record) error {
	seen := time.Now()
	var err error
	var version storage.Version
	if d.version == (storage.Version{}) {
		version, err = d.Records.CreateRecord(ctx, rec)
		if errors.Is(err, storage.ErrExists) {
			err = storage.ErrConflict
		}
	} else {
		version, err = d.Records.SwapRecord(ctx, rec, d.version)
	}
	conflict := errors.Is(err, storage.ErrConflict)
	if err == nil || conflict {
		d.Observer.RecordWritten(d.job.Kind, conflict)
	}
	if err != nil {
		return err
	}
	d.rec, d.version, d.seen, d.unread = rec, version, seen, false
	return nil
}

// reread reads the record after a lost compare-and-swap.
func (d *delivery) reread(ctx context.Context) error {
	seen := time.Now()
	rec, version, err := d.Records.Record(ctx, d.job.Kind, d.job.VerificationID)
	if err != nil {
		return err
	}
	d.rec, d.version, d.seen, d.fresh = rec, version, seen, false
	return nil
}

// notSaved follows a failed save outside of an answer: it claims the job again if another worker has changed the record.
func (d *delivery) notSaved(err error) transition {
	if !errors.Is(err, storage.ErrConflict) {
		return d.infraFault(err, "storage")
	}
	if d.unread && d.job.Batch != "" {
		d.refused.add(d.job.Batch)
	}
	if d.conflicts++; d.conflicts > maxConflicts {
		return done(later(time.Second, "record_contended"))
	}
	return goTo(stepClaim)
}

// infraFault returns the task to its queue after an error of S3 or Redis. Such errors are retried without limit and
// count as no attempt.
func (d *delivery) infraFault(err error, part string) transition {
	d.fault().Err(err).Str("part", part).Msg("infrastructure fault: the job is retried")
	return done(later(infraDelay, infraReason(err, part)))
}

func infraReason(err error, part string) string {
	if errors.Is(err, storage.ErrDenied) {
		return hold.Denied
	}
	return part + "_unreachable"
}

// keyMissing returns the task to its queue until the worker has the key that something was sealed with.
func (d *delivery) keyMissing(err error) transition {
	d.fault().Err(err).Msg("the keyset lacks a key: the job waits")
	return done(later(missingKeyDelay, "key_missing"))
}

// park lets the job wait for an operator to fix something, and writes the reason into the record.
func (d *delivery) park(ctx context.Context, cause error, after time.Duration, reason string) transition {
	d.fault().Err(cause).Str("reason", reason).Msg("job parked")
	if d.rec.State != storage.StateWaiting || d.rec.Reason != reason {
		rec := d.rec.Clone()
		wait(rec, 0, reason) // the task's delay is enough: the job may continue as soon as the cause is fixed
		if err := d.save(ctx, rec); err != nil {
			return d.notSaved(err)
		}
	}
	return done(later(after, reason))
}

// fail ends the job as failed.
func (d *delivery) fail(ctx context.Context, code string) transition {
	rec := d.rec.Clone()
	end(rec, storage.StateFailed, code)
	return d.saveThen(ctx, rec, stepFinish)
}

// stopWithBatch ends the job if its batch was cancelled, and returns the task to its queue if the batch is paused; stop reports
// whether t is to be taken.
func (d *delivery) stopWithBatch(ctx context.Context) (t transition, stop bool) {
	if d.rec.Batch == "" || d.Batches == nil {
		return transition{}, false
	}
	switch cancelled, paused, err := d.Batches.Stopped(ctx, d.rec.Batch); {
	case err != nil:
		return d.infraFault(err, "redis"), true
	case paused && d.unread: // the record may have an answer, which goes on
		return goTo(stepClaim), true
	case paused:
		return done(later(batchPausedDelay, "batch_paused")), true
	case !cancelled:
		return transition{}, false
	}
	rec := d.rec.Clone()
	endCancelled(rec)
	return d.saveThen(ctx, rec, stepFinish), true
}

// endCancelled ends a run without a further call. The caller saves it.
func endCancelled(rec *storage.Record) {
	code := "cancelled"
	if paidInRun(rec) {
		code = "answer_lost"
	}
	end(rec, storage.StateCancelled, code)
}

// end makes rec final. The caller saves it.
func end(rec *storage.Record, state storage.State, code string) {
	text := advice.For(code)
	rec.State, rec.Code, rec.Message, rec.NextAction = state, code, text.Message, text.NextAction
	rec.NotBefore, rec.Reason = time.Time{}, ""
	rec.CompletedAt, rec.Ending = now(), true
	noteCharge(rec)
}

// noteCharge adds to the text of a run that ended without a result that a call may have been charged.
func noteCharge(rec *storage.Record) {
	if rec.MaybeCharged() && (rec.State == storage.StateFailed || rec.State == storage.StateCancelled) {
		text := advice.Text{Message: rec.Message, NextAction: rec.NextAction}.Charged()
		rec.Message, rec.NextAction = text.Message, text.NextAction
	}
}

// wait puts rec into state waiting. The caller saves it. A job that waits with a lost answer is about to buy it again.
func wait(rec *storage.Record, after time.Duration, reason string) {
	text := advice.For(reason)
	if reason == "answer_lost" {
		text = advice.For("answer_reissued")
	}
	rec.State, rec.Reason = storage.StateWaiting, reason
	rec.Code, rec.Message, rec.NextAction = "", text.Message, text.NextAction
	rec.NotBefore = time.Now().UTC().Add(after).Truncate(time.Millisecond)
}

// now is the time in the precision of records.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
