package gate

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// News tells processes at once what they would find out with their next request for slots. Nothing depends on it
// arriving; it makes the fleet obey within a round trip.
const (
	newsHold    = "hold"    // look at the hold again
	newsRate    = "rate"    // a rate was set: slots and turns are void
	newsSilence = "silence" // the vendor wants silence until a time of Redis' clock
	newsBreaker = "breaker" // a breaker opened or closed
	newsFailing = "failing" // a breaker counts: successes must be told
)

// newsChannel is one for each logical database: channels, unlike keys, are common to all of them.
func newsChannel(c redis.UniversalClient) string {
	db := 0
	if single, ok := c.(*redis.Client); ok {
		db = single.Options().DB
	}
	return "kycq:gate:news:" + strconv.Itoa(db)
}

// announce is best effort.
func (g *Gate) announce(ctx context.Context, what, kind string, at int64) {
	err := g.cfg.Redis.Publish(ctx, newsChannel(g.cfg.Redis), fmt.Sprintf("%s %s %d", what, kind, at)).Err()
	if err != nil {
		g.cfg.Log.Debug().Err(err).Str("news", what).Msg("gate: other workers were not told")
	}
}

// listen follows the news until ctx ends. The client reconnects by itself.
func (g *Gate) listen(ctx context.Context) {
	sub := g.cfg.Redis.Subscribe(ctx, newsChannel(g.cfg.Redis))
	defer func() { _ = sub.Close() }()
	messages := sub.ChannelWithSubscriptions(redis.WithChannelHealthCheckInterval(time.Minute))
	again := false
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-messages:
			if !ok {
				return
			}
			switch m := m.(type) {
			case *redis.Message:
				g.heard(m.Payload)
			case *redis.Subscription:
				if again { // messages may have been lost in between
					g.heardHold()
					for _, l := range g.lines {
						l.comeBack()
					}
				}
				again = true
			}
		}
	}
}

func (g *Gate) heard(payload string) {
	parts := strings.Split(payload, " ")
	if len(parts) != 3 {
		return
	}
	if parts[0] == newsHold {
		g.heardHold()
		return
	}
	l, ok := g.lines[parts[1]]
	if !ok {
		return
	}
	switch parts[0] {
	case newsRate:
		l.void()
	case newsSilence:
		if at, err := strconv.ParseInt(parts[2], 10, 64); err == nil {
			l.heardSilence(at)
		}
	case newsBreaker:
		l.breaker.suspect()
		l.recheck(func(p probe) bool { return p.breaker != "" })
	case newsFailing:
		l.setFailing(true)
	}
}

// heardSilence keeps the line still until a time of Redis' clock. A line that never asked has no slots to keep back.
func (l *line) heardSilence(at int64) {
	l.mu.Lock()
	known, until := l.clock.known(), l.clock.at(at)
	l.mu.Unlock()
	if known && time.Until(until) <= maxSilence+time.Second {
		l.silence(until)
	}
}

func (l *line) setFailing(failing bool) {
	l.mu.Lock()
	l.failing = failing
	l.mu.Unlock()
}

// comeBack makes the line ask now, whatever its turn.
func (l *line) comeBack() {
	l.mu.Lock()
	l.bulkCome, l.liveCome = time.Time{}, time.Time{}
	l.mu.Unlock()
	l.poke()
}
