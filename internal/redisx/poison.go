package redisx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// poisonLife is how long a job's count outlives its last raise.
const poisonLife = 24 * time.Hour

func poisonKey(kind, id string) string { return kindKey(kind, "poison:"+id) }

// RaisePoison counts one more beginning of the handling of a job's foreign bytes, and returns the count, this one
// included. Whoever kills its worker leaves the count raised; losing it costs a few more worker lives.
func (h *Hints) RaisePoison(ctx context.Context, kind, id string) (int64, error) {
	var count *redis.IntCmd
	_, err := h.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		count = pipe.Incr(ctx, poisonKey(kind, id))
		pipe.Expire(ctx, poisonKey(kind, id), poisonLife)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("raise the poison count: %w", err)
	}
	return count.Val(), nil
}

// ClearPoison forgets the count: the bytes were handled, well or not.
func (h *Hints) ClearPoison(ctx context.Context, kind, id string) error {
	if err := h.client.Del(ctx, poisonKey(kind, id)).Err(); err != nil {
		return fmt.Errorf("clear the poison count: %w", err)
	}
	return nil
}

// PoisonCount reads the count without raising it.
func (h *Hints) PoisonCount(ctx context.Context, kind, id string) (int64, error) {
	n, err := h.client.Get(ctx, poisonKey(kind, id)).Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("read the poison count: %w", err)
	}
	return n, nil
}
