package gate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// KindStatus is how one kind is doing, over the whole fleet.
type KindStatus struct {
	Kind         string        `json:"kind"`
	Configured   Rate          `json:"configured"`             // in force: set while running, or else from the configuration
	PerMinute    float64       `json:"per_minute"`             // the pace that the gate keeps now, in calls a minute
	VendorLimit  int           `json:"vendor_limit,omitempty"` // calls in Configured.Per as the vendor says, where lower
	LastMinute   int           `json:"last_minute"`            // calls that left in the last minute
	WaitingLive  int           `json:"waiting_live"`           // calls that wait inside workers
	WaitingBulk  int           `json:"waiting_bulk"`
	Limited      int           `json:"limited"` // 429s, all time
	LastLimited  time.Time     `json:"last_limited,omitzero"`
	StoppedFor   time.Duration `json:"stopped_for,omitempty"` // the vendor asked for silence that lasts this much longer
	Breaker      BreakerState  `json:"breaker"`
	BreakerFails int           `json:"breaker_fails,omitempty"` // failures in a row
	BreakerFor   time.Duration `json:"breaker_for,omitempty"`   // open for this much longer
}

// BreakerState is one of closed, open, probing.
type BreakerState string

// The states of a breaker.
const (
	BreakerClosed  BreakerState = "closed"
	BreakerOpen    BreakerState = "open"
	BreakerProbing BreakerState = "probing" // the next call decides, or is out
)

// Status tells how each kind is doing, sorted by name, and the hold or nil.
func (g *Gate) Status(ctx context.Context) ([]KindStatus, *Hold, error) {
	hold, err := g.Hold(ctx)
	if err != nil {
		return nil, nil, err
	}
	var all []KindStatus
	for _, l := range g.lines {
		st, err := l.status(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("status of %s: %w", l.kind, err)
		}
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b KindStatus) int { return cmp.Compare(a.Kind, b.Kind) })
	return all, hold, nil
}

// SetRate changes the rate of a kind for the whole fleet, at once, and for as long as Redis keeps its data: it survives
// restarts, and after a FLUSHALL the configured rates count again.
func (g *Gate) SetRate(ctx context.Context, kind string, r Rate) error {
	l, ok := g.lines[kind]
	if !ok {
		return fmt.Errorf("set the rate: unknown kind %q", kind)
	}
	if err := r.validate(); err != nil {
		return fmt.Errorf("set the rate of %s: %w", kind, err)
	}
	if _, err := g.onKind(ctx, rateScript, kind, r); err != nil {
		return fmt.Errorf("set the rate of %s: %w", kind, err)
	}
	l.void()
	g.announce(ctx, newsRate, kind, 0)
	return nil
}

func (l *line) status(ctx context.Context) (KindStatus, error) {
	reply, err := statusScript.Run(ctx, l.gate.cfg.Redis, []string{kindKey(l.kind)}, l.rate.Calls, l.rate.Per.Microseconds()).Slice()
	if err != nil {
		return KindStatus{}, err
	}
	if len(reply) < 6 {
		return KindStatus{}, fmt.Errorf("reply of %d parts", len(reply))
	}
	var head [5]int64
	for i := range head {
		head[i], _ = reply[i].(int64)
	}
	pairs, _ := reply[5].([]any)
	fields := make(map[string]string, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		fields[name], _ = pairs[i+1].(string)
	}
	now, step := head[0], head[4]
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(fields[name], 10, 64)
		return n
	}
	left := func(at int64) time.Duration { return micros(max(0, at-now)) }

	st := KindStatus{
		Kind:         l.kind,
		Configured:   Rate{Calls: int(head[1]), Per: micros(head[2])},
		PerMinute:    float64(time.Minute/time.Microsecond) / float64(step),
		LastMinute:   lastMinute(now, number),
		Limited:      int(number("limited")),
		StoppedFor:   left(number("until")),
		Breaker:      BreakerClosed,
		BreakerFails: int(number("fails")),
	}
	if head[3] < head[1] {
		st.VendorLimit = int(head[3])
	}
	if at := number("limited_at"); at > 0 {
		st.LastLimited = time.UnixMicro(at).UTC()
	}
	if open := number("open_until"); open > 0 {
		st.Breaker, st.BreakerFor = BreakerOpen, left(open)
		if st.BreakerFor == 0 {
			st.Breaker = BreakerProbing
		}
	}
	st.WaitingLive, st.WaitingBulk = waiting(now, fields)
	return st, nil
}

// lastMinute adds up the 10-second buckets; of the oldest, the part that is still within the minute.
func lastMinute(now int64, number func(string) int64) int {
	const width, scale = int64(10 * time.Second / time.Microsecond), 1_000_000
	current := now / width
	sum := 0.0
	for i := range int64(7) {
		n := number("n" + strconv.FormatInt(i, 10))
		bucket, calls := n/scale, float64(n%scale)
		switch age := current - bucket; {
		case age < 0 || age > 6:
		case age == 6:
			sum += calls * (1 - float64(now%width)/float64(width))
		default:
			sum += calls
		}
	}
	return int(sum + 0.5)
}

// waiting adds up what processes reported within the last two polls.
func waiting(now int64, fields map[string]string) (live, bulk int) {
	for name, value := range fields {
		if !strings.HasPrefix(name, "w:") {
			continue
		}
		var l, b int
		var at int64
		if _, err := fmt.Sscanf(value, "%d:%d:%d", &l, &b, &at); err != nil || micros(now-at) > 2*pollEvery {
			continue
		}
		live += l
		bulk += b
	}
	return live, bulk
}
