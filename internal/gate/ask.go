package gate

import (
	"context"
	"fmt"
	"time"
)

// ask is one request for slots; see take.lua.
type ask struct {
	lane       string
	want       int
	turn       int64
	more       bool
	known      int64
	caution    bool
	holdProbe  bool
	nonce      string
	live, bulk int
	unused     int
	late       int64
	seen       headers
	first      bool
	epoch      int
}

// take.lua's codes.
const (
	codeGranted = iota
	codeLater
	codeHeld
	codeBreaker
)

// prepare fills in a request. The caller holds l.mu.
func (l *line) prepare(lane string, waiting int) ask {
	l.asking = true
	want := min(waiting, ahead) - len(l.slots)
	known := l.known
	for _, slot := range l.slots {
		known = max(known, slot)
	}
	a := ask{
		lane: lane, want: want, turn: l.turn, known: known, caution: l.caution, unused: l.unused, late: l.late, seen: l.seen,
		more: waiting > len(l.slots)+want, first: !l.asked, epoch: l.epoch,
	}
	urgent := len(l.probes) + len(l.live)
	a.live = max(0, urgent-len(l.slots))
	a.bulk = max(0, l.waiters()-len(l.slots)-a.live)
	for _, w := range l.probes {
		a.holdProbe = a.holdProbe || w.probe.hold != ""
		if w.probe.breaker != "" {
			a.nonce = w.probe.breaker
		}
	}
	l.unused, l.late, l.seen = 0, 0, noHeaders
	return a
}

// ask runs a request and hands its answer to the line.
func (l *line) ask(ctx context.Context, a ask) {
	sent := time.Now()
	reply, err := l.gate.onKind(ctx, takeScript, l.kind, l.rate, l.gate.process, a.lane, a.want, a.turn, flag(a.more),
		a.known, flag(a.caution), flag(a.holdProbe), a.nonce, a.live, a.bulk, a.unused,
		a.seen.limit, a.seen.remaining, a.seen.reset.Microseconds(), a.seen.slot, a.late, flag(a.first))
	if err == nil && len(reply) < 8 {
		err = fmt.Errorf("reply of %d numbers", len(reply))
	}
	if err != nil {
		l.failed(a, fmt.Errorf("reserve a slot for %s: %w", l.kind, err))
		return
	}
	l.answered(a, sent, time.Now(), reply)
	l.poke()
}

// failed sends all waiters away: their jobs are safer in the queue than here.
func (l *line) failed(a ask, err error) {
	l.mu.Lock()
	l.asking, l.caution = false, true
	l.unused += a.unused
	l.mu.Unlock()
	l.failAll(err)
	l.poke()
}

func (l *line) answered(a ask, sent, received time.Time, reply []int64) {
	l.mu.Lock()
	l.asking, l.asked, l.caution = false, true, false
	l.clock.sample(sent, received, reply[1])
	l.setStep(micros(reply[4]))
	l.ease, l.tight = micros(reply[5]), reply[7] == 1
	l.failing = reply[6] == 1
	code, come := reply[0], time.Time{}
	if reply[3] > 0 {
		come = l.clock.at(reply[3])
		if latest := received.Add(pollEvery); come.After(latest) {
			come = latest
		}
	}
	switch {
	case a.epoch != l.epoch: // void before it came
		l.unused += len(reply) - 8
	case a.lane == Bulk:
		l.turn, l.bulkCome = reply[2], come
		l.slots = append(l.slots, reply[8:]...)
	default:
		l.liveCome = come
		l.slots = append(l.slots, reply[8:]...)
	}
	if code == codeHeld {
		l.mirror = true
	}
	l.mu.Unlock()

	switch code {
	case codeHeld:
		l.gate.account.suspect()
		l.recheck(func(p probe) bool { return p.hold != "" })
	case codeBreaker:
		l.breaker.suspect()
		l.recheck(func(p probe) bool { return p.breaker != "" && p.breaker != a.nonce })
	}
}

// giveBack returns slots to Redis that nobody waits for.
func (l *line) giveBack(ctx context.Context, slots []int64) {
	args := make([]any, 0, len(slots))
	for i := len(slots) - 1; i >= 0; i-- {
		args = append(args, slots[i])
	}
	back, err := l.gate.onKind(context.WithoutCancel(ctx), backScript, l.kind, l.rate, args...)
	l.mu.Lock()
	l.asking = false
	if err != nil {
		l.caution = true
		l.unused += len(slots)
	} else {
		l.unused += len(slots) - int(back[0])
	}
	l.mu.Unlock()
	l.poke()
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
