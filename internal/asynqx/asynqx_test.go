package asynqx_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/testenv"
)

const (
	queue    = "passport-bulk"
	maxDelay = 2 * time.Hour
)

func TestKeysAreThoseThatAsynqWrites(t *testing.T) {
	t.Parallel()
	client := testenv.RedisClient(t)
	tasks, inspector := asynq.NewClientFromRedisClient(client), asynq.NewInspectorFromRedisClient(client)
	enqueue := func(id string, opts ...asynq.Option) {
		t.Helper()
		if _, err := tasks.Enqueue(asynq.NewTask("t", nil), append(opts, asynq.Queue(queue), asynq.TaskID(id))...); err != nil {
			t.Fatal(err)
		}
	}
	enqueue("A")
	enqueue("B")
	enqueue("C", asynq.ProcessIn(time.Hour))
	enqueue("D")
	if err := inspector.ArchiveTask(queue, "D"); err != nil {
		t.Fatal(err)
	}
	if err := inspector.PauseQueue(queue); err != nil {
		t.Fatal(err)
	}
	got, err := asynqx.ReadDepth(t.Context(), client, queue)
	if want := (asynqx.Depth{Paused: true, Pending: 2, Scheduled: 1, Archived: 1}); err != nil || got != want {
		t.Errorf("depth %+v, %v, want %+v", got, err, want)
	}
	if !client.SIsMember(t.Context(), asynqx.Queues, queue).Val() {
		t.Error("the queue is not in the set of queues")
	}
	key := asynqx.KeysOf(queue).TaskPrefix + "A"
	if !client.HExists(t.Context(), key, "msg").Val() {
		t.Errorf("%s is not a task", key)
	}
}

func TestATaskDrivesOnlyIfItWillBeDelivered(t *testing.T) {
	t.Parallel()
	keys := asynqx.KeysOf(queue)
	active := func(t *testing.T, client *redis.Client, lease time.Duration) {
		t.Helper()
		pipe := client.TxPipeline()
		pipe.LRem(t.Context(), keys.Pending, 0, "A")
		pipe.LPush(t.Context(), keys.Active, "A")
		pipe.HSet(t.Context(), keys.TaskPrefix+"A", "state", "active")
		pipe.ZAdd(t.Context(), keys.Lease, redis.Z{Member: "A", Score: float64(time.Now().Add(lease).Unix())})
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		opts   []asynq.Option
		change func(t *testing.T, client *redis.Client)
		driven bool
	}{
		"pending":                     {driven: true},
		"scheduled":                   {opts: []asynq.Option{asynq.ProcessIn(maxDelay - time.Minute)}, driven: true},
		"scheduled too far":           {opts: []asynq.Option{asynq.ProcessIn(maxDelay + time.Minute)}},
		"scheduled for the next year": {opts: []asynq.Option{asynq.ProcessIn(365 * 24 * time.Hour)}},
		"archived": {change: func(t *testing.T, client *redis.Client) {
			if err := asynq.NewInspectorFromRedisClient(client).ArchiveTask(queue, "A"); err != nil {
				t.Fatal(err)
			}
		}},
		"active":                  {change: func(t *testing.T, client *redis.Client) { active(t, client, 30*time.Second) }, driven: true},
		"active, to be recovered": {change: func(t *testing.T, client *redis.Client) { active(t, client, -time.Minute) }, driven: true},
		"active, and forgotten":   {change: func(t *testing.T, client *redis.Client) { active(t, client, -time.Hour) }},
		"active without a lease": {change: func(t *testing.T, client *redis.Client) {
			active(t, client, 0)
			client.ZRem(t.Context(), keys.Lease, "A")
		}},
		"not in the list":     {change: func(t *testing.T, client *redis.Client) { client.Del(t.Context(), keys.Pending) }},
		"without its message": {change: func(t *testing.T, client *redis.Client) { client.HDel(t.Context(), keys.TaskPrefix+"A", "msg") }},
		"overwritten": {change: func(t *testing.T, client *redis.Client) {
			client.Set(t.Context(), keys.TaskPrefix+"A", "x", 0)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := testenv.RedisClient(t)
			tasks := asynq.NewClientFromRedisClient(client)
			task := asynq.NewTask("t", nil, c.opts...)
			if added, err := asynqx.Enqueue(t.Context(), tasks, client, queue, "A", maxDelay, task); err != nil || !added {
				t.Fatalf("got %t, %v", added, err)
			}
			if c.change != nil {
				c.change(t, client)
			}
			driven, err := asynqx.Driven(t.Context(), client, queue, []string{"none", "A"}, maxDelay)
			if err != nil || len(driven) != 2 || driven[0] || driven[1] != c.driven {
				t.Errorf("driven %v, %v, want %t", driven, err, c.driven)
			}
			added, err := asynqx.Enqueue(t.Context(), tasks, client, queue, "A", maxDelay, asynq.NewTask("t", nil))
			if err != nil || added == c.driven {
				t.Errorf("added %t, %v", added, err)
			}
			depth, err := asynqx.ReadDepth(t.Context(), client, queue)
			if err != nil || depth.Waiting() != 1 || depth.Archived != 0 || !c.driven && depth.Pending != 1 {
				t.Errorf("depth %+v, %v", depth, err)
			}
		})
	}
}

