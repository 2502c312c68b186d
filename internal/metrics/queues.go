package metrics

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// The first seven are asynq's own names, for its monitoring page and for dashboards made for it. asynq's exporter is
// built on Inspector.GetQueueInfo, which fails for a whole queue as soon as the key of one task is missing; here the
// lists are counted and a missing key is passed over.
var (
	queueSize      = describe("asynq_queue_size", "tasks in the queue, in every state", "queue")
	queueLatency   = describe("asynq_queue_latency_seconds", "how long the oldest pending task has been waiting", "queue")
	queueMemory    = describe("asynq_queue_memory_usage_approx_bytes", "memory of the queue in Redis, extrapolated from a few tasks", "queue")
	tasksEnqueued  = describe("asynq_tasks_enqueued_total", "tasks in the queue, by state", "queue", "state")
	tasksProcessed = describe("asynq_tasks_processed_total", "deliveries that have ended, also those that come back", "queue")
	tasksFailed    = describe("asynq_tasks_failed_total", "deliveries that ended with a spent attempt", "queue")
	queuePaused    = describe("asynq_queue_paused_total", "1 while the queue is paused (asynq's name; it is a gauge)", "queue")

	queueDepth  = describe("kycq_queue_depth", "tasks that are still to be done: pending, active, scheduled and retry", "queue")
	queueOldest = describe("kycq_queue_oldest_age_seconds", "age of the job at the head of the queue, since it became ready; 0 where nothing is pending", "queue")
)

// sample is how many tasks of a state are looked at, for the age and the memory. It makes a scrape cost the same
// whether 100 tasks wait or a million.
const sample = 8

// states are asynq's, with the keys that hold them. Lists grow at the left and are taken from the right.
var states = []struct {
	name string
	list bool
	todo bool
}{
	{"active", true, true},
	{"pending", true, true},
	{"scheduled", false, true},
	{"retry", false, true},
	{"archived", false, false},
	{"completed", false, false},
}

// The layout of asynq v0.26 in Redis. It has been the same since v0.18; a test writes with asynq and reads with this.
func queueKey(queue, name string) string { return "asynq:{" + queue + "}:" + name }

func taskKey(queue, id string) string { return queueKey(queue, "t:"+id) }

// look is the first round of questions about one queue.
type look struct {
	queue             string
	sizes             []*redis.IntCmd
	heads             []*redis.StringSliceCmd // the ids that are looked at, the oldest last
	processed, failed *redis.StringCmd
	paused            *redis.IntCmd
}

func ask(ctx context.Context, pipe redis.Pipeliner, queue string) look {
	l := look{
		queue:     queue,
		processed: pipe.Get(ctx, queueKey(queue, "processed")),
		failed:    pipe.Get(ctx, queueKey(queue, "failed")),
		paused:    pipe.Exists(ctx, queueKey(queue, "paused")),
	}
	for _, s := range states {
		key := queueKey(queue, s.name)
		if s.list {
			l.sizes = append(l.sizes, pipe.LLen(ctx, key))
			l.heads = append(l.heads, pipe.LRange(ctx, key, -sample, -1))
			continue
		}
		l.sizes = append(l.sizes, pipe.ZCard(ctx, key))
		l.heads = append(l.heads, pipe.ZRange(ctx, key, 0, sample-1))
	}
	return l
}

// detail is the second round: about the tasks that the first has found.
type detail struct {
	since  []*redis.StringCmd // of pending tasks, the oldest last
	bytes  [][]*redis.IntCmd  // of each state's tasks
	keeper []*redis.IntCmd    // of each state's own list
}

func (l look) askDetail(ctx context.Context, pipe redis.Pipeliner) detail {
	d := detail{bytes: make([][]*redis.IntCmd, len(states))}
	for i, s := range states {
		d.keeper = append(d.keeper, pipe.MemoryUsage(ctx, queueKey(l.queue, s.name)))
		for _, id := range l.heads[i].Val() {
			key := taskKey(l.queue, id)
			d.bytes[i] = append(d.bytes[i], pipe.MemoryUsage(ctx, key))
			if s.name == "pending" {
				d.since = append(d.since, pipe.HGet(ctx, key, "pending_since"))
			}
		}
	}
	return d
}

func (s *shared) collectQueues(ctx context.Context, to chan<- prometheus.Metric) {
	pipe := s.redis.Pipeline()
	looks := make([]look, len(s.queues))
	for i, queue := range s.queues {
		looks[i] = ask(ctx, pipe, queue)
	}
	// Each command keeps its own error: one that fails (a missing key) does not spoil the others.
	_, _ = pipe.Exec(ctx)
	pipe = s.redis.Pipeline()
	details := make([]detail, len(looks))
	for i, l := range looks {
		details[i] = l.askDetail(ctx, pipe)
	}
	_, _ = pipe.Exec(ctx)
	for i, l := range looks {
		l.collect(to, details[i])
	}
}

func (l look) collect(to chan<- prometheus.Metric, d detail) {
	var size, depth int64
	for i, s := range states {
		n, err := l.sizes[i].Result()
		if err != nil {
			return // Redis went away between two commands: no number is better than a wrong one
		}
		size += n
		if s.todo {
			depth += n
		}
		gauge(to, tasksEnqueued, float64(n), l.queue, s.name)
	}
	gauge(to, queueSize, float64(size), l.queue)
	gauge(to, queueDepth, float64(depth), l.queue)
	gauge(to, queuePaused, float64(l.paused.Val()), l.queue)
	total(to, tasksProcessed, l.processed, l.queue)
	total(to, tasksFailed, l.failed, l.queue)

	age := d.oldest(time.Now())
	gauge(to, queueLatency, age.Seconds(), l.queue)
	gauge(to, queueOldest, age.Seconds(), l.queue)
	if bytes, ok := l.memory(d); ok {
		gauge(to, queueMemory, bytes, l.queue)
	}
}

// oldest is the age of the pending task that is next in turn and whose key is still there.
func (d detail) oldest(now time.Time) time.Duration {
	for i := len(d.since) - 1; i >= 0; i-- {
		if ns, err := strconv.ParseInt(d.since[i].Val(), 10, 64); err == nil {
			return max(0, now.Sub(time.Unix(0, ns)))
		}
	}
	return 0
}

// memory extrapolates from the tasks that were looked at; false where Redis does not know MEMORY USAGE.
func (l look) memory(d detail) (bytes float64, ok bool) {
	for i := range states {
		keeper, err := d.keeper[i].Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, false
		}
		bytes += float64(keeper)
		var sum, n float64
		for _, cmd := range d.bytes[i] {
			if b, err := cmd.Result(); err == nil {
				sum += float64(b)
				n++
			}
		}
		if n > 0 {
			bytes += sum / n * float64(l.sizes[i].Val())
		}
	}
	return bytes, true
}

// total exports one of asynq's counters. They begin anew at 2^63 and where Redis is wiped, as counters may.
func total(to chan<- prometheus.Metric, d *prometheus.Desc, cmd *redis.StringCmd, queue string) {
	text, err := cmd.Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return
	}
	n, _ := strconv.ParseFloat(text, 64)
	to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, n, queue)
}
