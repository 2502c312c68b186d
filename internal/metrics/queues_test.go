package metrics_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/testenv"
)

func TestQueuesAreCountedAsAsynqCountsThem(t *testing.T) {
	t.Parallel()
	client := redisClient(t)
	enqueue(t, client, "A", "B", "C", "D")
	inspector := asynq.NewInspectorFromRedisClient(client)
	if err := inspector.ArchiveTask(queue, "B"); err != nil {
		t.Fatal(err)
	}
	c := asynq.NewClientFromRedisClient(client)
	if _, err := c.Enqueue(asynq.NewTask("passport", nil), asynq.Queue(queue), asynq.ProcessIn(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := inspector.PauseQueue(queue); err != nil {
		t.Fatal(err)
	}
	info, err := inspector.GetQueueInfo(queue)
	if err != nil {
		t.Fatal(err)
	}
	f := scrape(t, open(t, client, calmGate))
	for state, n := range map[string]int{
		"active": info.Active, "pending": info.Pending, "scheduled": info.Scheduled, "retry": info.Retry, "archived": info.Archived, "completed": info.Completed,
	} {
		f.want(t, "asynq_tasks_enqueued_total", "queue="+queue+",state="+state, float64(n))
	}
	f.want(t, "asynq_queue_size", "queue="+queue, float64(info.Size))
	f.want(t, "kycq_queue_depth", "queue="+queue, 4)
	f.want(t, "asynq_queue_paused_total", "queue="+queue, 1)
	f.want(t, "asynq_queue_size", "queue=aadhaar-live", 0)
	if latency, ok := f.value("asynq_queue_latency_seconds", "queue="+queue); !ok || latency <= 0 || latency > 60 {
		t.Errorf("latency %v", latency)
	}
	if bytes, ok := f.value("asynq_queue_memory_usage_approx_bytes", "queue="+queue); ok && bytes < 500 {
		t.Errorf("%v bytes for five tasks", bytes)
	}
}

func TestProcessedAndFailedAreAsynqsTotals(t *testing.T) {
	t.Parallel()
	client := redisClient(t)
	enqueue(t, client, "A")
	client.Set(t.Context(), "asynq:{"+queue+"}:processed", 12, 0)
	client.Set(t.Context(), "asynq:{"+queue+"}:failed", 5, 0)
	f := scrape(t, open(t, client, calmGate))
	f.want(t, "asynq_tasks_processed_total", "queue="+queue, 12)
	f.want(t, "asynq_tasks_failed_total", "queue="+queue, 5)
	f.want(t, "asynq_tasks_failed_total", "queue=aadhaar-bulk", 0)
}

func TestAMissingTaskKeyDoesNotAffectOtherMetrics(t *testing.T) {
	t.Parallel()
	client := redisClient(t)
	enqueue(t, client, "A", "B", "C")
	client.Del(t.Context(), "asynq:{"+queue+"}:t:A") // the oldest
	if _, err := asynq.NewInspectorFromRedisClient(client).GetQueueInfo(queue); err == nil {
		t.Log("asynq's own GetQueueInfo survives this now")
	}
	f := scrape(t, open(t, client, calmGate))
	f.want(t, "asynq_tasks_enqueued_total", "queue="+queue+",state=pending", 3)
	if age, ok := f.value("kycq_queue_oldest_age_seconds", "queue="+queue); !ok || age <= 0 {
		t.Errorf("the age of the oldest task is %v (%t)", age, ok)
	}
}

// counting is a client hook that counts commands.
type counting struct{ n *atomic.Int64 }

func (c counting) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c counting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c counting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

func TestCostOfAScrapeIsIndependentOfTheQueueLength(t *testing.T) {
	t.Parallel()
	client := redisClient(t)
	var commands atomic.Int64
	m := open(t, client, calmGate)
	fill(t, client, 0, 20)
	client.AddHook(counting{&commands})
	scrape(t, m)
	few := commands.Swap(0)
	fill(t, client, 20, 100_000)
	commands.Store(0)
	began := time.Now()
	f := scrape(t, m)
	if many := commands.Load(); many > few { // the first scrape dials, too
		t.Errorf("%d commands with 100,000 tasks, %d with 20", many, few)
	}
	f.want(t, "asynq_tasks_enqueued_total", "queue="+queue+",state=pending", 100_000)
	if age, _ := f.value("kycq_queue_oldest_age_seconds", "queue="+queue); age < 3599 || age > 3700 {
		t.Errorf("the oldest is %v s old, want an hour", age)
	}
	t.Logf("%d commands, %s", few, time.Since(began))
}

// fill writes tasks that have been pending for an hour.
func fill(t *testing.T, client *redis.Client, from, to int) {
	t.Helper()
	since := time.Now().Add(-time.Hour).UnixNano()
	for from < to {
		pipe := client.Pipeline()
		for ; from < to && pipe.Len() < 10_000; from++ {
			id := "T" + strconv.Itoa(from)
			pipe.HSet(t.Context(), "asynq:{"+queue+"}:t:"+id, "msg", "sealed", "state", "pending", "pending_since", since)
			pipe.RPush(t.Context(), "asynq:{"+queue+"}:pending", id)
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// miniredis has no MEMORY USAGE.
func TestMemoryIsExtrapolatedFromAFewTasks(t *testing.T) {
	t.Parallel()
	opt, err := redis.ParseURL(testenv.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opt)
	t.Cleanup(func() { _ = client.Close() })
	fill(t, client, 0, 5000)
	f := scrape(t, open(t, client, calmGate))
	got, ok := f.value("asynq_queue_memory_usage_approx_bytes", "queue="+queue)
	if !ok || got < 5000*100 || got > 5000*500 {
		t.Errorf("%v bytes for 5,000 small tasks (%t)", got, ok)
	}
	f.want(t, "asynq_queue_memory_usage_approx_bytes", "queue=feed", 0)
}
