package gate

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// maxSilence bounds what the vendor may ask for.
const maxSilence = 120 * time.Second

// headers are the vendor's words on its limit, and the slot of the call that it answered.
type headers struct {
	limit     int // -1: not said
	remaining int // -1: not said
	reset     time.Duration
	slot      int64
}

var noHeaders = headers{limit: -1, remaining: -1}

// headers reads what an outcome says. A Remaining that stands alone is the zero value, not a word of the vendor's.
func (o Outcome) headers(slot int64) headers {
	if o.Limit <= 0 && o.Reset <= 0 {
		return noHeaders
	}
	h := headers{limit: o.Limit, remaining: max(o.Remaining, -1), reset: min(max(o.Reset, 0), maxSilence), slot: slot}
	if h.limit <= 0 {
		h.limit = -1
	}
	return h
}

// silence is how long the vendor wants to hear nothing after a 429; 0: it did not say.
func (o Outcome) silence() time.Duration {
	wait := o.RetryAfter
	if wait <= 0 {
		wait = o.Reset
	}
	return min(max(wait, 0), maxSilence)
}

// report.lua's words for an outcome.
const (
	sayOK      = "ok"
	sayFailed  = "failed"
	sayLimited = "limited"
	sayEmpty   = "empty"
	sayFreed   = "freed"
)

// Report hands a pass back, once. What the fleet must know is told to Redis at once; the rest goes with the next request
// for slots. An error means that the fleet does not know yet; this process behaves as if it did.
func (g *Gate) Report(ctx context.Context, p *Permit, o Outcome) error {
	if p == nil || p.line == nil {
		return errors.New("gate: done without a pass")
	}
	if _, ok := outcomeNames[o.Kind]; !ok {
		return fmt.Errorf("gate: %s is not an outcome", o.Kind)
	}
	if p.done.Swap(true) {
		return errors.New("gate: pass handed back twice")
	}
	l := p.line
	if o.Kind == Unused {
		l.reoffer(p)
	}
	var errs []error
	if word := l.word(p, o); word != "" {
		errs = append(errs, l.report(ctx, p, o, word))
	}
	if p.probe.hold != "" {
		met := "freed"
		switch o.Kind {
		case Answered:
			met = "answered"
		case Refused:
			met = "refused"
		}
		errs = append(errs, g.settleHold(ctx, p.probe.hold, met))
	}
	return errors.Join(errs...)
}

// word decides whether the fleet must hear of an outcome at once, and how it is called.
func (l *line) word(p *Permit, o Outcome) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch o.Kind {
	case Limited:
		if len(l.turned) >= turnedMax {
			clear(l.turned)
		}
		l.turned[p.call.JobID] = p.number
		return sayLimited
	case Failed:
		return sayFailed
	case Answered, Refused:
	default:
		if p.probe.breaker != "" {
			return sayFreed
		}
		return ""
	}
	if p.probe.breaker != "" || l.failing {
		return sayOK
	}
	h := o.headers(p.slot)
	if h.remaining == 0 && h.reset > l.ease || h.limit > 0 && h.limit != l.limit {
		return sayEmpty
	}
	if h != noHeaders {
		l.seen = h
	}
	return ""
}

// report tells Redis, obeys what it answers and passes it on.
func (l *line) report(ctx context.Context, p *Permit, o Outcome, word string) error {
	h := o.headers(p.slot)
	if word == sayLimited { // before Redis knows: it may be slow
		l.silence(time.Now().Add(max(o.silence(), l.interval())))
	}
	reply, err := l.gate.onKind(ctx, reportScript, l.kind, l.rate, word, jobHash(p.call.JobID), p.probe.breaker,
		o.silence().Microseconds(), h.limit, h.remaining, h.reset.Microseconds(), p.slot)
	if err == nil && len(reply) < 8 {
		err = fmt.Errorf("reply of %d numbers", len(reply))
	}
	if err != nil {
		return fmt.Errorf("report %s of %s: %w", word, l.kind, err)
	}
	now, until, changed, failing, limit := reply[0], reply[1], reply[2], reply[3] == 1, reply[4]

	l.mu.Lock()
	newlyFailing := failing && !l.failing
	l.failing = failing
	if h.limit > 0 {
		l.limit = h.limit
	}
	l.setStep(micros(reply[5]))
	l.ease, l.tight = micros(reply[6]), reply[7] == 1
	l.mu.Unlock()

	if until > now && (word == sayLimited || h.remaining == 0) {
		l.heardSilence(until)
		l.gate.announce(ctx, newsSilence, l.kind, until)
	}
	if changed != 0 {
		l.breaker.suspect()
		l.recheck(func(q probe) bool { return q.breaker != "" })
		l.gate.announce(ctx, newsBreaker, l.kind, 0)
	} else if newlyFailing {
		l.gate.announce(ctx, newsFailing, l.kind, 0)
	}
	l.log(p, changed, limit)
	return nil
}

// log tells the operator of what happens once for the whole fleet.
func (l *line) log(p *Permit, breaker, limit int64) {
	log := &l.gate.cfg.Log
	switch breaker {
	case 1:
		log.Warn().Str("kind", l.kind).Bool("probe", p.Probe).Msg("breaker opened: the vendor keeps failing")
	case 2:
		log.Info().Str("kind", l.kind).Msg("breaker closed: the vendor answers again")
	}
	switch {
	case limit > 0:
		log.Warn().Str("kind", l.kind).Int64("vendor_limit", limit).Stringer("configured", l.rate).
			Msg("the vendor's limit is lower than configured; pacing by the vendor's")
	case limit == 0:
		log.Info().Str("kind", l.kind).Msg("the vendor's limit is no longer lower than configured")
	}
}

// interval is the distance of two slots, as far as it is known.
func (l *line) interval() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.step, l.rate.Interval())
}
