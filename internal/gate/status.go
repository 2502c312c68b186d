package gate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/rate"
)

// KindStatus is the state of one kind in the whole fleet.
type KindStatus struct {
	Kind         string        `json:"kind"`
	Configured   rate.Rate     `json:"configured"`             // in this process
	Set          *SetRate      `json:"set,omitempty"`          // in force instead, while set
	PerMinute    float64       `json:"per_minute"`             // the pace of the gate now, in calls a minute
	VendorLimit  int           `json:"vendor_limit,omitempty"` // calls in Limit().Per as the vendor says, if lower
	LastMinute   int           `json:"last_minute"`            // calls made in the last minute
	WaitingLive  int           `json:"waiting_live"`           // calls waiting inside workers
	WaitingBulk  int           `json:"waiting_bulk"`
	Limited      int           `json:"limited"` // 429s, all time
	LastLimited  time.Time     `json:"last_limited,omitzero"`
	StoppedFor   time.Duration `json:"-"` // rest of the silence after a 429
	Breaker      BreakerState  `json:"breaker"`
	BreakerFails int           `json:"breaker_fails,omitempty"` // failures in a row
	BreakerFor   time.Duration `json:"-"`                       // rest of the time that it is open
}

// SetRate is a rate that was set for the whole fleet.
type SetRate struct {
	Rate rate.Rate `json:"rate"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
}

// Limit is the rate in force, apart from the vendor's limit.
func (k KindStatus) Limit() rate.Rate {
	if k.Set != nil {
		return k.Set.Rate
	}
	return k.Configured
}

// Status returns the state of each kind, sorted by name, and the holds.
func (g *Gate) Status(ctx context.Context) ([]KindStatus, []hold.Hold, error) {
	holds, err := g.Holds(ctx)
	if err != nil {
		return nil, nil, err
	}
	at, err := g.cfg.Redis.Time(ctx).Result()
	if err != nil {
		return nil, nil, err
	}
	var all []KindStatus
	for _, name := range slices.Sorted(maps.Keys(g.kinds)) {
		st, err := g.status(ctx, g.kinds[name], at)
		if err != nil {
			return nil, nil, fmt.Errorf("status of %s: %w", name, err)
		}
		all = append(all, st)
	}
	return all, holds, nil
}

func (g *Gate) status(ctx context.Context, k *kind, at time.Time) (KindStatus, error) {
	fields, err := g.cfg.Redis.HGetAll(ctx, kindKey(k.name)).Result()
	if err != nil {
		return KindStatus{}, err
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(fields[name], 10, 64)
		return n
	}
	now := at.UnixMicro()
	// left is 0 for an instant that was stored before the clock was set back, as in take.lua.
	left := func(name string, longest time.Duration) time.Duration {
		if d := micros(max(0, number(name)-now)); d <= longest {
			return d
		}
		return 0
	}
	st := KindStatus{
		Kind: k.name, Configured: k.rate, VendorLimit: int(number("cap")), LastMinute: lastMinute(now, number),
		Limited: int(number("limited")), StoppedFor: left("until", maxSilence),
		Breaker: BreakerClosed, BreakerFails: int(number("fails")),
	}
	if calls := number("calls"); calls > 0 {
		st.Set = &SetRate{rate.Rate{Calls: int(calls), Per: micros(number("per"))}, fields["set_by"], time.UnixMicro(number("set_at")).UTC()}
	}
	pace := st.Limit()
	if st.VendorLimit > 0 {
		pace.Calls = st.VendorLimit
	}
	margin := number("margin")
	if margin == 0 || fields["rate"] == "" {
		margin = defaultMargin
	}
	st.PerMinute = pace.PerMinute() * (1 - float64(margin)/1_000_000)
	if at := number("limited_at"); at > 0 {
		st.LastLimited = time.UnixMicro(min(at, now)).UTC()
	}
	if number("open_until") > 0 {
		st.Breaker, st.BreakerFor = BreakerProbing, left("open_until", maxOpen)
	}
	if st.BreakerFor > 0 {
		st.Breaker = BreakerOpen
	}
	st.WaitingLive, st.WaitingBulk = waiting(now, fields)
	return st, nil
}

// lastMinute adds up the 10-second buckets; of the oldest, the part that is still within the minute.
func lastMinute(now int64, number func(string) int64) int {
	const scale = 1_000_000 // a field is the number of its bucket * scale + calls
	sum := 0.0
	for i := range 7 {
		n := number("n" + strconv.Itoa(i))
		if age := float64(now)/1e7 - float64(n/scale); age >= 0 {
			sum += float64(n%scale) * min(max(7-age, 0), 1)
		}
	}
	return int(sum + 0.5)
}

// waiting adds up the calls that processes counted when they last asked, within the last few seconds.
func waiting(now int64, fields map[string]string) (live, bulk int) {
	for name, value := range fields {
		var l, b int
		var at int64
		n, _ := fmt.Sscanf(value, "%d:%d:%d", &l, &b, &at)
		if n == 3 && strings.HasPrefix(name, "w:") && micros(now-at).Abs() <= 2*maxSleep+time.Second {
			live += l
			bulk += b
		}
	}
	return live, bulk
}
