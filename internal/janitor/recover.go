package janitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/asynqx"
)

// Watch brings back the tasks of dead workers until ctx ends. Every worker may do so: each task comes back once.
func (j *Janitor) Watch(ctx context.Context) {
	ticker := time.NewTicker(recoverEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if _, err := j.Recover(ctx); err != nil && ctx.Err() == nil {
			j.log.Warn().Err(err).Msg("janitor: the tasks of dead workers are looked for again soon")
		}
	}
}

// Recover puts every task whose lease has been over for leaseMargin to the front of its queue, and tells how many there
// were. It does what asynq's recoverer does, only sooner, and without counting it as a retry of the task.
func (j *Janitor) Recover(ctx context.Context) (tasks int, err error) {
	var errs []error
	for _, queue := range j.queues {
		n, err := j.recover(ctx, asynqx.KeysOf(queue))
		if n > 0 {
			j.log.Info().Str("queue", queue).Int("tasks", n).Msg("janitor: brought back the tasks of a dead worker")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("janitor: queue %s: look for leases that are over: %w", queue, err))
		}
		tasks += n
	}
	return tasks, errors.Join(errs...)
}

// recoverScript: KEYS[1] lease, KEYS[2] active, KEYS[3] pending; ARGV[1] the moment before which a lease must have ended
// (unix seconds), ARGV[2] the prefix of a task, ARGV[3] the most to handle, ARGV[4] now (unix nanoseconds). It returns how
// many leases were over and how many tasks came back. The end of the list is where asynq takes the next task from.
var recoverScript = redis.NewScript(`
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
local back = 0
for _, id in ipairs(ids) do
	redis.call('ZREM', KEYS[1], id)
	if redis.call('LREM', KEYS[2], 0, id) > 0 and redis.call('HEXISTS', ARGV[2] .. id, 'msg') == 1 then
		redis.call('HSET', ARGV[2] .. id, 'state', 'pending', 'pending_since', ARGV[4])
		redis.call('RPUSH', KEYS[3], id)
		back = back + 1
	end
end
return {#ids, back}
`)

func (j *Janitor) recover(ctx context.Context, keys asynqx.Keys) (tasks int, err error) {
	for {
		now := time.Now()
		n, err := recoverScript.Run(ctx, j.client, []string{keys.Lease, keys.Active, keys.Pending},
			now.Add(-leaseMargin).Unix(), keys.TaskPrefix, chunk, now.UnixNano()).Int64Slice()
		if err != nil {
			return tasks, err
		}
		tasks += int(n[1])
		if n[0] < chunk {
			return tasks, nil
		}
	}
}
