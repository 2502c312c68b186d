package gate

import "time"

// clock tells when a moment of Redis' clock comes on this machine. It keeps the sample with the shortest round trip, so
// that a slow answer does not move the slots, and lets go of it once two clocks may have drifted apart more than that.
type clock struct {
	local time.Time // middle of the round trip
	redis int64     // Redis' time then, in µs; 0: no sample yet
	trip  time.Duration
}

// drift is what two clocks are allowed to part by: 50 µs a second is on the bad side of a quartz.
const drift = 50e-6

// sample takes what Redis said between two local moments.
func (c *clock) sample(sent, received time.Time, redis int64) {
	trip := received.Sub(sent)
	fresh := clock{local: sent.Add(trip / 2), redis: redis, trip: trip}
	if c.redis == 0 {
		*c = fresh
		return
	}
	slack := time.Duration(float64(sent.Sub(c.local)) * drift)
	stepped := c.at(redis).Before(sent.Add(-slack-time.Millisecond)) || c.at(redis).After(received.Add(slack+time.Millisecond))
	if stepped || trip <= c.trip+slack {
		*c = fresh
	}
}

// at is the local moment of a time of Redis' clock.
func (c *clock) at(redis int64) time.Time {
	return c.local.Add(time.Duration(redis-c.redis) * time.Microsecond)
}

func (c *clock) known() bool { return c.redis != 0 }

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
