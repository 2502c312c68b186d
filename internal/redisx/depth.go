package redisx

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Depth is how many tasks of a queue are in each of asynq's states.
type Depth struct {
	Pending   int64 `json:"pending"`   // waiting for a worker
	Active    int64 `json:"active"`    // in a worker's hands
	Scheduled int64 `json:"scheduled"` // waiting for their time
	Retry     int64 `json:"retry"`     // given back, waiting for their time
	Archived  int64 `json:"archived"`
}

// Waiting counts what is still to be worked on.
func (d Depth) Waiting() int64 { return d.Pending + d.Active + d.Scheduled + d.Retry }

// ReadDepth counts a queue by asynq's own keys. asynq's GetQueueInfo reads a task besides, and fails for the whole queue
// when that one task's key is gone.
func ReadDepth(ctx context.Context, client redis.UniversalClient, queue string) (Depth, error) {
	key := func(state string) string { return "asynq:{" + queue + "}:" + state }
	pipe := client.Pipeline()
	pending, active := pipe.LLen(ctx, key("pending")), pipe.LLen(ctx, key("active"))
	scheduled, retry, archived := pipe.ZCard(ctx, key("scheduled")), pipe.ZCard(ctx, key("retry")), pipe.ZCard(ctx, key("archived"))
	if _, err := pipe.Exec(ctx); err != nil {
		return Depth{}, fmt.Errorf("count queue %s: %w", queue, err)
	}
	return Depth{
		Pending: pending.Val(), Active: active.Val(), Scheduled: scheduled.Val(), Retry: retry.Val(), Archived: archived.Val(),
	}, nil
}
