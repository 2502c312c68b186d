package asynqx_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/testenv"
)

const queue = "passport-bulk"

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

func TestEnqueueReplacesATaskThatHasEndedAndNoOther(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts    []asynq.Option
		archive bool
		added   bool
	}{
		"pending":   {},
		"scheduled": {opts: []asynq.Option{asynq.ProcessIn(time.Hour)}},
		"archived":  {archive: true, added: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := testenv.RedisClient(t)
			tasks, inspector := asynq.NewClientFromRedisClient(client), asynq.NewInspectorFromRedisClient(client)
			task := asynq.NewTask("t", nil, c.opts...)
			if added, err := asynqx.Enqueue(t.Context(), tasks, client, queue, "A", task); err != nil || !added {
				t.Fatalf("got %t, %v", added, err)
			}
			if c.archive {
				if err := inspector.ArchiveTask(queue, "A"); err != nil {
					t.Fatal(err)
				}
			}
			added, err := asynqx.Enqueue(t.Context(), tasks, client, queue, "A", task)
			if err != nil || added != c.added {
				t.Errorf("got %t, %v, want %t", added, err, c.added)
			}
			depth, err := asynqx.ReadDepth(t.Context(), client, queue)
			if err != nil || depth.Waiting() != 1 || depth.Archived != 0 {
				t.Errorf("depth %+v, %v", depth, err)
			}
		})
	}
}
