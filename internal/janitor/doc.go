// Package janitor repairs what asynq does not repair in its queues, or only later: tasks of dead workers, an archive that
// grows, active tasks without a lease, active ids without a task, and queues missing from the set of queues after a wipe
// of Redis.
//
// It never changes the outcome of a job. It may run at the same time as workers and other janitors: each of its scripts is
// atomic, short and safe to repeat.
package janitor
