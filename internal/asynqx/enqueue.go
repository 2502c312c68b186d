package asynqx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// freeScript: KEYS[1] the task, KEYS[2] pending, KEYS[3] active, KEYS[4..8] scheduled, retry, completed, archived, lease;
// ARGV[1] the id, ARGV[2] the prefix of tasks, ARGV[3] searchLimit, ARGV[4] overdue in nanoseconds.
//
// asynq changes a task's state and its place in one script, so the state says where the id must be. The place is checked,
// too: asynq leaves an active task in no list if it gives the task back after its lease entry is gone, and an operator or
// an eviction may remove a key. The pending list may hold a million ids and is never searched as a whole. It is in the
// order of pending_since, but for tasks that a worker gave back: those have none, and are next. So a task is missing from
// a long list if it is much older than the next one and not among the next searchLimit.
var freeScript = redis.NewScript(`
local id, prefix, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local task = redis.call('HMGET', KEYS[1], 'msg', 'state', 'pending_since')
local state, since = task[2], task[3] and tonumber(task[3])

local function pending()
	if since and redis.call('LLEN', KEYS[2]) > limit then
		local oldest = redis.call('HGET', prefix .. redis.call('LINDEX', KEYS[2], -1), 'pending_since')
		if not oldest or since > tonumber(oldest) - tonumber(ARGV[4]) then return true end
	end
	return redis.call('LPOS', KEYS[2], id, 'RANK', -1, 'MAXLEN', limit)
end

if task[1] and (
	state == 'pending' and pending() or
	state == 'active' and redis.call('LPOS', KEYS[3], id) or
	state == 'scheduled' and redis.call('ZSCORE', KEYS[4], id) or
	state == 'retry' and redis.call('ZSCORE', KEYS[5], id)) then
	return 0
end
if state == 'pending' and not task[1] then redis.call('LREM', KEYS[2], 0, id) end
redis.call('LREM', KEYS[3], 0, id)
for i = 4, 8 do redis.call('ZREM', KEYS[i], id) end
redis.call('DEL', KEYS[1])
return 1
`)

const (
	// searchLimit is how many ids of the pending list are compared with one; 1,000 take about 20 µs of Redis' time.
	searchLimit = 1000
	// overdue is how much older than the next task in a long list one must be that is missing from it. S3 refuses
	// producers whose clocks are off by a quarter of an hour.
	overdue = time.Hour
)

// freeTaskID removes a task that blocks its id although it will never be delivered again: a completed or archived task,
// or the remains of a task after Redis lost some of its keys. It returns false, and changes nothing, if the task is
// pending, scheduled, waiting for a retry or active.
func freeTaskID(ctx context.Context, client redis.UniversalClient, queue, id string) (freed bool, err error) {
	k := KeysOf(queue)
	keys := []string{k.TaskPrefix + id, k.Pending, k.Active, k.Scheduled, k.Retry, k.Completed, k.Archived, k.Lease}
	n, err := freeScript.Run(ctx, client, keys, id, k.TaskPrefix, searchLimit, overdue.Nanoseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("free the task id: %w", err)
	}
	return n == 1, nil
}

// Enqueue adds a task with an id of the caller's choice to a queue. It returns false if a task with this id is in the
// queue and will be delivered. A task with this id that has ended is removed first. A task whose id is missing from a long
// pending list counts as being in the queue until it is overdue. Both clients must be of the same server.
func Enqueue(
	ctx context.Context, tasks *asynq.Client, client redis.UniversalClient, queue, id string, task *asynq.Task,
) (added bool, err error) {
	for range 2 {
		_, err := tasks.EnqueueContext(ctx, task, asynq.Queue(queue), asynq.TaskID(id))
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, asynq.ErrTaskIDConflict) {
			return false, fmt.Errorf("enqueue: %w", err)
		}
		freed, err := freeTaskID(ctx, client, queue, id)
		if err != nil {
			return false, fmt.Errorf("enqueue: %w", err)
		}
		if !freed {
			return false, nil
		}
	}
	// Two conflicts in a row: another producer is enqueuing this id.
	return false, nil
}
