package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/logx"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Decision says what happens to a task after its delivery.
type Decision string

const (
	// Final acknowledges the task: the record is final, or a later run has begun.
	Final Decision = "final"
	// Later returns the task to its queue. No attempt was counted.
	Later Decision = "later"
	// Retry returns the task to its queue after a counted attempt.
	Retry Decision = "retry"
)

// Verdict is the result of one delivery.
type Verdict struct {
	Decision Decision
	After    time.Duration // the delay before the next delivery, for Later and Retry
	Reason   string        // a code of internal/advice: asynq stores it and the dashboard shows it
}

func later(after time.Duration, reason string) Verdict {
	return Verdict{Decision: Later, After: max(after, 0), Reason: reason}
}

// Processor runs the state machine. It is safe for concurrent use.
type Processor struct {
	Parts
	policy Policy
	// lastPut is how long the last write of an intent took, in nanoseconds.
	lastPut atomic.Int64
	// parsing is locked while untrusted bytes are parsed: see guardCrash.
	parsing sync.RWMutex
	refused refusedClaims
	mu      sync.Mutex
	session drain
	thin    zerolog.Hook // of repeated faults
}

// drain is a context that ends when no further call of its deliveries may begin.
type drain struct {
	draining context.Context
	stop     context.CancelFunc
}

func newDrain() (d drain) {
	d.draining, d.stop = context.WithCancel(context.Background())
	return d
}

// NewProcessor validates the policy. It does not validate the parts.
func NewProcessor(parts Parts, policy Policy) (*Processor, error) {
	policy = policy.WithDefaults()
	if err := policy.Validate(); err != nil {
		return nil, err
	}
	if parts.Observer == nil {
		parts.Observer = nopObserver{}
	}
	if parts.OnHold == nil {
		parts.OnHold = func(context.Context) {}
	}
	return &Processor{Parts: parts, policy: policy, session: newDrain(), thin: logx.Thin()}, nil
}

// Drain makes deliveries that have not begun, or that wait at the gate, return with Later. Requests in flight are
// completed and recorded.
func (p *Processor) Drain() { p.drain().stop() }

// Resume ends a drain for later deliveries.
func (p *Processor) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session.stop()
	p.session = newDrain()
}

func (p *Processor) drain() drain {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session
}

// stepName names a step of the state machine.
type stepName string

const (
	stepClaim  stepName = "claim"
	stepCheck  stepName = "check"
	stepCall   stepName = "call"
	stepRecord stepName = "record"
	stepMask   stepName = "mask"
	stepFinish stepName = "finish"
)

// transition is the result of a step: the next step, or the verdict if next is empty.
type transition struct {
	next    stepName
	verdict Verdict
}

func goTo(next stepName) transition { return transition{next: next} }

func done(v Verdict) transition { return transition{verdict: v} }

// delivery is the state of one delivery of a job.
type delivery struct {
	*Processor
	drain
	job tasks.JobSpec
	log zerolog.Logger
	// ended is whether the job was final before this delivery.
	ended bool

	rec     *storage.Record
	version storage.Version // of rec; zero while the record does not exist
	seen    time.Time       // rec was the record after this time
	input   tasks.Input
	info    tasks.ImageInfo
	source  maskcheck.SourceInfo
	body    source
	permit  *gate.Permit // nil if it was reported
	counted bool         // the call is counted against the limit of the batch
	// intended is when the write of the current intent began.
	intended time.Time
	// answer is to be written into the record. reissue caches whether it may be bought again; nil until that was decided.
	answer  *answer
	reissue *bool
	streak  *hold.Streak // what the answer counted for; nil until it was counted
	// reopened is whether this delivery wrote an answer into a final record.
	reopened bool
	// unread is whether rec was not read, and not written since.
	unread bool
	// fresh is whether this delivery is the only one that has worked on the job, and no answer was kept: Redis has nothing of it.
	fresh bool
	// conflicts counts lost compare-and-swaps.
	conflicts int
}

// setAnswer sets the answer that is to be written, or nil when it was written.
func (d *delivery) setAnswer(a *answer) { d.answer, d.reissue, d.streak = a, nil, nil }

// Process handles one delivery until the job is final or has to wait. The end of ctx ends the waiting, but not a request
// in flight: the request and the writing of its answer have timeouts of their own.
func (p *Processor) Process(ctx context.Context, job tasks.JobSpec) Verdict {
	log := p.Log.With().Str("kind", string(job.Kind)).Str("job", job.VerificationID).Str("lane", string(job.Lane)).Int("run", job.Run)
	if job.Batch != "" {
		log = log.Str("batch", job.Batch).Int("line", job.Line)
	}
	d := &delivery{Processor: p, drain: p.drain(), job: job, log: log.Logger()}
	steps := map[stepName]func(context.Context) transition{
		stepClaim: d.claim, stepCheck: d.check, stepCall: d.call, stepRecord: d.recordAnswer, stepMask: d.mask, stepFinish: d.finish,
	}
	began := time.Now()
	for step := stepClaim; ; {
		stepBegan := time.Now()
		t := steps[step](ctx)
		d.log.Debug().Str("step", string(step)).Int("attempt", d.attempts()).Dur("took_ms", time.Since(stepBegan)).
			Str("next", string(t.next)).Msg("step")
		if t.next == "" {
			t.verdict.Reason = advice.Listed(t.verdict.Reason) // it goes to logs and Redis
			d.countUnstored(ctx, t.verdict)
			d.logDelivery(t.verdict, time.Since(began))
			d.logOutcome(t.verdict)
			return t.verdict
		}
		step = t.next
	}
}

// fault begins the line of a fault that may occur for every job.
func (d *delivery) fault() *zerolog.Event {
	log := d.log.Hook(d.thin)
	return log.Warn()
}

// logOutcome logs the end of a job: one line, whatever the number of its deliveries is.
func (d *delivery) logOutcome(v Verdict) {
	if v.Decision != Final || d.ended || d.rec == nil || !d.rec.State.Final() {
		return
	}
	e := d.log.Info().Str("outcome", string(d.rec.State))
	if d.rec.Code != "" {
		e = e.Str("code", advice.Listed(d.rec.Code))
	}
	e.Int("attempts", d.attempts()).Dur("duration_ms", d.rec.CompletedAt.Sub(d.rec.CreatedAt)).Msg("job")
}

func (d *delivery) logDelivery(v Verdict, took time.Duration) {
	e := d.log.Debug().Int("attempt", d.attempts()).Str("verdict", string(v.Decision)).Dur("took_ms", took)
	if v.Reason != "" {
		e = e.Str("reason", v.Reason)
	}
	if v.Decision != Final {
		e = e.Dur("after_ms", v.After)
	}
	if d.rec != nil {
		e = e.Str("state", string(d.rec.State))
		if d.rec.Code != "" {
			e = e.Str("code", advice.Listed(d.rec.Code))
		}
	}
	e.Msg("delivery")
}

func (d *delivery) attempts() int {
	if d.rec == nil {
		return 0
	}
	return len(d.rec.Attempts)
}
