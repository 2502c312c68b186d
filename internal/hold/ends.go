package hold

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// End is how a job has ended.
type End struct {
	Job string // unique for each run
	At  time.Time
	Bad bool
}

// endsScript: KEYS[1] a sorted set of ends by time. ARGV: member, time in ms, how many are kept. It returns how many of those
// are bad, and how many there are.
var endsScript = redis.NewScript(`
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3])
local ends, bad = redis.call('ZRANGE', KEYS[1], 0, -1), 0
for _, member in ipairs(ends) do
  if string.sub(member, 1, 1) == '!' then bad = bad + 1 end
end
return {bad, #ends}
`)

// CountEnd counts an end towards a hold, and returns how many of the last ends, at most window, are bad. The last are those
// with the latest times, so a repeated call changes nothing. The count starts anew when the hold is resumed.
func (s *Set) CountEnd(ctx context.Context, h Hold, e End, window int) (bad, of int, err error) {
	member := e.Job
	if e.Bad {
		member = "!" + e.Job
	}
	n, err := endsScript.Run(ctx, s.redis, []string{Key + ":" + h.field()}, member, e.At.UnixMilli(), window).Int64Slice()
	if err != nil {
		return 0, 0, fmt.Errorf("count towards the hold: %w", err)
	}
	return int(n[0]), int(n[1]), nil
}
