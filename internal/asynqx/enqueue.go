package asynqx

import (
	"context"
	"errors"
	"fmt"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// freeScript: KEYS[1] the task, KEYS[2] pending, KEYS[3] active, KEYS[4..8] scheduled, retry, completed, archived, lease;
// ARGV[1] the id. A task that will be delivered has a message and is listed in one of KEYS[2..5].
var freeScript = redis.NewScript(`
local id = ARGV[1]
if redis.call('HEXISTS', KEYS[1], 'msg') == 1 and (
	redis.call('LPOS', KEYS[2], id) or redis.call('LPOS', KEYS[3], id) or
	redis.call('ZSCORE', KEYS[4], id) or redis.call('ZSCORE', KEYS[5], id)) then
	return 0
end
redis.call('LREM', KEYS[2], 0, id)
redis.call('LREM', KEYS[3], 0, id)
for i = 4, 8 do redis.call('ZREM', KEYS[i], id) end
redis.call('DEL', KEYS[1])
return 1
`)

// freeTaskID removes a task that blocks its id although it will never be delivered again: a completed or archived task,
// or the remains of a task after Redis lost some of its keys. It returns false, and changes nothing, if the task is
// pending, scheduled, waiting for a retry or active.
func freeTaskID(ctx context.Context, client redis.UniversalClient, queue, id string) (freed bool, err error) {
	k := KeysOf(queue)
	keys := []string{k.TaskPrefix + id, k.Pending, k.Active, k.Scheduled, k.Retry, k.Completed, k.Archived, k.Lease}
	n, err := freeScript.Run(ctx, client, keys, id).Int()
	if err != nil {
		return false, fmt.Errorf("free the task id: %w", err)
	}
	return n == 1, nil
}

// Enqueue adds a task with an id of the caller's choice to a queue. It returns false if a task with this id is in the
// queue and will be delivered. A task with this id that has ended is removed first. Both clients must be of the same
// server.
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
