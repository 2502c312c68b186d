package redisx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// crashCountLife is how long a job's crash count outlives its last increment.
const crashCountLife = 24 * time.Hour

func crashKey(kind, id string) string { return kindKey(kind, "poison:"+id) }

// RaiseCrashCount increments a job's crash count and returns it. It is called before untrusted bytes are parsed and
// undone by ClearCrashCount: a worker that crashes in between leaves the count raised.
func (h *Hints) RaiseCrashCount(ctx context.Context, kind, id string) (int64, error) {
	var count *redis.IntCmd
	_, err := h.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		count = pipe.Incr(ctx, crashKey(kind, id))
		pipe.Expire(ctx, crashKey(kind, id), crashCountLife)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("raise the crash count: %w", err)
	}
	return count.Val(), nil
}

// ClearCrashCount deletes the count.
func (h *Hints) ClearCrashCount(ctx context.Context, kind, id string) error {
	if err := h.client.Del(ctx, crashKey(kind, id)).Err(); err != nil {
		return fmt.Errorf("clear the crash count: %w", err)
	}
	return nil
}

// CrashCount reads the count; 0 if there is none.
func (h *Hints) CrashCount(ctx context.Context, kind, id string) (int64, error) {
	n, err := h.client.Get(ctx, crashKey(kind, id)).Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("read the crash count: %w", err)
	}
	return n, nil
}
