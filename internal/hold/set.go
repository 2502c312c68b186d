package hold

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// ErrNotHeld is returned by ResumeHolds.
var ErrNotHeld = errors.New("there is no such hold")

// The keys that the gate's scripts read: the hash of holds, and the revision of the pauses in it, without which no slot is
// granted.
const (
	Key         = "kycq:{gate}:hold"
	RevisionKey = "kycq:{gate}:revision"
)

// Set is the set of holds in Redis, as this process sees it.
type Set struct {
	redis    redis.UniversalClient
	revision atomic.Int64
}

// NewSet uses the server of client.
func NewSet(client redis.UniversalClient) *Set { return &Set{redis: client} }

// testScript starts or ends the test of holds. KEYS[1] the hash of holds; ARGV[1] 1: start, and forget what was counted
// towards the hold; ARGV[2] a value for fields that are missing, or empty; the rest are fields. It returns how many
// fields there were.
var testScript = redis.NewScript(`
local existed = 0
for i = 3, #ARGV do
  if ARGV[1] == '1' then redis.call('DEL', KEYS[1] .. ':' .. ARGV[i]) end
  local value = redis.call('HGET', KEYS[1], ARGV[i])
  if value then
    existed = existed + 1
    local h = cjson.decode(value)
    h.probing, h.token, h.token_until = ARGV[1] == '1' or nil, nil, nil
    value = cjson.encode(h)
  else
    value = ARGV[2]
  end
  if value ~= '' then redis.call('HSET', KEYS[1], ARGV[i], value) end
end
return existed
`)

// RaiseHold stops the kind of h, or every kind, in the whole fleet until ResumeHolds or ClearHold. first is true for the one
// caller that raised it; a hold of the same cause and kind stays as it is, and one that is being tested is restored. Since
// (by Redis' clock), Host and Worker are set here. Pauses are raised in S3 first, by internal/pauses.
func (s *Set) RaiseHold(ctx context.Context, h Hold) (first bool, err error) {
	if err := s.stamp(ctx, &h); err != nil {
		return false, err
	}
	existed, err := testScript.Run(ctx, s.redis, []string{Key}, 0, h.value(), h.field()).Int()
	if err != nil {
		return false, fmt.Errorf("raise the hold: %w", err)
	}
	return existed == 0, nil
}

// stamp notes when and where a hold is raised.
func (s *Set) stamp(ctx context.Context, h *Hold) error {
	at, err := s.redis.Time(ctx).Result()
	if err != nil {
		return fmt.Errorf("raise the hold: %w", err)
	}
	h.Host, _ = os.Hostname()
	h.Since, h.Worker, h.Probing = at.UTC(), strconv.Itoa(os.Getpid()), false
	return nil
}

// ResumeHolds lets one test call through for each hold: an answer to a call that it covers lifts it, a refusal restores it,
// unless it was a pause. It returns ErrNotHeld if none of the holds is there.
func (s *Set) ResumeHolds(ctx context.Context, holds ...Hold) error {
	args := []any{1, ""}
	for _, h := range holds {
		args = append(args, h.field())
	}
	switch existed, err := testScript.Run(ctx, s.redis, []string{Key}, args...).Int(); {
	case err != nil:
		return fmt.Errorf("resume: %w", err)
	case existed == 0:
		return ErrNotHeld
	}
	return nil
}

// ClearHold lifts a hold without a test call. It is no error if there is none.
func (s *Set) ClearHold(ctx context.Context, cause, kind string) error {
	if err := s.redis.HDel(ctx, Key, Hold{Cause: cause, Kind: kind}.field()).Err(); err != nil {
		return fmt.Errorf("clear the hold: %w", err)
	}
	return nil
}

// Holds returns all holds: pauses first, then those that are not being tested, then by age.
func (s *Set) Holds(ctx context.Context) ([]Hold, error) { return read(ctx, s.redis) }

func read(ctx context.Context, client redis.Cmdable) ([]Hold, error) {
	fields, err := client.HGetAll(ctx, Key).Result()
	if err != nil {
		return nil, fmt.Errorf("read the holds: %w", err)
	}
	all := []Hold{}
	for field, value := range fields {
		var h Hold
		_ = json.Unmarshal([]byte(value), &h) // an unreadable one stops all calls, too
		h.Cause, h.Kind, _ = strings.Cut(field, ":")
		all = append(all, h)
	}
	slices.SortFunc(all, order)
	return all, nil
}

func (h Hold) value() []byte {
	value, _ := json.Marshal(h) // never fails
	return value
}
