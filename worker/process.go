package worker

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Decision is what becomes of a delivery.
type Decision string

const (
	// Final acknowledges the task: the record is final, or the delivery is superseded.
	Final Decision = "final"
	// Later gives the task back unharmed: nothing was spent.
	Later Decision = "later"
	// Retry gives the task back after a spent attempt.
	Retry Decision = "retry"
)

// Verdict is the answer to one delivery. Reason is a code or fixed words: it is stored and shown in asynqmon.
type Verdict struct {
	Decision Decision
	After    time.Duration // for Later and Retry
	Reason   string
}

func later(after time.Duration, reason string) Verdict {
	return Verdict{Decision: Later, After: max(after, 0), Reason: reason}
}

// Processor is the step machine. It is safe for concurrent use; each delivery has its own state.
type Processor struct {
	Parts
	policy   Policy
	suspects isolation
	// draining ends when no further call may begin.
	draining context.Context
	drain    context.CancelFunc
}

// NewProcessor checks the policy. The caller has checked the parts.
func NewProcessor(parts Parts, policy Policy) (*Processor, error) {
	policy = policy.WithDefaults()
	if err := policy.Validate(); err != nil {
		return nil, err
	}
	if parts.Observer == nil {
		parts.Observer = unobserved{}
	}
	if parts.OnHold == nil {
		parts.OnHold = func(context.Context, gateHold) {}
	}
	draining, drain := context.WithCancel(context.Background())
	return &Processor{Parts: parts, policy: policy, draining: draining, drain: drain}, nil
}

// Drain sends jobs that wait at the gate, or are just delivered, back unharmed. Calls that have left are finished and
// recorded.
func (p *Processor) Drain() { p.drain() }

// stepName names a step of the machine; the empty one means that the verdict is reached.
type stepName string

const (
	stepClaim  stepName = "claim"
	stepCheck  stepName = "check"
	stepCall   stepName = "call"
	stepRecord stepName = "record"
	stepMask   stepName = "mask"
	stepFinish stepName = "finish"
	stepEnd    stepName = ""
)

// delivery is one job in the hands of one worker.
type delivery struct {
	*Processor
	job tasks.Payload
	log zerolog.Logger

	rec *storage.Record
	// version is what rec was read or written as; zero while the record does not exist.
	version storage.Version
	input   tasks.Input
	info    tasks.ImageInfo
	source  maskcheck.SourceInfo
	// answer waits to be written into the record; reissue is what the policy said about it, nil where it was not asked.
	answer  *answer
	reissue *bool
	// claims counts how often another writer was faster.
	claims int
}

// Process takes one delivery as far as it goes. ctx ends the waiting, never a call that has left: once a request is out,
// it and the writing of its answer have timeouts of their own.
func (p *Processor) Process(ctx context.Context, job tasks.Payload) Verdict {
	d := &delivery{Processor: p, job: job, log: p.Log.With().
		Str("kind", string(job.Kind)).Str("job", job.VerificationID).Str("lane", string(job.Lane)).Int("run", job.Run).Logger()}
	began := time.Now()
	steps := map[stepName]func(context.Context) (stepName, Verdict){
		stepClaim: d.claim, stepCheck: d.check, stepCall: d.call, stepRecord: d.recordAnswer, stepMask: d.mask, stepFinish: d.finish,
	}
	for step := stepClaim; ; {
		at := time.Now()
		next, verdict := steps[step](ctx)
		d.log.Debug().Str("step", string(step)).Int("attempt", d.attempts()).Dur("took_ms", time.Since(at)).
			Str("next", string(next)).Msg("step")
		if next == stepEnd {
			d.logVerdict(verdict, time.Since(began))
			return verdict
		}
		step = next
	}
}

func (d *delivery) logVerdict(v Verdict, took time.Duration) {
	e := d.log.Info().Int("attempt", d.attempts()).Str("verdict", string(v.Decision)).Dur("took_ms", took)
	if v.Reason != "" {
		e = e.Str("reason", v.Reason)
	}
	if v.Decision != Final {
		e = e.Dur("after_ms", v.After)
	}
	if d.rec != nil {
		e = e.Str("state", string(d.rec.State))
		if d.rec.Code != "" {
			e = e.Str("code", d.rec.Code)
		}
	}
	e.Msg("job")
}

// inHand takes an answer to be written into the record, or nil when that is done.
func (d *delivery) inHand(a *answer) { d.answer, d.reissue = a, nil }

func (d *delivery) attempts() int {
	if d.rec == nil {
		return 0
	}
	return len(d.rec.Attempts)
}

// save takes the job to its next state.
func (d *delivery) save(ctx context.Context, rec *storage.Record) error {
	err := d.write(ctx, rec)
	if err == nil && rec.State.Final() {
		d.Observer.Finished(rec)
	}
	return err
}

// write puts the record under compare-and-swap and remembers its new version.
func (d *delivery) write(ctx context.Context, rec *storage.Record) error {
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
	switch {
	case errors.Is(err, storage.ErrConflict):
		d.Observer.RecordWritten(d.job.Kind, true)
		return err
	case err != nil:
		return err
	}
	d.Observer.RecordWritten(d.job.Kind, false)
	d.rec, d.version = rec, version
	return nil
}

// lost is what follows a failed save before a call: somebody else was faster, or S3 does not answer.
func (d *delivery) lost(err error) (stepName, Verdict) {
	if !errors.Is(err, storage.ErrConflict) {
		return d.infra(err, "storage")
	}
	const patience = 5
	if d.claims++; d.claims > patience {
		return stepEnd, later(time.Second, "record_contended")
	}
	return stepClaim, Verdict{}
}

// infra is a fault of S3 or Redis: the job goes back unharmed, for as long as it takes.
func (d *delivery) infra(err error, part string) (stepName, Verdict) {
	d.log.Warn().Err(err).Str("part", part).Msg("infrastructure fault: the job comes back unharmed")
	return stepEnd, later(infraDelay, part+"_unreachable")
}

// end makes rec final; the caller saves it.
func end(rec *storage.Record, state storage.State, code string) {
	text := advice.For(code)
	rec.State, rec.Code, rec.Message, rec.NextAction = state, code, text.Message, text.NextAction
	rec.NotBefore, rec.Reason = time.Time{}, ""
	rec.CompletedAt = time.Now().UTC().Truncate(time.Millisecond)
}

// wait lets rec wait for a reason; the caller saves it. A lost answer that waits is one that is bought again.
func wait(rec *storage.Record, after time.Duration, reason string) {
	text := advice.For(reason)
	if reason == "answer_lost" {
		text = advice.For("answer_reissued")
	}
	rec.State, rec.Reason = storage.StateWaiting, reason
	rec.Code, rec.Message, rec.NextAction = "", text.Message, text.NextAction
	rec.NotBefore = time.Now().UTC().Add(after).Truncate(time.Millisecond)
}

// fail ends the job without a call.
func (d *delivery) fail(ctx context.Context, code string) (stepName, Verdict) {
	rec := d.rec.Clone()
	end(rec, storage.StateFailed, code)
	if err := d.save(ctx, rec); err != nil {
		return d.lost(err)
	}
	return stepFinish, Verdict{}
}
