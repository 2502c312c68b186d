package redisx

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// Hints stores crash counts, kept answers and the count of reissues. It is safe for concurrent use.
type Hints struct{ client redis.UniversalClient }

// NewHints stores them in the server of client.
func NewHints(client redis.UniversalClient) *Hints { return &Hints{client: client} }

// crashCountLife starts again at each increment.
const crashCountLife = 24 * time.Hour

func crashKey(kind, id string) string { return kindKey(kind, "poison:"+id) }

// RaiseCrashCount increments a job's crash count and returns it. It is called before untrusted bytes are parsed and
// undone by ClearCrashCount: a worker that crashes in between leaves the count raised.
func (h *Hints) RaiseCrashCount(ctx context.Context, kind, id string) (int64, error) {
	pipe := h.client.TxPipeline()
	count := pipe.Incr(ctx, crashKey(kind, id))
	pipe.Expire(ctx, crashKey(kind, id), crashCountLife)
	_, err := pipe.Exec(ctx)
	return count.Val(), wrap("raise the crash count", err)
}

// ClearCrashCount deletes the count.
func (h *Hints) ClearCrashCount(ctx context.Context, kind, id string) error {
	return wrap("clear the crash count", h.client.Del(ctx, crashKey(kind, id)).Err())
}

// CrashCount reads the count; 0 if there is none.
func (h *Hints) CrashCount(ctx context.Context, kind, id string) (int64, error) {
	n, err := h.client.Get(ctx, crashKey(kind, id)).Int64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return n, wrap("read the crash count", err)
}

// answerLife bounds how long an answer survives an outage of S3.
const answerLife = 7 * 24 * time.Hour

func answerKey(kind, id string) string { return kindKey(kind, "answer:"+id) }

// KeepAnswer stores an answer that could not be written to S3. It replaces an earlier one. The text must be sealed.
// Workers look for a kept answer before they call the vendor again.
func (h *Hints) KeepAnswer(ctx context.Context, kind, id, sealed string) error {
	return wrap("keep the answer", h.client.Set(ctx, answerKey(kind, id), sealed, answerLife).Err())
}

// KeptAnswer returns the sealed answer of a job; ok is false if there is none.
func (h *Hints) KeptAnswer(ctx context.Context, kind, id string) (sealed string, ok bool, err error) {
	sealed, err = h.client.Get(ctx, answerKey(kind, id)).Result()
	if errors.Is(err, redis.Nil) {
		return "", false, nil
	}
	return sealed, err == nil, wrap("read the kept answer", err)
}

// DropAnswer deletes the kept answer of a job, if there is one.
func (h *Hints) DropAnswer(ctx context.Context, kind, id string) error {
	return wrap("delete the kept answer", h.client.Del(ctx, answerKey(kind, id)).Err())
}

// reissueScript: KEYS[1] a hash of the day and the number taken on it, ARGV[1] the limit. The key expires after two days
// without a reissue.
var reissueScript = redis.NewScript(`
local day = math.floor(tonumber(redis.call('TIME')[1]) / 86400)
local seen = tonumber(redis.call('HGET', KEYS[1], 'day'))
local taken = 0
if seen == day then taken = tonumber(redis.call('HGET', KEYS[1], 'taken')) or 0 end
if taken >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'day', day, 'taken', taken + 1)
redis.call('EXPIRE', KEYS[1], 172800)
return 1
`)

// TakeReissue counts one repeated call for a lost answer, and returns false if perDay of them were counted today. The
// count is shared by the fleet; a day is a UTC day of Redis' clock. A lost reply of Redis may count a reissue twice, never
// less than once.
func (h *Hints) TakeReissue(ctx context.Context, perDay int) (bool, error) {
	taken, err := reissueScript.Run(ctx, h.client, []string{accountKey("reissues")}, perDay).Int()
	return taken == 1, wrap("take a reissue", err)
}
