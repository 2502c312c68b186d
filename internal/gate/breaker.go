package gate

import (
	"context"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/kycq/kycq/internal/hold"
)

// BreakerState is one of closed, open, probing. The scripts hold the rules of the breaker; see the package comment.
type BreakerState string

// The states of a breaker.
const (
	BreakerClosed  BreakerState = "closed"
	BreakerOpen    BreakerState = "open"
	BreakerProbing BreakerState = "probing" // half-open: the next call is the trial, or the trial is in flight
)

const (
	maxOpen      = 5 * time.Minute  // the longest time that the breaker stays open
	heldRetry    = 30 * time.Second // the queue of the job is paused during a hold anyway
	testRetry    = 5 * time.Second  // another test call is in flight
	restoreRetry = 2 * time.Second  // every worker restores the pauses
)

// closed makes the error for a code of take.lua.
func (g *Gate) closed(ctx context.Context, k *kind, code int64, wait time.Duration) error {
	e := &ClosedError{Reason: ReasonProbing, RetryAfter: min(max(wait, time.Second), testRetry)}
	switch code {
	case codeBreaker:
		e.Reason, e.RetryAfter = ReasonBreaker, max(wait, time.Second)
	case codeHeld:
		e.Reason, e.RetryAfter = ReasonHeld, heldRetry
	case codeRestoring:
		e.Reason, e.RetryAfter = ReasonRestoring, restoreRetry
	}
	if code == codeHeld || code == codeHoldTest {
		holds, err := g.Holds(ctx)
		if err != nil {
			return err
		}
		e.Hold = hold.Of(k.name, holds)
	}
	return e
}

// log logs the changes that report.lua returned.
func (g *Gate) log(p *Permit, breaker, limit int64) {
	log := g.cfg.Log.With().Str("kind", p.kind.name).Logger()
	switch breaker {
	case 1:
		log.Warn().Bool("trial", p.Test).Msg("breaker opened: the vendor keeps failing")
	case 2:
		log.Info().Msg("breaker closed: the vendor answers again")
	}
	if limit > 0 {
		log.Warn().Int64("vendor_limit", limit).Stringer("configured", p.kind.rate).
			Msg("the vendor's limit is lower than configured; pacing by the vendor's")
	}
}

// jobHash identifies a job in Redis.
func jobHash(id string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return strconv.FormatUint(h.Sum64(), 36)
}
