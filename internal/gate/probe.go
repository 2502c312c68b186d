package gate

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"
	"time"
)

// probe holds the tokens of a call that finds out whether the account, the vendor or both are well again.
type probe struct {
	hold    string // of the account's hold; empty: none
	breaker string // of the kind's breaker; empty: none
}

func (p probe) any() bool { return p.hold != "" || p.breaker != "" }

// suspicion says that something may be closed and must be looked at before the next call. The zero value suspects
// nothing.
type suspicion struct {
	mu     sync.Mutex
	raised int // how often; a look that began before the last time does not clear it
	active bool
}

func (s *suspicion) suspect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raised++
	s.active = true
}

// look tells whether there is a suspicion, and which one.
func (s *suspicion) look() (raised int, active bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raised, s.active
}

func (s *suspicion) clear(raised int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.raised == raised {
		s.active = false
	}
}

// probe.lua's codes.
const (
	breakerClosed = iota
	breakerTaken
	breakerOpen
	breakerProbing
)

// admitBreaker lets a call pass the breaker: with a token, if it is to be the probe.
func (l *line) admitBreaker(ctx context.Context, c Call) (token string, err error) {
	raised, active := l.breaker.look()
	if !active {
		return "", nil
	}
	nonce := rand.Text()
	reply, err := l.gate.onKind(ctx, probeScript, l.kind, l.rate, jobHash(c.JobID), nonce)
	if err != nil {
		return "", fmt.Errorf("look at the breaker of %s: %w", l.kind, err)
	}
	switch wait := micros(reply[1]); reply[0] {
	case breakerTaken:
		return nonce, nil
	case breakerOpen:
		return "", &ClosedError{Reason: ReasonBreaker, RetryAfter: max(wait, time.Second)}
	case breakerProbing:
		return "", &ClosedError{Reason: ReasonProbing, RetryAfter: min(wait, probeRetry)}
	}
	l.breaker.clear(raised)
	return "", nil
}

// probeRetry is when to ask again while somebody else's probe is out.
const probeRetry = 5 * time.Second

// jobHash stands for a job in Redis.
func jobHash(id string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return strconv.FormatUint(h.Sum64(), 36)
}
