// Package asynqx holds what kycq uses of asynq v0.26 beyond its Go API: its key layout in Redis, a logger for it, and
// the enqueuing of a task whose id may be blocked by an old task.
//
// asynq does not export its key layout. It has been the same since v0.18; the tests write with asynq and read with this
// package.
package asynqx

// Queues is the set of all queue names. asynq's inspector, and with it the dashboard, sees only these.
const Queues = "asynq:queues"

// Keys are the Redis keys of one queue.
type Keys struct {
	// Pending and Active are lists of task ids. They grow at the left and are read from the right.
	Pending, Active string
	// Sorted sets of task ids, by the Unix time in seconds of: the lease's end (Lease), the delivery (Scheduled, Retry),
	// the expiry (Completed), the archiving (Archived).
	Lease, Scheduled, Retry, Completed, Archived string
	// Paused exists while the queue is paused. Processed and Failed are counters.
	Paused, Processed, Failed string
	// TaskPrefix plus an id is the hash of a task.
	TaskPrefix string
}

// KeysOf returns the keys of a queue.
func KeysOf(queue string) Keys {
	p := "asynq:{" + queue + "}:"
	return Keys{
		Pending: p + "pending", Active: p + "active", Lease: p + "lease", Scheduled: p + "scheduled", Retry: p + "retry",
		Completed: p + "completed", Archived: p + "archived", Paused: p + "paused", Processed: p + "processed",
		Failed: p + "failed", TaskPrefix: p + "t:",
	}
}
