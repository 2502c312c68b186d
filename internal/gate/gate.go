package gate

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/sleep"
)

// ErrClosed is returned by Acquire after Close.
var ErrClosed = errors.New("the gate is shut down")

// Config is what a gate needs. Redis and Rates are required.
type Config struct {
	// Redis should be opened with ContextTimeoutEnabled, so that a silent Redis is noticed within 3 s.
	Redis redis.UniversalClient
	// Rates holds the vendor's limit of every kind. A rate set with SetRate takes precedence.
	Rates map[string]rate.Rate
	// Installation returns the name that Redis must carry, "" while no call may be made. nil: Redis needs no name.
	Installation func() string
	// Lead is how long before its slot Acquire returns, at most 150 ms, so that the caller can record what it is about to
	// do. It then calls Permit.Wait just before the request. 0: Acquire returns at the slot.
	Lead time.Duration
	// CallTimeout is the longest that a call takes. 0: 30 s.
	CallTimeout time.Duration
	// Log receives the few events that concern the whole fleet, each once. The zero value logs nothing.
	Log zerolog.Logger
}

// Gate paces the calls of this process together with those of all others. It is safe for concurrent use.
type Gate struct {
	*hold.Set
	cfg     Config
	process string // names this process among the others
	kinds   map[string]*kind
	ctx     context.Context // ends with Close
	stop    context.CancelFunc
}

// New checks the configuration. It neither uses the network nor starts a goroutine.
func New(cfg Config) (*Gate, error) {
	switch {
	case cfg.Redis == nil:
		return nil, errors.New("gate: no Redis client")
	case len(cfg.Rates) == 0:
		return nil, errors.New("gate: no rates")
	case cfg.Lead < 0 || cfg.CallTimeout < 0:
		return nil, errors.New("gate: the lead or the call timeout is negative")
	}
	if cfg.Installation == nil {
		cfg.Installation = func() string { return "*" }
	}
	cfg.CallTimeout = cmp.Or(cfg.CallTimeout, 30*time.Second)
	g := &Gate{Set: hold.NewSet(cfg.Redis), cfg: cfg, process: rand.Text()[:10], kinds: map[string]*kind{}}
	for name, r := range cfg.Rates {
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("gate: rate of %s: %w", name, err)
		}
		g.kinds[name] = &kind{name: name, rate: r, lanes: map[string]*lane{Live: {}, Bulk: {}}}
	}
	g.ctx, g.stop = context.WithCancel(context.Background())
	return g, nil
}

// Close makes waiting and later calls of Acquire return ErrClosed. Permits can still be reported.
func (g *Gate) Close() { g.stop() }

// Permit allows one call. It is reported exactly once.
type Permit struct {
	// Test marks the test call after a hold or the half-open trial of the breaker. If it fails it is not an attempt.
	Test bool
	// UseBy is when the call must have left; zero sets no limit.
	UseBy time.Time

	kind   *kind
	call   Call
	ticket uint64
	nonce  string    // of a test call
	slot   int64     // by Redis' clock, µs
	at     time.Time // the same by this machine's clock
	done   atomic.Bool
}

// Wait waits until the slot. The error is ctx's.
func (p *Permit) Wait(ctx context.Context) error {
	_ = sleep.For(ctx, time.Until(p.at))
	return ctx.Err()
}

// Late reports whether the permit must be reported as Unused: its call would come too close to later ones, or during a
// silence that the vendor has asked for. The caller checks it in the line before its call.
func (p *Permit) Late() bool {
	if !p.UseBy.IsZero() && sleep.Elapsed(p.UseBy) > 0 {
		return true
	}
	return p.kind != nil && p.at.UnixMicro() < p.kind.quiet.Load()
}

// Acquire waits until the call may be made: no hold, breaker closed (or this call its trial), and a slot of the rate. It
// returns a *ClosedError if waiting is pointless, ctx's error, ErrClosed, or an error of Redis; in each case the job is
// unaffected and should be tried again later. The caller makes its call at once, or after Permit.Wait if Lead is set.
func (g *Gate) Acquire(ctx context.Context, c Call) (*Permit, error) {
	k := g.kinds[c.Kind]
	if k == nil || k.lanes[c.Lane] == nil {
		return nil, fmt.Errorf("gate: unknown kind %q or lane %q", c.Kind, c.Lane)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if g.ctx.Err() != nil {
		return nil, ErrClosed
	}
	defer context.AfterFunc(g.ctx, func() { cancel(ErrClosed) })()
	ticket := k.tickets.draw(c.JobID)
	for {
		p, err := g.reserve(ctx, k, c, ticket)
		if err != nil {
			return nil, err
		}
		_ = sleep.For(ctx, time.Until(p.at)-g.cfg.Lead)
		if ctx.Err() == nil && !p.Late() {
			return p, nil
		}
		_ = g.Report(context.WithoutCancel(ctx), p, Outcome{Kind: Unused}) // after an error the slot is lost, no more
		if sleep.For(ctx, min(time.Until(time.UnixMicro(k.quiet.Load())), maxSleep)) != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// Report returns a permit with the outcome of its call, once. After an error the other processes do not know the outcome.
func (g *Gate) Report(ctx context.Context, p *Permit, o Outcome) error {
	switch {
	case p == nil || p.kind == nil:
		return errors.New("gate: report without a permit")
	case !slices.Contains(outcomeKinds, o.Kind):
		return fmt.Errorf("gate: %q is not an outcome", o.Kind)
	case p.done.Swap(true):
		return errors.New("gate: permit reported twice")
	}
	k := p.kind
	silence := min(max(cmp.Or(max(o.RetryAfter, 0), o.Reset), 0), maxSilence)
	if o.Kind == Limited { // at once: the report may take time
		k.quiet.Store(time.Now().Add(max(silence, k.rate.Interval())).UnixMicro())
	}
	if o.Kind == Limited || o.Kind == Unused {
		k.tickets.keep(p.call.JobID, p.ticket)
	}
	if o.Kind == NotSent && p.nonce == "" {
		return nil
	}
	reply, err := g.run(ctx, reportScript, k, string(o.Kind), jobHash(p.call.JobID), p.nonce, p.slot,
		silence.Microseconds(), max(o.Limit, 0), k.rate.Calls)
	if err != nil {
		return fmt.Errorf("report %s of %s: %w", o.Kind, k.name, err)
	}
	if o.Kind == Unused {
		k.newest.CompareAndSwap(p.slot, p.slot-2*k.rate.Interval().Microseconds())
		k.wake()
	}
	g.log(p, reply[0], reply[1])
	return nil
}
