package redisx

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// AsynqQueues is the set of the names of all queues. asynq's inspector, and with it the dashboard, knows no other.
const AsynqQueues = "asynq:queues"

// AsynqKeys are the keys in which asynq v0.26.0 keeps one queue. asynq does not export them; the tests that use them run
// against asynq itself.
type AsynqKeys struct {
	Pending, Active                              string // lists of task ids
	Lease, Scheduled, Retry, Completed, Archived string // sorted sets of task ids
	Task                                         string // prefix of the hash that holds a task
}

// KeysOfQueue names the keys of a queue.
func KeysOfQueue(queue string) AsynqKeys {
	p := "asynq:{" + queue + "}:"
	return AsynqKeys{
		Pending: p + "pending", Active: p + "active", Lease: p + "lease", Scheduled: p + "scheduled", Retry: p + "retry",
		Completed: p + "completed", Archived: p + "archived", Task: p + "t:",
	}
}

// freeScript: KEYS[1] the task, KEYS[2] pending, KEYS[3] active, KEYS[4..8] scheduled, retry, completed, archived, lease;
// ARGV[1] the id. A task that will be delivered has a message and stands in one of the first four.
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

// FreeTaskID removes what blocks a task id although it will never be delivered: a task that has ended, or what a Redis
// that lost single keys has left of one (asynq calls such a task active for ever). It returns false for a task that is
// pending, scheduled, waits for a retry or is being worked on; that one is left alone.
func FreeTaskID(ctx context.Context, client redis.UniversalClient, queue, id string) (freed bool, err error) {
	k := KeysOfQueue(queue)
	keys := []string{k.Task + id, k.Pending, k.Active, k.Scheduled, k.Retry, k.Completed, k.Archived, k.Lease}
	n, err := freeScript.Run(ctx, client, keys, id).Int()
	if err != nil {
		return false, fmt.Errorf("free a task id: %w", err)
	}
	return n == 1, nil
}
