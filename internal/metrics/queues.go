package metrics

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/asynqx"
)

// The first seven have the names of asynq's own exporter, for its monitoring page and for dashboards made for it. That
// exporter is built on Inspector.GetQueueInfo, which fails for a whole queue if the key of one task is missing; here the
// lists are counted.
var (
	queueSize      = describe("asynq_queue_size", "tasks in the queue, in every state", "queue")
	queueLatency   = describe("asynq_queue_latency_seconds", "how long the oldest pending task has been waiting", "queue")
	queueMemory    = describe("asynq_queue_memory_usage_approx_bytes", "memory of the queue in Redis, extrapolated from a few tasks", "queue")
	tasksEnqueued  = describe("asynq_tasks_enqueued_total", "tasks in the queue, by state", "queue", "state")
	tasksProcessed = describe("asynq_tasks_processed_total", "finished deliveries, including those of tasks that will be delivered again", "queue")
	tasksFailed    = describe("asynq_tasks_failed_total", "deliveries that ended with an error and counted as a retry or archived the task", "queue")
	queuePaused    = describe("asynq_queue_paused_total", "1 while the queue is paused (asynq's name; it is a gauge)", "queue")

	queueDepth  = describe("kycq_queue_depth", "unfinished tasks: pending, active, scheduled and retry", "queue")
	queueOldest = describe("kycq_queue_oldest_age_seconds", "time since the job at the head of the queue became ready; 0 if no job is pending", "queue")
)

// sampleSize is how many tasks of a state are read for the age and the memory. It makes the cost of a scrape independent
// of the length of a queue.
const sampleSize = 8

const pendingState = "pending"

// queueState is the commands and replies of Redis about the tasks of a queue in one state of asynq.
type queueState struct {
	name      string
	key       string
	list      bool // a list, read from its end; otherwise a sorted set
	final     bool
	size      *redis.IntCmd
	sample    *redis.StringSliceCmd // task ids
	bytes     *redis.IntCmd         // of the list or set itself
	taskBytes []*redis.IntCmd       // of the sampled tasks
}

func statesOf(k asynqx.Keys) []*queueState {
	return []*queueState{
		{name: "active", key: k.Active, list: true},
		{name: pendingState, key: k.Pending, list: true},
		{name: "scheduled", key: k.Scheduled},
		{name: "retry", key: k.Retry},
		{name: "archived", key: k.Archived, final: true},
		{name: "completed", key: k.Completed, final: true},
	}
}

// read adds the commands for the size and for the ids of the sampled tasks.
func (s *queueState) read(ctx context.Context, pipe redis.Pipeliner) {
	s.bytes = pipe.MemoryUsage(ctx, s.key)
	if s.list {
		s.size, s.sample = pipe.LLen(ctx, s.key), pipe.LRange(ctx, s.key, -sampleSize, -1)
	} else {
		s.size, s.sample = pipe.ZCard(ctx, s.key), pipe.ZRange(ctx, s.key, 0, sampleSize-1)
	}
}

func (s *shared) collectQueue(ctx context.Context, to chan<- prometheus.Metric, queue string) {
	keys := asynqx.KeysOf(queue)
	states := statesOf(keys)
	pipe := s.redis.Pipeline()
	processed, failed, paused := pipe.Get(ctx, keys.Processed), pipe.Get(ctx, keys.Failed), pipe.Exists(ctx, keys.Paused)
	for _, state := range states {
		state.read(ctx, pipe)
	}
	// Each command keeps its own error, so a missing key affects one value only.
	_, _ = pipe.Exec(ctx)
	var size, unfinished int64
	var pendingSince []*redis.StringCmd // of the sampled pending tasks, the oldest last
	pipe = s.redis.Pipeline()
	for _, state := range states {
		n, err := state.size.Result()
		if err != nil {
			return // the connection broke: a missing number is better than a wrong one
		}
		size += n
		if !state.final {
			unfinished += n
		}
		gauge(to, tasksEnqueued, float64(n), queue, state.name)
		for _, id := range state.sample.Val() {
			state.taskBytes = append(state.taskBytes, pipe.MemoryUsage(ctx, keys.TaskPrefix+id))
			if state.name == pendingState {
				pendingSince = append(pendingSince, pipe.HGet(ctx, keys.TaskPrefix+id, "pending_since"))
			}
		}
	}
	_, _ = pipe.Exec(ctx)
	gauge(to, queueSize, float64(size), queue)
	gauge(to, queueDepth, float64(unfinished), queue)
	gauge(to, queuePaused, float64(paused.Val()), queue)
	total(to, tasksProcessed, processed, queue)
	total(to, tasksFailed, failed, queue)
	age := oldest(pendingSince).Seconds()
	gauge(to, queueLatency, age, queue)
	gauge(to, queueOldest, age, queue)
	if bytes, ok := memory(states); ok {
		gauge(to, queueMemory, bytes, queue)
	}
}

// oldest returns the age of the oldest sampled pending task that still exists.
func oldest(pendingSince []*redis.StringCmd) time.Duration {
	for _, cmd := range slices.Backward(pendingSince) {
		if ns, err := strconv.ParseInt(cmd.Val(), 10, 64); err == nil {
			return max(0, time.Since(time.Unix(0, ns)))
		}
	}
	return 0
}

// memory extrapolates from the sampled tasks. It returns false if Redis does not support MEMORY USAGE.
func memory(states []*queueState) (bytes float64, ok bool) {
	for _, state := range states {
		own, err := state.bytes.Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, false
		}
		bytes += float64(own)
		var sum, n float64
		for _, cmd := range state.taskBytes {
			if b, err := cmd.Result(); err == nil {
				sum += float64(b)
				n++
			}
		}
		if n > 0 {
			bytes += sum / n * float64(state.size.Val())
		}
	}
	return bytes, true
}

// total exports one of asynq's counters. asynq resets them at 2^63.
func total(to chan<- prometheus.Metric, d *prometheus.Desc, cmd *redis.StringCmd, queue string) {
	text, err := cmd.Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return
	}
	n, _ := strconv.ParseFloat(text, 64)
	to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, n, queue)
}
