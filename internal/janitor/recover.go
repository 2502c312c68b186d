package janitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/sleep"
)

// Watch calls Recover every recoverInterval until ctx ends. Every worker may run it: each task is recovered once.
func (j *Janitor) Watch(ctx context.Context) {
	for sleep.For(ctx, recoverInterval) == nil {
		if _, err := j.Recover(ctx); err != nil && ctx.Err() == nil {
			j.log.Warn().Err(err).Dur("retry_in_ms", recoverInterval).Msg("janitor: recovering the tasks of dead workers failed")
		}
	}
}

// Recover moves every task whose lease expired leaseMargin ago to the front of its queue, and returns the number of tasks.
// asynq's recoverer does the same, only later, and counts it as a retry of the task.
func (j *Janitor) Recover(ctx context.Context) (tasks int, err error) {
	var errs []error
	for _, queue := range j.queues {
		keys := asynqx.KeysOf(queue)
		sum, err := j.repeat(ctx, recoverScript, []string{keys.Lease, keys.Active, keys.Pending}, func(counts) []any {
			now := time.Now()
			return []any{now.Add(-leaseMargin).Unix(), keys.TaskPrefix, chunk, now.UnixNano()}
		})
		n := sum[1]
		if n > 0 {
			j.log.Info().Str("queue", queue).Int("tasks", n).Msg("janitor: recovered the tasks of a dead worker")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("janitor: queue %s: recover tasks: %w", queue, err))
		}
		tasks += n
	}
	return tasks, errors.Join(errs...)
}

// recoverScript: KEYS[1] lease, KEYS[2] active, KEYS[3] pending; ARGV[1] the time before which a lease must have ended (unix
// seconds), ARGV[2] the key prefix of a task, ARGV[3] the most leases to handle, ARGV[4] now (unix nanoseconds). It returns
// the number of expired leases and of recovered tasks. asynq takes the next task from the right end of the pending list.
var recoverScript = redis.NewScript(`
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
local recovered = 0
for _, id in ipairs(ids) do
	redis.call('ZREM', KEYS[1], id)
	if redis.call('LREM', KEYS[2], 0, id) > 0 and redis.call('HEXISTS', ARGV[2] .. id, 'msg') == 1 then
		redis.call('HSET', ARGV[2] .. id, 'state', 'pending', 'pending_since', ARGV[4])
		redis.call('RPUSH', KEYS[3], id)
		recovered = recovered + 1
	end
end
return {#ids, recovered}
`)
