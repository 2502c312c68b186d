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
	// budget is how many minutes of calls stand in a bulk queue, over all batches. A retried job waits behind them, and
	// must be called again within ten minutes.
	budget = 3
	// minDepth keeps workers busy at any rate, maxDepth keeps Redis small at no limit: 2,000 tasks are about 2 MB.
	minDepth, maxDepth = 64, 2000
	// maxOutstanding is the most rows of one batch that were fed and are open, those that wait for a retry included.
	maxOutstanding = 2000
	// minQuota is the least that a batch may have in the queue, however many batches there are.
	minQuota = 16
	// activeFor is how long after its last turn a batch counts as being fed.
	activeFor = time.Minute
)

// line is the bulk queue of a kind, as asynq keeps it. asynq's own GetQueueInfo fails for a whole queue when one task's
// key is missing, so the lists are counted.
type line struct {
	held    bool
	pending int // waiting for a worker
	parked  int // waiting for their time
	active  int // batches of the kind that are being fed
}

func activeKey(k tasks.Kind) string { return "kycq:{" + string(k) + "}:feeding" }

// line counts the queue, and notes that the batch is being fed.
func (f *Feeder) line(ctx context.Context, b *Batch) (line, error) {
	queue := asynqx.KeysOf(tasks.Queue(b.Kind, tasks.Bulk))
	at := time.Now()
	pipe := f.Redis.Pipeline()
	held := pipe.Exists(ctx, queue.Paused)
	pending := pipe.LLen(ctx, queue.Pending)
	retry := pipe.ZCard(ctx, queue.Retry)
	scheduled := pipe.ZCard(ctx, queue.Scheduled)
	pipe.ZAdd(ctx, activeKey(b.Kind), redis.Z{Score: float64(at.UnixMilli()), Member: b.ID})
	pipe.ZRemRangeByScore(ctx, activeKey(b.Kind), "-inf", strconv.FormatInt(at.Add(-activeFor).UnixMilli(), 10))
	active := pipe.ZCard(ctx, activeKey(b.Kind))
	if _, err := pipe.Exec(ctx); err != nil {
		return line{}, fmt.Errorf("look at the queue: %w", err)
	}
	return line{
		held: held.Val() > 0, pending: int(pending.Val()), parked: int(retry.Val() + scheduled.Val()), active: int(max(1, active.Val())),
	}, nil
}

// depth is how many tasks of a kind should stand in its bulk queue at that many calls a minute.
func depth(perMinute float64) int {
	return int(min(max(perMinute*budget, minDepth), maxDepth))
}

// room is how many rows the batch may feed now.
func (l line) room(p *Progress, outstanding, depth int) int {
	quota := max(depth/l.active, minQuota)
	// Tasks that wait for their time do not stand in the line: others may go before them.
	n := min(quota+l.parked, maxOutstanding) - outstanding
	n = min(n, depth+quota-l.pending)
	if p.Cap > 0 {
		n = min(n, p.Cap-p.Calls-outstanding)
	}
	return max(n, 0)
}
