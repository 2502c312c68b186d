package gate

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// ahead is how many slots a process may hold. What a dead process held is lost to the fleet.
	ahead = 2
	// pollEvery is how often a process with waiters asks at least, so that a lost message delays nothing for long and
	// the count of waiters stays fresh.
	pollEvery = 15 * time.Second
	// turnedMax bounds the memory for jobs that a 429 turned back.
	turnedMax = 1000
)

// errRecheck sends a waiter back to the hold and the breaker: one of them has closed.
var errRecheck = errors.New("recheck hold and breaker")

// line is the waiting room of one kind in this process. One goroutine (run) hands slots to waiters; slots are asked for
// in a second one, so that a slow Redis does not make the calls late for which there are slots already.
type line struct {
	gate *Gate
	kind string
	rate Rate // configured
	wake chan struct{}

	mu     sync.Mutex
	probes queue // pass before all others
	live   queue
	bulk   queue
	number uint64            // of the last waiter that came
	turned map[string]uint64 // numbers of jobs that a 429 turned back, by job

	slots    []int64 // in hand, by Redis' clock, oldest first
	known    int64   // newest slot that was passed on
	asking   bool    // a request to Redis is out
	asked    bool    // there was one before
	caution  bool    // Redis failed since the last answer
	epoch    int     // raised when slots in hand and on the way become void
	turn     int64   // our place among the bulk processes
	bulkCome time.Time
	liveCome time.Time
	quiet    time.Time // the vendor wants silence until then
	unused   int       // slots lost since the last request
	late     int64     // the last of them that was lost for being late
	seen     headers   // newest answer, not told yet

	clock   clock
	step    time.Duration // distance of two slots; 0: not known yet
	pacer   *rate.Limiter // calls leave this process no closer than this, whatever the clocks do
	ease    time.Duration // see pace.lua
	tight   bool          // the vendor's limit forgives no lateness
	failing bool          // the breaker counts failures, so it must hear of successes
	limit   int           // X-RateLimit-Limit as told last

	breaker suspicion
	mirror  bool // a request was refused because the kind is marked as held
}

func newLine(g *Gate, kind string, r Rate) *line {
	return &line{
		gate: g, kind: kind, rate: r,
		wake:   make(chan struct{}, 1),
		turned: map[string]uint64{},
		seen:   noHeaders,
		pacer:  rate.NewLimiter(rate.Inf, 1),
	}
}

// enter waits for a slot.
func (l *line) enter(ctx context.Context, c Call, p probe) (*Permit, error) {
	w := &waiter{call: c, probe: p, result: make(chan result, 1)}
	l.mu.Lock()
	if number, ok := l.turned[c.JobID]; ok {
		w.number = number
		delete(l.turned, c.JobID)
	} else {
		l.number++
		w.number = l.number
	}
	l.queueOf(w).add(w)
	l.mu.Unlock()
	l.poke()

	select {
	case r := <-w.result:
		return r.pass, r.err
	case <-ctx.Done():
		l.abandon(w)
		return nil, ctx.Err()
	case <-l.gate.ctx.Done():
		l.abandon(w)
		return nil, ErrClosed
	}
}

// abandon takes a waiter out of the line. If it was served in the same moment its slot goes to somebody else.
func (l *line) abandon(w *waiter) {
	l.mu.Lock()
	waiting := l.queueOf(w).remove(w)
	l.mu.Unlock()
	if !waiting {
		if r := <-w.result; r.pass != nil {
			l.reoffer(r.pass)
		}
	}
	l.poke()
}

func (l *line) queueOf(w *waiter) *queue {
	switch {
	case w.probe.any():
		return &l.probes
	case w.call.Lane == Live:
		return &l.live
	}
	return &l.bulk
}

func (l *line) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run hands out slots until ctx ends. Without waiters it sleeps and asks Redis nothing.
func (l *line) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		next := l.advance(ctx)
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		}
	}
	l.failAll(ErrClosed)
}

// advance does what is due now and returns when something is due next, or zero.
func (l *line) advance(ctx context.Context) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.expire(now)
	due, handed := l.hand(now)
	for handed {
		due, handed = l.hand(now)
	}
	if len(l.slots) > 0 && l.waiters() == 0 && !l.asking {
		l.asking = true
		slots := l.slots
		l.slots = nil
		l.gate.work.Go(func() { l.giveBack(ctx, slots) })
	}
	return sooner(due, l.refill(ctx, now))
}

// refill asks for more slots when there are more waiters than slots. It returns when to look again, or zero.
func (l *line) refill(ctx context.Context, now time.Time) time.Time {
	if l.asking || len(l.slots) >= ahead {
		return time.Time{}
	}
	urgent := len(l.probes) + len(l.live)
	lane, waiting, come := Live, urgent, l.liveCome
	if urgent <= len(l.slots) {
		lane, waiting, come = Bulk, l.waiters(), l.bulkCome
	}
	if waiting <= len(l.slots) {
		return time.Time{}
	}
	if early := l.quiet.Add(-l.horizon()); early.After(come) {
		come = early
	}
	if come.After(now) {
		return come
	}
	a := l.prepare(lane, waiting)
	l.gate.work.Go(func() { l.ask(ctx, a) })
	return time.Time{}
}

