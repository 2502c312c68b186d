package gate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrNotHeld = errors.New("the account is not on hold") // by Resume
	ErrClosed  = errors.New("the gate is shut down")      // by Acquire, after Close
)

// Config is what a gate needs. Redis and Rates are required.
type Config struct {
	// Redis should be opened with ContextTimeoutEnabled, so that a silent Redis is noticed within 3 s.
	Redis redis.UniversalClient
	// Rates holds the vendor's limit of every kind that exists, also of those that this process never calls: a hold
	// stops them all. A rate set with SetRate is stronger.
	Rates map[string]Rate
	// Lead is how long before its slot Acquire returns, so that the caller can write down what it is about to do and
	// still leave on time; it then calls Permit.Wait just before the request. At most half the distance of two slots is
	// used. 0: Acquire returns at the slot.
	Lead time.Duration
	// Log takes the few events that an operator should see once for the whole fleet. The zero value logs nothing.
	Log zerolog.Logger
}

// Gate paces the calls of this process as its share of the fleet's. It is safe for concurrent use.
type Gate struct {
	cfg     Config
	process string // names this process among the others
	lines   map[string]*line
	account account

	ctx   context.Context // ends with Close; of the goroutines, not of any call
	stop  context.CancelFunc
	start sync.Once
	work  sync.WaitGroup
}

// New checks the configuration. It neither touches the network nor starts anything: the first Acquire does.
func New(cfg Config) (*Gate, error) {
	if cfg.Redis == nil {
		return nil, errors.New("gate: no Redis client")
	}
	if len(cfg.Rates) == 0 {
		return nil, errors.New("gate: no rates")
	}
	if cfg.Lead < 0 {
		return nil, errors.New("gate: the lead is negative")
	}
	g := &Gate{cfg: cfg, process: rand.Text()[:10], lines: map[string]*line{}}
	for kind, r := range cfg.Rates {
		if err := r.validate(); err != nil {
			return nil, fmt.Errorf("gate: rate of %s: %w", kind, err)
		}
		g.lines[kind] = newLine(g, kind, r)
	}
	g.ctx, g.stop = context.WithCancel(context.Background())
	g.account.suspect()
	return g, nil
}

// Close sends everybody away who waits (ErrClosed), gives the slots in hand back and ends all goroutines. Passes that
// are out may still be handed back.
func (g *Gate) Close() {
	g.stop()
	g.start.Do(func() {}) // no start after this
	g.work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, l := range g.lines {
		l.leave(ctx)
	}
}

func (g *Gate) run() {
	g.work.Go(func() { g.listen(g.ctx) })
	for _, l := range g.lines {
		g.work.Go(func() { l.run(g.ctx) })
	}
}

// Permit is the permission to make one call. It is reported exactly once.
type Permit struct {
	// Probe says that this call finds out whether the account or the vendor is well again. A failed probe is not an
	// attempt.
	Probe bool

	line   *line
	call   Call
	number uint64
	probe  probe
	slot   int64     // by Redis' clock
	at     time.Time // the same by this machine's
	done   atomic.Bool
}

// Wait waits out what is left until the pass' slot; it returns at once when Config.Lead is 0. The error is ctx's.
func (p *Permit) Wait(ctx context.Context) error {
	wait := time.Until(p.at)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Acquire waits until the call may leave: no hold, the breaker closed (or this call its probe), and a slot of the rate.
// It fails with a *ClosedError when waiting is pointless, with ctx's error, or with Redis' when no slot can be reserved;
// in each case the job is unharmed and should come again. Once Acquire returned a pass, the call should leave at once.
func (g *Gate) Acquire(ctx context.Context, c Call) (*Permit, error) {
	l, ok := g.lines[c.Kind]
	if !ok {
		return nil, fmt.Errorf("gate: unknown kind %q", c.Kind)
	}
	if c.Lane != Live && c.Lane != Bulk {
		return nil, fmt.Errorf("gate: unknown lane %q", c.Lane)
	}
	g.start.Do(g.run)
	for {
		if g.ctx.Err() != nil {
			return nil, ErrClosed
		}
		p, err := g.admit(ctx, l, c)
		if err != nil {
			return nil, err
		}
		pass, err := l.enter(ctx, c, p)
		if err == nil {
			return pass, nil
		}
		if p.any() {
			g.release(ctx, l, c, p)
		}
		if !errors.Is(err, errRecheck) {
			return nil, err
		}
	}
}

// admit passes hold and breaker, in this order.
func (g *Gate) admit(ctx context.Context, l *line, c Call) (probe, error) {
	hold, err := g.admitHold(ctx, l)
	if err != nil {
		return probe{}, err
	}
	p := probe{hold: hold}
	p.breaker, err = l.admitBreaker(ctx, c)
	if err != nil && p.any() {
		g.release(ctx, l, c, p)
	}
	return p, err
}

// release lets go of the tokens of a probe that found no slot. If that fails they run out after 60 s.
func (g *Gate) release(ctx context.Context, l *line, c Call, p probe) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTimeout)
	defer cancel()
	pass := &Permit{line: l, call: c, probe: p, Probe: true}
	pass.at = time.Now().Add(-time.Hour) // there is no slot to give back
	if err := g.Report(ctx, pass, Outcome{Kind: NotSent}); err != nil {
		g.cfg.Log.Debug().Err(err).Str("kind", c.Kind).Msg("gate: probe not released")
	}
}
