package gate

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// ErrNotHeld is returned by Resume when the account is not on hold.
var ErrNotHeld = errors.New("the account is not on hold")

// Config is what a gate needs. Redis and Rates are required.
type Config struct {
	// Redis should be opened with ContextTimeoutEnabled, so that a silent Redis is noticed within seconds.
	Redis redis.UniversalClient
	// Rates holds the vendor's limit of every kind that exists, also of those that this process never calls: a hold
	// stops them all. A rate set with SetRate is stronger.
	Rates map[string]Rate
	// Lead is how long before its slot Enter returns, so that the caller can write down what it is about to do and
	// still leave on time; it must then call Pass.Leave just before the request. At most half an interval is used.
	// 0: Enter returns at the slot.
	Lead time.Duration
	// Log takes the few events that an operator should see once. The zero value logs nothing.
	Log zerolog.Logger
}

// Gate paces the calls of this process as its share of the fleet. It is safe for concurrent use.
type Gate struct{ cfg Config }

// New checks the configuration. It does not touch the network.
func New(cfg Config) (*Gate, error) { return &Gate{cfg: cfg}, nil }

// Close ends all waiting and gives the slots in hand back.
func (g *Gate) Close() {}

// Pass is the permission to make one call. It is handed back with Done exactly once.
type Pass struct {
	// Probe says that this call finds out whether the vendor is well again. A failed probe is not an attempt.
	Probe bool
	at    time.Time
}

// Leave waits out what is left until the pass' slot. It returns at once when Config.Lead is 0.
func (p *Pass) Leave(ctx context.Context) error { return ctx.Err() }

// Enter waits until the call may leave.
func (g *Gate) Enter(ctx context.Context, c Call) (*Pass, error) { return nil, errNotBuilt }

// Done hands a pass back.
func (g *Gate) Done(ctx context.Context, p *Pass, o Outcome) error { return errNotBuilt }

// RaiseHold stops every kind. first is true for the one caller that raised it.
func (g *Gate) RaiseHold(ctx context.Context, h Hold) (first bool, err error) {
	return false, errNotBuilt
}

// Hold returns the hold, or nil.
func (g *Gate) Hold(ctx context.Context) (*Hold, error) { return nil, errNotBuilt }

// Resume lets one call through to find out whether the account works again.
func (g *Gate) Resume(ctx context.Context) error { return errNotBuilt }

// ClearHold ends the hold without a probe.
func (g *Gate) ClearHold(ctx context.Context) error { return errNotBuilt }

// SetRate changes the rate of a kind for the whole fleet.
func (g *Gate) SetRate(ctx context.Context, kind string, r Rate) error { return errNotBuilt }

// Status tells how each kind is doing.
func (g *Gate) Status(ctx context.Context) ([]KindStatus, *Hold, error) {
	return nil, nil, errNotBuilt
}

// KindStatus is how one kind is doing, over the whole fleet.
type KindStatus struct {
	Kind         string        `json:"kind"`
	Configured   Rate          `json:"configured"`              // the rate in force: set while running, or from the configuration
	PerMinute    float64       `json:"per_minute"`              // the pace that the gate keeps now, in calls a minute
	VendorLimit  int           `json:"vendor_limit,omitempty"`  // calls in Configured.Per by the vendor's header, where lower than configured
	LastMinute   int           `json:"last_minute"`             // calls that left in the last 60 s
	WaitingLive  int           `json:"waiting_live"`            // calls waiting inside workers
	WaitingBulk  int           `json:"waiting_bulk"`            //
	Limited      int           `json:"limited"`                 // 429s, all time
	LastLimited  time.Time     `json:"last_limited,omitzero"`   //
	StoppedFor   time.Duration `json:"stopped_for,omitempty"`   // the vendor asked for silence that lasts this much longer
	Breaker      BreakerState  `json:"breaker"`                 //
	BreakerFails int           `json:"breaker_fails,omitempty"` // failures in a row
	BreakerFor   time.Duration `json:"breaker_for,omitempty"`   // open for this much longer
}

// BreakerState is one of closed, open, probing.
type BreakerState string

// The states of a breaker.
const (
	BreakerClosed  BreakerState = "closed"
	BreakerOpen    BreakerState = "open"
	BreakerProbing BreakerState = "probing"
)

var errNotBuilt = errors.New("gate: not built yet")
