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

const (
	// lookEvery is the interval of looks at the leases. A lease that is the same in deadLooks looks in a row, so for 10 s, is
	// not extended by a live worker, which does so every 5 s. The score is only compared with itself, so no clock matters.
	lookEvery = 2 * time.Second
	deadLooks = 6
	// slowLook is how long a look may take. If it takes longer, or fails, a live worker's extension may be late too: the
	// counts start anew.
	slowLook = time.Second
	// mostLeases is how many leases of a queue are looked at, those that end first. A dead worker's are among them.
	mostLeases = 1000
)

// leaseID names the lease of a task.
type leaseID struct{ queue, task string }

// seen is the end of a lease, and in how many looks it was the same.
type seen struct {
	ends  float64
	looks int
}

// Watch calls Recover every lookEvery until ctx ends. Every worker may run it: each task is recovered once.
func (j *Janitor) Watch(ctx context.Context) {
	down := false
	for sleep.For(ctx, lookEvery) == nil {
		_, err := j.Recover(ctx)
		if err != nil && !down && ctx.Err() == nil {
			j.log.Warn().Err(err).Msg("janitor: looking for the tasks of dead workers fails: it is repeated")
		}
		down = err != nil
	}
}

// Recover looks at the leases once. It moves every task whose lease was not extended lately to the front of its queue, and
// returns the number of tasks. Besides those of dead workers, these are tasks that a worker was sent but did not get, and
// tasks whose lease ended during an outage of Redis. asynq does this a minute later, and counts it as a retry of the task.
//
// A worker that is stopped for 10 s loses its tasks to others, which is safe: the record decides who makes the call.
func (j *Janitor) Recover(ctx context.Context) (tasks int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := j.leases
	j.leases = map[leaseID]seen{}
	began := time.Now()
	pipe := j.client.Pipeline()
	keys := make([]string, 0, len(j.queues))
	for _, queue := range j.queues {
		keys = append(keys, asynqx.KeysOf(queue).Lease)
		pipe.ZRangeWithScores(ctx, asynqx.KeysOf(queue).Lease, 0, mostLeases-1)
	}
	if n, err := j.client.Exists(ctx, keys...).Result(); err == nil && n == 0 { // one command while no job runs
		return 0, nil
	}
	found, err := pipe.Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("janitor: read the leases: %w", err)
	}
	if sleep.Elapsed(began) > slowLook {
		return 0, nil
	}
	var errs []error
	for i, queue := range j.queues {
		var dead []any
		for _, z := range found[i].(*redis.ZSliceCmd).Val() {
			id := leaseID{queue, z.Member.(string)}
			now := seen{z.Score, 1}
			if last := before[id]; last.ends == z.Score {
				now.looks += last.looks
			}
			if j.leases[id] = now; now.looks >= deadLooks {
				dead = append(dead, id.task, z.Score)
			}
		}
		n, err := j.putBack(ctx, queue, dead)
		tasks, errs = tasks+n, append(errs, err)
	}
	return tasks, errors.Join(errs...)
}

// putBack makes tasks pending, given as pairs of an id and the end of its lease.
func (j *Janitor) putBack(ctx context.Context, queue string, leases []any) (int, error) {
	if len(leases) == 0 {
		return 0, nil
	}
	keys := asynqx.KeysOf(queue)
	args := append([]any{keys.TaskPrefix, time.Now().UnixNano()}, leases...)
	n, err := recoverScript.Run(ctx, j.client, []string{keys.Lease, keys.Active, keys.Pending}, args...).Int()
	if err != nil {
		return 0, fmt.Errorf("janitor: queue %s: recover tasks: %w", queue, err)
	}
	if n > 0 {
		j.log.Info().Str("queue", queue).Int("tasks", n).Msg("janitor: recovered tasks whose leases were not extended")
	}
	return n, nil
}

// recoverScript: KEYS[1] lease, KEYS[2] active, KEYS[3] pending; ARGV[1] the key prefix of a task, ARGV[2] now (unix
// nanoseconds), then pairs of an id and the end of its lease. It returns the number of recovered tasks. asynq takes the next
// task from the right end of the pending list.
var recoverScript = redis.NewScript(`
local recovered = 0
for i = 3, #ARGV, 2 do
	local id = ARGV[i]
	if tonumber(redis.call('ZSCORE', KEYS[1], id) or '') == tonumber(ARGV[i + 1]) then
		redis.call('ZREM', KEYS[1], id)
		if redis.call('LREM', KEYS[2], 0, id) > 0 and redis.call('HEXISTS', ARGV[1] .. id, 'msg') == 1 then
			redis.call('HSET', ARGV[1] .. id, 'state', 'pending', 'pending_since', ARGV[2])
			redis.call('RPUSH', KEYS[3], id)
			recovered = recovered + 1
		end
	end
end
return recovered
`)
