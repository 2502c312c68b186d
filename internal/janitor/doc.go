// Package janitor mends what asynq leaves behind in Redis and does not mend itself, or not soon: the tasks of dead workers,
// an archive that grows, tasks that stand among the active ones without a lease, ids without a task, and queues that a
// wiped Redis no longer lists.
//
// It is housekeeping: no job depends on it for its outcome, and it must never decide about one. Every round may run beside
// live workers and beside another janitor; each script is atomic, small and safe to repeat.
package janitor
