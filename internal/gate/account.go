package gate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// account is this process' view of the hold. It is only looked at when something made the process suspicious: its
// start, a message, a refused request for slots.
type account struct {
	suspicion

	memory sync.Mutex   // guards what follows
	closed *ClosedError // the last refusal
	until  time.Time    // valid until then
	asOf   int          // and while nothing new is suspected
}

// heldRetry is how soon a job should come again that met a hold. Its queue is paused anyway.
const heldRetry = 30 * time.Second

// hold.lua's codes for take.
const (
	takeFree = iota
	takeHeld
	takeProbing
	takeTaken
)

// admitHold lets a call pass the account's hold: with a token, if it is to be the probe.
func (g *Gate) admitHold(ctx context.Context, l *line) (token string, err error) {
	raised, active := g.account.look()
	if !active {
		return "", nil
	}
	if closed := g.account.remembered(raised); closed != nil {
		return "", closed
	}
	nonce := rand.Text()
	reply, err := g.onHold(ctx, "take", nonce)
	if err != nil {
		return "", fmt.Errorf("look at the hold: %w", err)
	}
	switch reply[0] {
	case takeTaken:
		return nonce, nil
	case takeHeld, takeProbing:
		hold, err := g.Hold(ctx)
		if err != nil {
			return "", err
		}
		closed := &ClosedError{Reason: ReasonHeld, RetryAfter: heldRetry, Hold: hold}
		if reply[0] == takeProbing {
			closed.Reason, closed.RetryAfter = ReasonProbing, min(max(micros(reply[1]), time.Second), probeRetry)
		}
		g.account.remember(closed, raised)
		return "", closed
	}
	if err := g.healMirror(ctx, l); err != nil {
		return "", err
	}
	g.account.clear(raised)
	return "", nil
}

// healMirror takes the mark off a kind for which there is no hold: whoever set it died before the hold stood, or the
// hold is just being raised.
func (g *Gate) healMirror(ctx context.Context, l *line) error {
	l.mu.Lock()
	marked := l.mirror
	l.mu.Unlock()
	if !marked {
		return nil
	}
	held, err := g.onKind(ctx, mirrorScript, l.kind, l.rate, "stale")
	if err != nil {
		return fmt.Errorf("look at the mark of the hold on %s: %w", l.kind, err)
	}
	if held[0] == 1 {
		return &ClosedError{Reason: ReasonHeld, RetryAfter: 2 * time.Second}
	}
	l.mu.Lock()
	l.mirror = false
	l.mu.Unlock()
	return nil
}

// remember keeps a refusal for a second, so that a crowd of jobs costs one look.
func (a *account) remember(closed *ClosedError, raised int) {
	a.memory.Lock()
	defer a.memory.Unlock()
	a.closed, a.until, a.asOf = closed, time.Now().Add(time.Second), raised
}

func (a *account) remembered(raised int) error {
	a.memory.Lock()
	defer a.memory.Unlock()
	if a.closed == nil || a.asOf != raised || !time.Now().Before(a.until) {
		return nil
	}
	return a.closed
}

// RaiseHold stops every kind in the whole fleet until somebody calls Resume. first is true for the one caller that
// raised it; a hold that is being probed is restored. Since and Probing of h are not read.
//
// The kinds are marked first: a mark without a hold heals itself, a hold without marks would let calls pass.
func (g *Gate) RaiseHold(ctx context.Context, h Hold) (first bool, err error) {
	g.account.suspect()
	if err := g.markKinds(ctx, "1"); err != nil {
		return false, err
	}
	reply, err := g.onHold(ctx, "raise", h.Reason, h.Code, h.NextAction, h.By)
	if err != nil {
		return false, fmt.Errorf("raise the hold: %w", err)
	}
	g.holdChanged(ctx)
	return reply[0] == 1, nil
}

// Resume lets one call through, of whatever kind, to find out whether the account works again: an answer ends the hold,
// a refusal restores it. ErrNotHeld if there is no hold.
func (g *Gate) Resume(ctx context.Context) error {
	reply, err := g.onHold(ctx, "resume")
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if reply[0] == 0 {
		return errors.Join(ErrNotHeld, g.markKinds(ctx, "0"))
	}
	g.holdChanged(ctx)
	return nil
}

// ClearHold ends the hold without a probe. It is no error if there is none.
func (g *Gate) ClearHold(ctx context.Context) error {
	if _, err := g.onHold(ctx, "clear"); err != nil {
		return fmt.Errorf("clear the hold: %w", err)
	}
	err := g.markKinds(ctx, "0")
	g.holdChanged(ctx)
	return err
}

// Hold returns the hold, or nil.
func (g *Gate) Hold(ctx context.Context) (*Hold, error) {
	fields, err := g.cfg.Redis.HGetAll(ctx, holdKey).Result()
	if err != nil {
		return nil, fmt.Errorf("read the hold: %w", err)
	}
	if len(fields) == 0 {
		return nil, nil
	}
	since, _ := strconv.ParseInt(fields["since"], 10, 64)
	return &Hold{
		Reason: fields["reason"], Code: fields["code"], NextAction: fields["next_action"], By: fields["by"],
		Since: time.UnixMicro(since).UTC(), Probing: fields["probing"] == "1",
	}, nil
}

// settleHold tells what the probe of the hold has met.
func (g *Gate) settleHold(ctx context.Context, token, met string) error {
	reply, err := g.onHold(ctx, "settle", token, met)
	if err != nil {
		return fmt.Errorf("settle the probe of the hold: %w", err)
	}
	if reply[0] == 0 {
		return nil
	}
	if met == "answered" {
		err = g.markKinds(ctx, "0")
	}
	g.holdChanged(ctx)
	return err
}

func (g *Gate) markKinds(ctx context.Context, mark string) error {
	for _, l := range g.lines {
		if _, err := g.onKind(ctx, mirrorScript, l.kind, l.rate, mark); err != nil {
			return fmt.Errorf("mark %s for the hold: %w", l.kind, err)
		}
	}
	return nil
}

// holdChanged makes this process and the others look at the hold again.
func (g *Gate) holdChanged(ctx context.Context) {
	g.heardHold()
	g.announce(ctx, newsHold, "", 0)
}

func (g *Gate) heardHold() {
	g.account.suspect()
	for _, l := range g.lines {
		l.recheck(func(p probe) bool { return p.hold != "" })
	}
}

func (g *Gate) onHold(ctx context.Context, args ...any) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	return integers(holdScript.Run(ctx, g.cfg.Redis, []string{holdKey}, args...))
}
