package hold

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Streak is what the fleet knows about the odd answers of a kind: those that may not come from the vendor's API. It is a hint:
// Redis may lose it.
type Streak struct {
	Jobs  int // jobs with an odd answer since the last good one, or since a resume
	Tries int // odd answers of this job since then
	// GoodSince reports whether another job was answered well since this job's first odd answer.
	GoodSince bool
}

// streakLife is how long the streak is kept after the last odd answer.
const streakLife = 24 * time.Hour

func streakKeys(kind string) []string {
	odd := Key + ":" + Hold{Cause: Vendor, Kind: kind}.field() // testScript deletes it
	return []string{odd, odd + ":first"}
}

// streakScript counts an answer. KEYS[1] counts the odd answers of each job since the last good one; KEYS[2] has the number
// of good answers ("good"), and for each job (":" and its name) that number at its first odd answer. ARGV[1] name of the job,
// empty for a good answer; ARGV[2] life in seconds.
var streakScript = redis.NewScript(`
if ARGV[1] == '' then
  redis.call('DEL', KEYS[1])
  if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('HINCRBY', KEYS[2], 'good', 1) end
  return {0, 0, 0}
end
local good = redis.call('HGET', KEYS[2], 'good') or '0'
redis.call('HSETNX', KEYS[2], ':' .. ARGV[1], good)
local tries = redis.call('ZINCRBY', KEYS[1], 1, ARGV[1])
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[2]) end
return {redis.call('ZCARD', KEYS[1]), tonumber(tries), redis.call('HGET', KEYS[2], ':' .. ARGV[1]) ~= good and 1 or 0}
`)

// OddAnswer counts an odd answer to a job.
func (s *Set) OddAnswer(ctx context.Context, kind, job string) (Streak, error) {
	n, err := streakScript.Run(ctx, s.redis, streakKeys(kind), job, int(streakLife.Seconds())).Int64Slice()
	if err != nil {
		return Streak{}, fmt.Errorf("count an odd answer: %w", err)
	}
	return Streak{Jobs: int(n[0]), Tries: int(n[1]), GoodSince: n[2] == 1}, nil
}

// GoodAnswer ends the streak of a kind: the vendor's API has answered a job as documented.
func (s *Set) GoodAnswer(ctx context.Context, kind string) error {
	if err := streakScript.Run(ctx, s.redis, streakKeys(kind), "", 0).Err(); err != nil {
		return fmt.Errorf("count a good answer: %w", err)
	}
	return nil
}