func TestManyTasksAreLookedForAtOnce(t *testing.T) {
	t.Parallel()
	client := testenv.RedisClient(t)
	tasks := asynq.NewClientFromRedisClient(client)
	ids := make([]string, 250)
	for i := range ids {
		ids[i] = fmt.Sprintf("T%03d", i)
		if i%3 != 0 {
			continue
		}
		if _, err := asynqx.Enqueue(t.Context(), tasks, client, queue, ids[i], maxDelay, asynq.NewTask("t", nil)); err != nil {
			t.Fatal(err)
		}
	}
	driven, err := asynqx.Driven(t.Context(), client, queue, ids, maxDelay)
	if err != nil || len(driven) != len(ids) {
		t.Fatalf("%d results, %v", len(driven), err)
	}
	for i, d := range driven {
		if d != (i%3 == 0) {
			t.Errorf("%s is driven: %t", ids[i], d)
		}
	}
}

// fillPending puts ids in the pending list before those that are there. since is the pending_since of the next one.
func fillPending(t *testing.T, client *redis.Client, n int, since time.Time) {
	t.Helper()
	keys := asynqx.KeysOf(queue)
	for first := 0; first < n; first += 10_000 {
		ids := make([]any, 0, 10_000)
		for i := first; i < min(first+10_000, n); i++ {
			ids = append(ids, fmt.Sprintf("filler-%07d", i))
		}
		if err := client.RPush(t.Context(), keys.Pending, ids...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	next := fmt.Sprintf("%sfiller-%07d", keys.TaskPrefix, n-1)
	if err := client.HSet(t.Context(), next, "state", "pending", "pending_since", since.UnixNano()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestATaskMissingFromALongQueueIsReplacedOnceItIsOverdue(t *testing.T) {
	t.Parallel()
	const long = 1500
	for name, c := range map[string]struct {
		lost, putBack bool
		next          time.Duration // how much younger the next task of the list is
		added         bool
	}{
		"in the list":                      {},
		"in the list, with a slow clock":   {next: 10 * time.Minute},
		"lost, not yet overdue":            {lost: true, next: 10 * time.Minute},
		"lost and overdue":                 {lost: true, next: 2 * time.Hour, added: true},
		"put back by a worker":             {putBack: true},
		"put back by a worker, later lost": {putBack: true, lost: true, added: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := testenv.RedisClient(t)
			tasks, keys, task := asynq.NewClientFromRedisClient(client), asynqx.KeysOf(queue), asynq.NewTask("t", nil)
			if _, err := asynqx.Enqueue(t.Context(), tasks, client, queue, "A", maxDelay, task); err != nil {
				t.Fatal(err)
			}
			fillPending(t, client, long, time.Now().Add(c.next))
			pipe := client.TxPipeline()
			if c.putBack {
				pipe.LRem(t.Context(), keys.Pending, 0, "A")
				pipe.RPush(t.Context(), keys.Pending, "A")
				pipe.HDel(t.Context(), keys.TaskPrefix+"A", "pending_since")
			}
			if c.lost {
				pipe.LRem(t.Context(), keys.Pending, 0, "A")
			}
			if _, err := pipe.Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
			added, err := asynqx.Enqueue(t.Context(), tasks, client, queue, "A", maxDelay, task)
			if err != nil || added != c.added {
				t.Errorf("got %t, %v, want %t", added, err, c.added)
			}
		})
	}
}

// Redis serves no other client while it searches a list.
func TestALongQueueIsNotSearchedForATask(t *testing.T) {
	client := redis.NewClient(options(t, testenv.Redis(t)))
	t.Cleanup(func() { _ = client.Close() })
	tasks, task := asynq.NewClientFromRedisClient(client), asynq.NewTask("t", nil)
	for id, put := range map[string]func(){
		"pending": func() { // far from the end at which asynq adds tasks
			pending := asynqx.KeysOf(queue).Pending
			client.LRem(t.Context(), pending, 0, "pending")
			client.LInsertAfter(t.Context(), pending, "filler-0499998", "pending")
		},
		"archived": func() { _ = asynq.NewInspectorFromRedisClient(client).ArchiveTask(queue, "archived") },
	} {
		if _, err := asynqx.Enqueue(t.Context(), tasks, client, queue, id, maxDelay, task); err != nil {
			t.Fatal(err)
		}
		fillPending(t, client, 500_000, time.Now())
		fastest := time.Hour
		for range 5 {
			put()
			began := time.Now()
			if _, err := asynqx.Enqueue(t.Context(), tasks, client, queue, id, maxDelay, task); err != nil {
				t.Fatal(err)
			}
			fastest = min(fastest, time.Since(began))
		}
		if fastest > 4*time.Millisecond {
			t.Errorf("%s: Enqueue took %v at best", id, fastest)
		}
	}
}

func options(t *testing.T, server string) *redis.Options {
	t.Helper()
	o, err := redis.ParseURL(server)
	if err != nil {
		t.Fatal(err)
	}
	return o
}
