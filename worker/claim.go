package worker

import (
	"context"
	"errors"
	"time"

	"github.com/kycq/kycq/internal/sabotage"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
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
		rec, version = storage.NewRecord(entryOf(d.job)), storage.Version{}
		rec.CreatedAt = time.Now().UTC().Truncate(time.Millisecond)
	case err != nil:
		return d.infra(err, "storage")
	}
	d.rec, d.version, d.answer = rec, version, nil
	sabotage.At(sabotage.Claimed)

	switch {
	case rec.Fingerprint != d.job.Fingerprint:
		return d.conflict(ctx)
	case rec.Run > d.job.Run:
		return stepEnd, Verdict{Decision: Final, Reason: "superseded"}
	case rec.Run < d.job.Run && !rec.State.Final():
		return stepEnd, later(earlierRunDelay, "earlier_run_open")
	case rec.Run < d.job.Run:
		d.rec = rec.NextRun(entryOf(d.job))
		return stepCheck, Verdict{}
	}
	return d.resume(ctx)
}

// resume goes on from where the record stands.
func (d *delivery) resume(ctx context.Context) (stepName, Verdict) {
	switch state := d.rec.State; {
	case state.Final():
		if sabotage.Broken(sabotage.SkipFinalCheck) {
			return stepCheck, Verdict{}
		}
		return stepFinish, Verdict{}
	case state == storage.StateAnswered:
		return stepMask, Verdict{}
	case state == storage.StateSent:
		return d.takeOver(ctx)
	case state == storage.StateWaiting && time.Until(d.rec.NotBefore) > 0:
		return stepEnd, later(time.Until(d.rec.NotBefore), d.rec.Reason)
	}
	return stepCheck, Verdict{}
}

// takeOver decides about a record that says sent. A kept answer settles it; a young one belongs to its owner; an old one
// has an outcome that nobody knows, and is called again with the same provider_id. Such an attempt is not counted: it is
// the worker that died, so an innocent job survives any number of deaths.
func (d *delivery) takeOver(ctx context.Context) (stepName, Verdict) {
	if a, ok, err := d.keptAnswer(ctx); err != nil {
		return d.infra(err, "redis")
	} else if ok {
		d.answer = a
		return stepSettle, Verdict{}
	}
	last := d.rec.LastAttempt()
	if last == nil { // written by no version of this program; nothing can be out
		return stepCheck, Verdict{}
	}
	age := takeoverAge(time.Duration(last.TimeoutMS) * time.Millisecond)
	if rest := age - d.version.Age; rest > 0 && !sabotage.Broken(sabotage.SkipTakeoverAge) {
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
		end(rec, storage.StateCancelled, "answer_lost", resultUnknown, advice{})
	} else {
		wait(rec, 0, "answer_unknown", advice{})
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

// keptAnswer looks for an answer that S3 would not take.
func (d *delivery) keptAnswer(ctx context.Context) (*answer, bool, error) {
	sealed, ok, err := d.Hints.KeptAnswer(ctx, string(d.job.Kind), d.job.VerificationID)
	if err != nil || !ok {
		return nil, false, err
	}
	a, err := openAnswer(d.Keyset, d.job.Kind, d.job.VerificationID, sealed)
	if err != nil {
		return nil, false, err
	}
	if last := d.rec.LastAttempt(); last == nil || !a.of(*last) {
		return nil, false, nil // of an earlier attempt, which the record has settled since
	}
	return &a, true, nil
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

// entryOf is the job as the ledger keeps it.
func entryOf(job tasks.Payload) tasks.Entry {
	return tasks.Entry{
		Kind: job.Kind, VerificationID: job.VerificationID, Lane: job.Lane, Run: job.Run, Batch: job.Batch, Row: job.Row,
		SealedInput: job.SealedInput, Fingerprint: job.Fingerprint,
	}
}
