package asynqx

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Depth is the number of tasks of a queue in each of asynq's states.
type Depth struct {
	Paused    bool  `json:"-"`
	Pending   int64 `json:"pending"`   // ready, waiting for a worker
	Active    int64 `json:"active"`    // being processed
	Scheduled int64 `json:"scheduled"` // delayed by the producer
	Retry     int64 `json:"retry"`     // returned by a worker, delayed
	Archived  int64 `json:"archived"`
}

// Waiting is the number of unfinished tasks.
func (d Depth) Waiting() int64 { return d.Pending + d.Active + d.Scheduled + d.Retry }

// ReadDepth counts the tasks of a queue. asynq's GetQueueInfo also reads one task, and fails for the whole queue if the
// key of that task is missing.
func ReadDepth(ctx context.Context, client redis.UniversalClient, queue string) (Depth, error) {
	k := KeysOf(queue)
	pipe := client.Pipeline()
	paused := pipe.Exists(ctx, k.Paused)
	pending, active := pipe.LLen(ctx, k.Pending), pipe.LLen(ctx, k.Active)
	scheduled, retry, archived := pipe.ZCard(ctx, k.Scheduled), pipe.ZCard(ctx, k.Retry), pipe.ZCard(ctx, k.Archived)
	if _, err := pipe.Exec(ctx); err != nil {
		return Depth{}, fmt.Errorf("count the tasks of queue %s: %w", queue, err)
	}
	return Depth{
		Paused: paused.Val() > 0, Pending: pending.Val(), Active: active.Val(),
		Scheduled: scheduled.Val(), Retry: retry.Val(), Archived: archived.Val(),
	}, nil
}
