package redisx

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// takeScript: KEYS[1] a hash of the day and what was taken on it, ARGV[1] the limit. The key lives for two days, so that
// a fleet that stopped leaves nothing behind.
var takeScript = redis.NewScript(`
local day = math.floor(tonumber(redis.call('TIME')[1]) / 86400)
local seen = tonumber(redis.call('HGET', KEYS[1], 'day'))
local taken = 0
if seen == day then taken = tonumber(redis.call('HGET', KEYS[1], 'taken')) or 0 end
if taken >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'day', day, 'taken', taken + 1)
redis.call('EXPIRE', KEYS[1], 172800)
return 1
`)

// TakeReissue asks for one of the day's calls that buy a lost answer again, and tells whether there was one left; perDay
// of 0 gives none. The count is one for the whole fleet, by UTC days of Redis' clock. A reply that is lost on the way
// back may count one twice: the error is on the side of fewer calls.
func (h *Hints) TakeReissue(ctx context.Context, perDay int) (bool, error) {
	taken, err := takeScript.Run(ctx, h.client, []string{accountKey("reissues")}, perDay).Int()
	if err != nil {
		return false, fmt.Errorf("take a reissue: %w", err)
	}
	return taken == 1, nil
}
