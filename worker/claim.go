package worker

import (
	"context"
	"errors"
	"time"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
)

// claim reads the record and acts by its state. A job without a record is a batch's row, whose manifest speaks for it: the
// record is created with its first write.
func (d *delivery) claim(ctx context.Context) (stepName, Verdict) {
	if d.draining.Err() != nil {
		return stepEnd, later(0, "interrupted")
	}
	rec, version, err := d.Records.Record(ctx, d.job.Kind, d.job.VerificationID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		rec, version = storage.NewRecord(d.job.JobSpec), storage.Version{}
		rec.CreatedAt = time.Now().UTC().Truncate(time.Millisecond)
	case err != nil:
		return d.infra(err, "storage")
	}
	d.rec, d.version = rec, version
	d.inHand(nil)

	switch {
	case rec.Fingerprint != d.job.Fingerprint:
		return d.conflict(ctx)
	case rec.Run > d.job.Run:
		return stepEnd, Verdict{Decision: Final, Reason: "superseded"}
	case rec.Run < d.job.Run && !rec.State.Final():
		return stepEnd, later(earlierRunDelay, "previous_run_open")
	case rec.Run < d.job.Run:
		d.rec = rec.NextRun(d.job.JobSpec)
		return stepCheck, Verdict{}
	}
	return d.resume(ctx)
}

// resume goes on from where the record stands.
func (d *delivery) resume(ctx context.Context) (stepName, Verdict) {
	switch state := d.rec.State; {
	case state.Final():
		return stepFinish, Verdict{}
	case state == storage.StateAnswered:
		return stepMask, Verdict{}
	case state == storage.StateSent:
		return d.takeOver(ctx)
	case unresolved(d.rec, 1):
		// Whoever made that call may have its answer, and no way to S3.
		if next, verdict, found := d.useKeptAnswer(ctx); found {
			return next, verdict
		}
	}
	if d.rec.State == storage.StateWaiting && time.Until(d.rec.NotBefore) > 0 {
		return stepEnd, later(time.Until(d.rec.NotBefore), d.rec.Reason)
	}
	return stepCheck, Verdict{}
}

// takeOver decides about a record that says sent. A kept answer settles it; a young one belongs to its owner; an old one
// has an outcome that nobody knows, and is called again with the same provider_id. Such an attempt is not counted: it is
// the worker that died, so an innocent job survives any number of deaths.
func (d *delivery) takeOver(ctx context.Context) (stepName, Verdict) {
	if next, verdict, found := d.useKeptAnswer(ctx); found {
		return next, verdict
	}
	last := d.rec.LastAttempt()
	if last == nil { // written by no version of this program; nothing can be out
		return stepCheck, Verdict{}
	}
	age := takeoverAge(time.Duration(last.TimeoutMS) * time.Millisecond)
	if rest := age - d.version.Age; rest > 0 {
		return stepEnd, later(rest, "call_in_flight")
	}
	rec := d.rec.Clone()
	last = rec.LastAttempt()
	last.Result, last.EndedAt = resultUnknown, time.Now().UTC().Truncate(time.Millisecond)
	stopped, err := d.stopped(ctx)
	if err != nil {
		return d.infra(err, "redis")
	}
	if stopped {
		end(rec, storage.StateCancelled, "answer_lost")
	} else {
		wait(rec, 0, "answer_unknown")
	}
	d.log.Warn().Str("provider_id", last.ProviderID).Msg("taken over: the answer of an earlier call is not known")
	if err := d.save(ctx, rec); err != nil {
		return d.lost(err)
	}
	if stopped {
		return stepFinish, Verdict{}
	}
	return stepCheck, Verdict{}
}

// useKeptAnswer goes on with an answer that S3 would not take when it came; found is false where there is none.
func (d *delivery) useKeptAnswer(ctx context.Context) (next stepName, v Verdict, found bool) {
	a, err := d.keptAnswer(ctx)
	switch {
	case errors.Is(err, seal.ErrKeyMissing):
		d.log.Warn().Err(err).Msg("the keyset lacks the key of a kept answer")
		return stepEnd, later(missingKeyDelay, "key_missing"), true
	case err != nil:
		next, v = d.infra(err, "redis")
		return next, v, true
	case a == nil:
		return "", Verdict{}, false
	}
	d.inHand(a)
	return stepRecord, Verdict{}, true
}

// keptAnswer looks for an answer in Redis that the record can still use; nil where there is none.
func (d *delivery) keptAnswer(ctx context.Context) (*answer, error) {
	sealed, ok, err := d.Hints.KeptAnswer(ctx, string(d.job.Kind), d.job.VerificationID)
	if err != nil || !ok {
		return nil, err
	}
	a, err := openAnswer(d.Keyset, d.job.Kind, d.job.VerificationID, sealed)
	switch {
	case errors.Is(err, seal.ErrKeyMissing):
		return nil, err
	case err != nil: // it will never open: the job must not wait for it
		d.log.Error().Err(err).Msg("a kept answer cannot be read: it counts as lost")
		return nil, nil
	}
	i := attemptOf(d.rec, a)
	switch {
	case i < 0 || !isUnknown(d.rec.Attempts[i]): // the record has settled that attempt since
		return nil, nil
	case d.rec.State == storage.StateSent && i == len(d.rec.Attempts)-1, a.decisive():
		return &a, nil
	}
	return nil, nil
}

// conflict acknowledges a delivery whose id belongs to a job with another input.
func (d *delivery) conflict(ctx context.Context) (stepName, Verdict) {
	if d.job.Batch != "" && d.Batches != nil {
		if err := d.Batches.Conflicted(ctx, d.job.Batch, d.job.Row); err != nil {
			return d.infra(err, "redis")
		}
	}
	return stepEnd, Verdict{Decision: Final, Reason: "different_input"}
}
