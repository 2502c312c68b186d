package asynqx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// drivenScript: KEYS[1] pending, KEYS[2] active, KEYS[3] lease, KEYS[4..7] scheduled, retry, completed, archived; ARGV[1]
// the prefix of tasks, ARGV[2] searchLimit, ARGV[3] overdue in nanoseconds, ARGV[4] the longest delay in seconds, ARGV[5]
// leaseGrace in seconds, ARGV[6] 1 to remove what is left of tasks that will not be delivered, ARGV[7..] the ids. It returns
// 1 for each id whose task will be delivered, else 0.
//
// asynq changes a task's state and its place in one script, so the state says where the id must be. The place is checked,
// too: asynq leaves an active task in no list if it gives the task back after its lease entry is gone, and an operator or
// an eviction may remove a key. The pending list may hold a million ids and is never searched as a whole. It is in the
// order of pending_since, but for tasks that a worker gave back: those have none, and are next. So a task is missing from
// a long list if it is much older than the next one and not among the next searchLimit.
var drivenScript = redis.NewScript(`
local prefix, limit, overdue = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(redis.call('TIME')[1])

local function pending(id, since)
	since = since and tonumber(since)
	if since and redis.call('LLEN', KEYS[1]) > limit then
		local oldest = redis.call('HGET', prefix .. redis.call('LINDEX', KEYS[1], -1), 'pending_since')
		if not oldest or since > tonumber(oldest) - overdue then return true end
	end
	return redis.call('LPOS', KEYS[1], id, 'RANK', -1, 'MAXLEN', limit)
end

local function driven(id, task)
	local state = task[2]
	if type(task[1]) ~= 'string' then return false end
	if state == 'pending' then return pending(id, task[3]) end
	if state == 'active' then
		local lease = redis.call('ZSCORE', KEYS[3], id)
		return lease and tonumber(lease) > now - tonumber(ARGV[5]) and redis.call('LPOS', KEYS[2], id)
	end
	local at = state == 'scheduled' and redis.call('ZSCORE', KEYS[4], id) or state == 'retry' and redis.call('ZSCORE', KEYS[5], id)
	return at and tonumber(at) <= now + tonumber(ARGV[4])
end

local results = {}
for i = 7, #ARGV do
	local id = ARGV[i]
	local task = redis.pcall('HMGET', prefix .. id, 'msg', 'state', 'pending_since')
	local found = driven(id, task)
	if not found and ARGV[6] == '1' then
		if task.err or task[2] == 'pending' and not task[1] then redis.call('LREM', KEYS[1], 0, id) end
		redis.call('LREM', KEYS[2], 0, id)
		for k = 3, 7 do redis.call('ZREM', KEYS[k], id) end
		redis.call('DEL', prefix .. id)
	end
	results[#results + 1] = found and 1 or 0
end
return results
`)

const (
	// searchLimit is how many ids of the pending list are compared with one; 1,000 take about 20 µs of Redis' time.
	searchLimit = 1000
	// overdue is how much older than the next task in a long list one must be that is missing from it. S3 refuses
	// producers whose clocks are off by a quarter of an hour.
	overdue = time.Hour
	// leaseGrace is how long after its end a lease counts. Workers recover the tasks of a dead one within a minute.
	leaseGrace = 5 * time.Minute
	// driveChunk bounds one script, which blocks Redis while it runs.
	driveChunk = 100
)

// Driven reports for each task id whether its task will be delivered: it is pending, active with a lease, or due within
// maxDelay by Redis' clock. Whether the queue is paused does not matter. A task whose id is missing from a long pending list
// counts as pending until it is overdue.
func Driven(ctx context.Context, client redis.UniversalClient, queue string, ids []string, maxDelay time.Duration) ([]bool, error) {
	driven := make([]bool, 0, len(ids))
	for chunk := range slices.Chunk(ids, driveChunk) {
		part, err := runDriven(ctx, client, queue, chunk, maxDelay, false)
		if err != nil {
			return nil, fmt.Errorf("look for the tasks of queue %s: %w", queue, err)
		}
		driven = append(driven, part...)
	}
	return driven, nil
}

// runDriven is Driven for a chunk. With free, it removes what blocks the id of a task that will not be delivered: a completed
// or archived task, one that is scheduled too late, or the remains of a task after Redis lost some of its keys.
func runDriven(
	ctx context.Context, client redis.UniversalClient, queue string, ids []string, maxDelay time.Duration, free bool,
) ([]bool, error) {
	k := KeysOf(queue)
	keys := []string{k.Pending, k.Active, k.Lease, k.Scheduled, k.Retry, k.Completed, k.Archived}
	flag := 0
	if free {
		flag = 1
	}
	args := []any{k.TaskPrefix, searchLimit, overdue.Nanoseconds(), int(maxDelay.Seconds()), int(leaseGrace.Seconds()), flag}
	for _, id := range ids {
		args = append(args, id)
	}
	found, err := drivenScript.Run(ctx, client, keys, args...).Int64Slice()
	if err != nil {
		return nil, err
	}
	driven := make([]bool, len(found))
	for i, n := range found {
		driven[i] = n == 1
	}
	return driven, nil
}

// Enqueue adds a task with an id of the caller's choice to a queue. It returns false if a task with this id is driven (see
// Driven). Any other task with this id is removed first. Both clients must be of the same server.
func Enqueue(
	ctx context.Context, tasks *asynq.Client, client redis.UniversalClient, queue, id string, maxDelay time.Duration, task *asynq.Task,
) (added bool, err error) {
	for range 2 {
		_, err := tasks.EnqueueContext(ctx, task, asynq.Queue(queue), asynq.TaskID(id))
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, asynq.ErrTaskIDConflict) {
			return false, fmt.Errorf("enqueue: %w", err)
		}
		driven, err := runDriven(ctx, client, queue, []string{id}, maxDelay, true)
		if err != nil {
			return false, fmt.Errorf("enqueue: free the task id: %w", err)
		}
		if driven[0] {
			return false, nil
		}
	}
	// Two conflicts in a row: another producer is enqueuing this id.
	return false, nil
}