// hand gives the oldest slot to the first waiter, if it is time. Otherwise it returns when it will be, or zero.
func (l *line) hand(now time.Time) (time.Time, bool) {
	q := l.first()
	if q == nil || len(l.slots) == 0 {
		return time.Time{}, false
	}
	at := l.clock.at(l.slots[0])
	due := at.Add(-min(l.gate.cfg.Lead, l.step/2))
	if l.quiet.After(due) {
		due = l.quiet
	}
	if due.After(now) {
		return due, false
	}
	pacing := l.pacer.ReserveN(now, 1)
	if wait := pacing.DelayFrom(now); wait > 0 {
		pacing.CancelAt(now)
		return now.Add(wait), false
	}
	w := (*q)[0]
	q.remove(w)
	w.result <- result{pass: &Permit{
		Probe: w.probe.any(), line: l, call: w.call, number: w.number, probe: w.probe, slot: l.slots[0], at: at,
	}}
	l.known = l.slots[0]
	l.slots = l.slots[1:]
	return time.Time{}, true
}

// first is the queue whose turn it is, or nil: probes, live, bulk.
func (l *line) first() *queue {
	for _, q := range []*queue{&l.probes, &l.live, &l.bulk} {
		if len(*q) > 0 {
			return q
		}
	}
	return nil
}

// expire drops slots that cannot be used any more: a call that leaves late comes too close to the one behind it. Redis
// moves such a slot if nothing is behind it yet.
func (l *line) expire(now time.Time) {
	for len(l.slots) > 0 {
		at := l.clock.at(l.slots[0])
		silenced := at.Before(l.quiet.Add(-clockError))
		if now.Sub(at) <= l.tolerance() && !silenced {
			return
		}
		if !silenced {
			l.late, l.bulkCome = l.slots[0], time.Time{}
		}
		l.slots = l.slots[1:]
		l.unused++
	}
}

// clockError is how far two readings of Redis' clock may differ.
const clockError = 5 * time.Millisecond

// tolerance is how late a slot may be used: half an interval, which a bucket of two calls and every window forgive. In a
// bucket of one call a late call spoils the next, which costs more than the slot.
func (l *line) tolerance() time.Duration {
	if l.tight {
		return max(l.step/50, 3*time.Millisecond)
	}
	return min(max(l.step/2, 10*time.Millisecond), 250*time.Millisecond)
}

// horizon is pace.lua's: how early Redis gives a slot out.
func (l *line) horizon() time.Duration { return max(100*time.Millisecond, l.step/2) }

func (l *line) waiters() int { return len(l.probes) + len(l.live) + len(l.bulk) }

// reoffer puts the slot of a pass back, for another waiter or for Redis.
func (l *line) reoffer(p *Permit) {
	l.mu.Lock()
	if !p.at.Before(time.Now().Add(-l.tolerance())) && len(l.slots) < ahead {
		l.slots = append([]int64{p.slot}, l.slots...)
		if p.slot == l.known { // nobody left since, so the pacer need not wait for this one
			l.pacer = rate.NewLimiter(l.pacer.Limit(), 1)
		}
	} else {
		l.unused++
	}
	l.mu.Unlock()
	l.poke()
}

// setStep takes over the distance of two slots. Where a scheduler's hiccup is small against it, calls of this process
// keep nearly the whole distance; where it is not, half.
func (l *line) setStep(step time.Duration) {
	if step == l.step {
		return
	}
	l.step = step
	gap := step / 2
	if step >= 100*time.Millisecond {
		gap = step * 98 / 100
	}
	l.pacer.SetLimit(rate.Every(gap))
}

// leave gives back what the line holds when the process ends.
func (l *line) leave(ctx context.Context) {
	l.mu.Lock()
	slots, asked := l.slots, l.asked
	l.slots = nil
	l.mu.Unlock()
	if len(slots) > 0 {
		l.giveBack(ctx, slots)
	}
	if asked {
		l.gate.cfg.Redis.HDel(ctx, kindKey(l.kind), "w:"+l.gate.process)
	}
}

// silence keeps the line still until a moment of this machine's clock.
func (l *line) silence(until time.Time) {
	l.mu.Lock()
	if until.After(l.quiet) {
		l.quiet = until
	}
	l.mu.Unlock()
	l.poke()
}

// void drops slots and turns: the rate has changed, or Redis came back and may have been another before.
func (l *line) void() {
	l.mu.Lock()
	l.epoch++
	l.unused += len(l.slots)
	l.slots = nil
	l.turn = 0
	l.limit = 0
	l.bulkCome, l.liveCome = time.Time{}, time.Time{}
	l.mu.Unlock()
	l.poke()
}

// recheck sends those away who may have come to a closed door; keep says who stays.
func (l *line) recheck(keep func(probe) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live.fail(errRecheck)
	l.bulk.fail(errRecheck)
	var stay queue
	for _, w := range l.probes {
		if keep(w.probe) {
			stay = append(stay, w)
		} else {
			w.result <- result{err: errRecheck}
		}
	}
	l.probes = stay
}

func (l *line) failAll(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range []*queue{&l.probes, &l.live, &l.bulk} {
		q.fail(err)
	}
}

// sooner is the earlier of two moments, where zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
