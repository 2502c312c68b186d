package gate

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Hold stops the whole account, every kind, for a reason that a person must fix.
type Hold struct {
	Reason     string    `json:"reason"`                // for the operator: "insufficient balance"
	Code       string    `json:"code,omitempty"`        // the vendor's code, or one of kycq's own
	NextAction string    `json:"next_action,omitempty"` // what the operator has to do
	By         string    `json:"by,omitempty"`          // a worker, or the operator who raised it
	Since      time.Time `json:"since"`                 // by Redis' clock; set by RaiseHold
	Probing    bool      `json:"probing,omitempty"`     // resumed: the next call is the test call
}

const holdKey = "kycq:{gate}:hold"

// holdScript: KEYS[1] the hold; ARGV[1] probing; the rest are fields and values of a hold to raise if there is none. It
// returns 1 if there was a hold.
var holdScript = redis.NewScript(`
local existed = redis.call('EXISTS', KEYS[1])
if existed == 0 and #ARGV == 1 then return 0 end
redis.call('HSET', KEYS[1], 'probing', ARGV[1], 'token', '')
if existed == 0 then
  local t = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'since', string.format('%.0f', t[1] * 1000000 + t[2]), unpack(ARGV, 2))
end
return existed
`)

// RaiseHold stops every kind in the whole fleet until Resume or ClearHold. first is true for the one caller that raised
// it; a hold that is being tested is restored. Since and Probing of h are ignored.
func (g *Gate) RaiseHold(ctx context.Context, h Hold) (first bool, err error) {
	existed, err := holdScript.Run(ctx, g.cfg.Redis, []string{holdKey}, 0,
		"reason", h.Reason, "code", h.Code, "next_action", h.NextAction, "by", h.By).Int()
	if err != nil {
		return false, fmt.Errorf("raise the hold: %w", err)
	}
	return existed == 0, nil
}

// Resume lets one test call of any kind through: an answer lifts the hold, a refusal restores it. It returns ErrNotHeld
// if there is no hold.
func (g *Gate) Resume(ctx context.Context) error {
	switch existed, err := holdScript.Run(ctx, g.cfg.Redis, []string{holdKey}, 1).Int(); {
	case err != nil:
		return fmt.Errorf("resume: %w", err)
	case existed == 0:
		return ErrNotHeld
	}
	return nil
}

// ClearHold lifts the hold without a test call. It is no error if there is none.
func (g *Gate) ClearHold(ctx context.Context) error {
	if err := g.cfg.Redis.Del(ctx, holdKey).Err(); err != nil {
		return fmt.Errorf("clear the hold: %w", err)
	}
	return nil
}

// Hold returns the hold, or nil.
func (g *Gate) Hold(ctx context.Context) (*Hold, error) {
	fields, err := g.cfg.Redis.HGetAll(ctx, holdKey).Result()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the hold: %w", err)
	case len(fields) == 0:
		return nil, nil
	}
	since, _ := strconv.ParseInt(fields["since"], 10, 64)
	return &Hold{
		Reason: fields["reason"], Code: fields["code"], NextAction: fields["next_action"], By: fields["by"],
		Since: time.UnixMicro(since).UTC(), Probing: fields["probing"] == "1",
	}, nil
}
