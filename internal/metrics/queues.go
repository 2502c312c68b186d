package metrics

import (
	"context"
	"errors"
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
	tasksProcessed = describe("asynq_tasks_processed_total", "deliveries that have ended, including those that will be delivered again", "queue")
	tasksFailed    = describe("asynq_tasks_failed_total", "deliveries that ended with a spent attempt", "queue")
	queuePaused    = describe("asynq_queue_paused_total", "1 while the queue is paused (asynq's name; it is a gauge)", "queue")

	queueDepth  = describe("kycq_queue_depth", "unfinished tasks: pending, active, scheduled and retry", "queue")
	queueOldest = describe("kycq_queue_oldest_age_seconds", "time since the job at the head of the queue became ready; 0 if no job is pending", "queue")
)

// sampleSize is how many tasks of a state are read for the age and the memory. It makes the cost of a scrape independent
// of the length of a queue.
const sampleSize = 8

const pendingState = "pending"

var states = []struct {
	name       string
	key        func(asynqx.Keys) string
	list       bool // otherwise a sorted set
	unfinished bool
}{
	{"active", func(k asynqx.Keys) string { return k.Active }, true, true},
	{pendingState, func(k asynqx.Keys) string { return k.Pending }, true, true},
	{"scheduled", func(k asynqx.Keys) string { return k.Scheduled }, false, true},
	{"retry", func(k asynqx.Keys) string { return k.Retry }, false, true},
	{"archived", func(k asynqx.Keys) string { return k.Archived }, false, false},
	{"completed", func(k asynqx.Keys) string { return k.Completed }, false, false},
}

// queueReading holds the replies of Redis about one queue.
type queueReading struct {
	queue             string
	keys              asynqx.Keys
	processed, failed *redis.StringCmd
	paused            *redis.IntCmd
	states            []stateReading     // as in states
	pendingSince      []*redis.StringCmd // of the sampled pending tasks, the oldest last
}

type stateReading struct {
	size      *redis.IntCmd
	sample    *redis.StringSliceCmd // task ids
	bytes     *redis.IntCmd         // of the list or set itself
	taskBytes []*redis.IntCmd       // of the sampled tasks
}

// readQueue adds the first round of commands: the sizes, and the ids of the sampled tasks.
func readQueue(ctx context.Context, pipe redis.Pipeliner, queue string) *queueReading {
	keys := asynqx.KeysOf(queue)
	r := &queueReading{
		queue: queue, keys: keys,
		processed: pipe.Get(ctx, keys.Processed), failed: pipe.Get(ctx, keys.Failed), paused: pipe.Exists(ctx, keys.Paused),
	}
	for _, s := range states {
		key := s.key(keys)
		state := stateReading{bytes: pipe.MemoryUsage(ctx, key)}
		if s.list {
			state.size, state.sample = pipe.LLen(ctx, key), pipe.LRange(ctx, key, -sampleSize, -1)
		} else {
			state.size, state.sample = pipe.ZCard(ctx, key), pipe.ZRange(ctx, key, 0, sampleSize-1)
		}
		r.states = append(r.states, state)
	}
	return r
}

// readSample adds the second round of commands, about the sampled tasks.
func (r *queueReading) readSample(ctx context.Context, pipe redis.Pipeliner) {
	for i, s := range states {
		for _, id := range r.states[i].sample.Val() {
			key := r.keys.TaskPrefix + id
			r.states[i].taskBytes = append(r.states[i].taskBytes, pipe.MemoryUsage(ctx, key))
			if s.name == pendingState {
				r.pendingSince = append(r.pendingSince, pipe.HGet(ctx, key, "pending_since"))
			}
		}
	}
}

func (s *shared) collectQueues(ctx context.Context, to chan<- prometheus.Metric) {
	pipe := s.redis.Pipeline()
	readings := make([]*queueReading, len(s.queues))
	for i, queue := range s.queues {
		readings[i] = readQueue(ctx, pipe, queue)
	}
	// Each command keeps its own error, so a missing key affects one value only.
	_, _ = pipe.Exec(ctx)
	pipe = s.redis.Pipeline()
	for _, r := range readings {
		r.readSample(ctx, pipe)
	}
	_, _ = pipe.Exec(ctx)
	for _, r := range readings {
		r.collect(to)
	}
}

func (r *queueReading) collect(to chan<- prometheus.Metric) {
	var size, unfinished int64
	for i, s := range states {
		n, err := r.states[i].size.Result()
		if err != nil {
			return // the connection broke: a missing number is better than a wrong one
		}
		size += n
		if s.unfinished {
			unfinished += n
		}
		gauge(to, tasksEnqueued, float64(n), r.queue, s.name)
	}
	gauge(to, queueSize, float64(size), r.queue)
	gauge(to, queueDepth, float64(unfinished), r.queue)
	gauge(to, queuePaused, float64(r.paused.Val()), r.queue)
	total(to, tasksProcessed, r.processed, r.queue)
	total(to, tasksFailed, r.failed, r.queue)

	age := r.oldest(time.Now())
	gauge(to, queueLatency, age.Seconds(), r.queue)
	gauge(to, queueOldest, age.Seconds(), r.queue)
	if bytes, ok := r.memory(); ok {
		gauge(to, queueMemory, bytes, r.queue)
	}
}

// oldest returns the age of the oldest sampled pending task that still exists.
func (r *queueReading) oldest(now time.Time) time.Duration {
	for i := len(r.pendingSince) - 1; i >= 0; i-- {
		if ns, err := strconv.ParseInt(r.pendingSince[i].Val(), 10, 64); err == nil {
			return max(0, now.Sub(time.Unix(0, ns)))
		}
	}
	return 0
}

// memory extrapolates from the sampled tasks. It returns false if Redis does not support MEMORY USAGE.
func (r *queueReading) memory() (bytes float64, ok bool) {
	for _, state := range r.states {
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
