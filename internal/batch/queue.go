package batch

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/tasks"
)

const (
	// budget is how many minutes of calls a bulk queue holds, over all batches. It is small because a job that is retried is
	// queued behind them.
	budget = 3
	// minDepth keeps workers busy at any rate, maxDepth keeps Redis small at a very high one: 2,000 tasks are about 2 MB.
	minDepth, maxDepth = 64, 2000
	// maxOutstanding is the most open rows of one batch in the queue, including those that wait for a retry.
	maxOutstanding = 2000
	// minQuota is the least that a batch may have in the queue, however many batches there are.
	minQuota = 16
	// activeFor is how long after its last feed step a batch counts as being fed.
	activeFor = time.Minute
)

// queueDepth is the state of the bulk queue of a kind.
type queueDepth struct {
	paused  bool
	pending int // waiting for a worker
	delayed int // scheduled or waiting for a retry
	batches int // batches of the kind that are being fed, at least 1
}

// queueDepth counts the queue, and notes that the batch is being fed.
func (f *Feeder) queueDepth(ctx context.Context, b *Batch) (queueDepth, error) {
	depth, err := asynqx.ReadDepth(ctx, f.Redis, tasks.Queue(b.Kind, tasks.Bulk))
	if err != nil {
		return queueDepth{}, err
	}
	at, feeding := time.Now(), feedingKey(b.Kind)
	pipe := f.Redis.Pipeline()
	pipe.ZAdd(ctx, feeding, redis.Z{Score: float64(at.UnixMilli()), Member: b.ID})
	pipe.ZRemRangeByScore(ctx, feeding, "-inf", strconv.FormatInt(at.Add(-activeFor).UnixMilli(), 10))
	batches := pipe.ZCard(ctx, feeding)
	if _, err := pipe.Exec(ctx); err != nil {
		return queueDepth{}, fmt.Errorf("count the batches that are being fed: %w", err)
	}
	return queueDepth{
		paused: depth.Paused, pending: int(depth.Pending), delayed: int(depth.Retry + depth.Scheduled),
		batches: int(max(1, batches.Val())),
	}, nil
}

// targetDepth is how many tasks a bulk queue should hold at that many calls a minute.
func targetDepth(perMinute float64) int {
	return int(min(max(perMinute*budget, minDepth), maxDepth))
}

// room is how many rows the batch may feed now.
func (q queueDepth) room(p *Progress, outstanding, target int) int {
	quota := max(target/q.batches, minQuota)
	// Delayed tasks do not count towards the quota: others may go first.
	n := min(quota+q.delayed, maxOutstanding) - outstanding
	n = min(n, target+quota-q.pending)
	if p.MaxCalls > 0 {
		n = min(n, p.MaxCalls-p.Calls-outstanding)
	}
	return max(n, 0)
}
