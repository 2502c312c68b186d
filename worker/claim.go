package worker

import (
	"context"
	"errors"
	"time"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// claim reads the record and acts on its state. A batch row has no record before its first write: the manifest holds it
// until then.
func (d *delivery) claim(ctx context.Context) transition {
	if d.draining.Err() != nil {
		return done(later(0, "interrupted"))
	}
	if d.claimUnread() {
		return goTo(stepCheck)
	}
	d.unread, d.fresh = false, false
	seen := time.Now()
	rec, version, err := d.Records.Record(ctx, d.job.Kind, d.job.VerificationID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		rec, version = storage.NewRecord(d.job), storage.Version{}
		rec.CreatedAt = now()
	case err != nil:
		return d.infraFault(err, "storage")
	}
	d.rec, d.version, d.seen = rec, version, seen
	d.ended = d.ended || rec.State.Final() && rec.Run >= d.job.Run
	d.setAnswer(nil)

	switch {
	case rec.Erased != nil: // it has no fingerprint
		return goTo(stepFinish)
	case rec.Fingerprint != d.job.Fingerprint:
		return d.differentInput(ctx)
	case rec.Run > d.job.Run:
		return done(Verdict{Decision: Final, Reason: "superseded"})
	case rec.Run < d.job.Run && !rec.State.Final():
		return done(later(previousRunDelay, "previous_run_open"))
	case rec.Run < d.job.Run:
		return d.nextRun(ctx)
	}
	return d.resume(ctx)
}

// claimUnread builds the record of a first run from what the producer knew of it, without reading it. The first write is
// conditional on that; if it is refused, the job is claimed again with a read.
func (d *delivery) claimUnread() bool {
	base := d.job.Base
	d.job.Base = tasks.Base{} // once
	switch {
	case d.job.Run != 1 || d.rec != nil, !base.None && base.ETag == "":
		return false
	case base.None && d.refused.many(d.job.Batch):
		return false
	case base.None:
		base.CreatedAt = now()
	}
	d.rec, d.version, d.seen = storage.NewRecord(d.job), storage.Version{ETag: base.ETag}, time.Now()
	d.rec.CreatedAt, d.unread, d.fresh = base.CreatedAt, true, true
	return true
}

// nextRun begins the run of the job if its batch asks for it in S3. The record of a single job is at the run before its
// task is enqueued.
func (d *delivery) nextRun(ctx context.Context) transition {
	asked := false
	if d.job.Batch != "" && d.Batches != nil {
		var err error
		if asked, err = d.Batches.RunAsked(ctx, d.job, d.rec); err != nil {
			return d.infraFault(err, "storage")
		}
	}
	if !asked {
		d.log.Error().Msg("neither the record nor the batch asks for this run of the job: its task is dropped")
		return done(Verdict{Decision: Final, Reason: "run_not_asked"})
	}
	d.rec = d.rec.NextRun(d.job)
	return goTo(stepCheck)
}

// resume continues from the record's state.
func (d *delivery) resume(ctx context.Context) transition {
	switch state := d.rec.State; {
	case state.Final():
		return goTo(stepFinish)
	case state == storage.StateAnswered:
		return goTo(stepMask)
	case state == storage.StateSent:
		return d.takeOver(ctx)
	case d.rec.MaybeCharged():
		// The worker that made the call may have received the answer without being able to write it to S3.
		if t, found := d.useKeptAnswer(ctx); found {
			return t
		}
	}
	if rest := d.waitOf() - d.version.Age; d.rec.State == storage.StateWaiting && rest > 0 {
		return done(later(rest, d.rec.Reason))
	}
	return goTo(stepCheck)
}

// waitOf is how long the job waits from the write of its record on. Both instants are by the clock of one worker, which may be
// wrong.
func (d *delivery) waitOf() time.Duration {
	longest := d.policy.RetryMax
	if last := d.rec.LastAttempt(); last != nil {
		longest = max(longest, takeoverAge(*last))
	}
	return min(max(d.rec.NotBefore.Sub(d.rec.UpdatedAt), 0), longest)
}

// takeOver handles a record in state sent. It uses a kept answer if there is one. Otherwise it waits until the worker
// that made the call cannot be working on it any more, marks the answer as unknown, and calls again with the same
// provider_id. The attempt is not counted, so a job survives any number of crashed workers.
func (d *delivery) takeOver(ctx context.Context) transition {
	if t, found := d.useKeptAnswer(ctx); found {
		return t
	}
	rec := d.rec.Clone()
	last := rec.LastAttempt()
	if last == nil { // not written by kycq: no request can be in flight
		return goTo(stepCheck)
	}
	age := takeoverAge(*last)
	if rest := age - d.version.Age; rest > 0 {
		return done(later(rest, "call_in_flight"))
	}
	last.Result, last.EndedAt = resultUnknown, now()
	wait(rec, 0, "answer_unknown")
	d.log.Warn().Str("provider_id", last.ProviderID).Msg("taking over a job: the answer of an earlier call is unknown")
	return d.saveThen(ctx, rec, stepCheck)
}

// useKeptAnswer continues with an answer that was kept in Redis because S3 was unavailable; found is false if there is
// none.
func (d *delivery) useKeptAnswer(ctx context.Context) (t transition, found bool) {
	a, err := d.keptAnswer(ctx)
	switch {
	case errors.Is(err, seal.ErrKeyMissing):
		return d.keyMissing(err), true
	case err != nil:
		return d.infraFault(err, "redis"), true
	case a == nil:
		return transition{}, false
	}
	d.setAnswer(a)
	return goTo(stepRecord), true
}

// keptAnswer returns the answer in Redis that the record can still take; nil if there is none.
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
		d.log.Error().Err(err).Msg("a kept answer cannot be read and counts as lost")
		return nil, nil
	}
	if !takes(d.rec, attemptOf(d.rec, a), a) {
		return nil, nil
	}
	return &a, nil
}

// differentInput acknowledges a delivery whose verification_id belongs to a job with another input.
func (d *delivery) differentInput(ctx context.Context) transition {
	if d.job.Batch != "" && d.Batches != nil {
		if err := d.Batches.Conflicted(ctx, d.job.Batch, d.job.Row); err != nil {
			return d.infraFault(err, "redis")
		}
	}
	return done(Verdict{Decision: Final, Reason: "different_input"})
}
