package worker

import (
	"testing"

	"github.com/hibiken/asynq"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestForgetInRedisDeletesTheTasksOfAllRunsAndTheKeptAnswer(t *testing.T) {
	t.Parallel()
	ctx, client := t.Context(), testenv.RedisClient(t)
	queue, hints := asynq.NewClientFromRedisClient(client), redisx.NewHints(client)
	enqueue := func(id, queueName string) {
		t.Helper()
		if _, err := queue.Enqueue(asynq.NewTask("x", nil), asynq.TaskID(id), asynq.Queue(queueName)); err != nil {
			t.Fatal(err)
		}
	}
	enqueue("A", "passport-live")
	enqueue("A#2", "passport-bulk")
	enqueue("B", "passport-live")
	enqueue("A", "aadhaar-live")
	if err := hints.KeepAnswer(ctx, "passport", "A", "sealed"); err != nil {
		t.Fatal(err)
	}
	rec := &storage.Record{JobSpec: tasks.JobSpec{Kind: tasks.Passport, VerificationID: "A", Run: 2}}
	for range 2 { // an erasure may be repeated
		if err := ForgetInRedis(client)(ctx, rec); err != nil {
			t.Fatal(err)
		}
	}
	inspector := asynq.NewInspectorFromRedisClient(client)
	for _, c := range []struct {
		queue, id string
		want      bool
	}{
		{"passport-live", "A", false},
		{"passport-bulk", "A#2", false},
		{"passport-live", "B", true},
		{"aadhaar-live", "A", true},
	} {
		if _, err := inspector.GetTaskInfo(c.queue, c.id); (err == nil) != c.want {
			t.Errorf("%s %s: %v", c.queue, c.id, err)
		}
	}
	if _, kept, err := hints.KeptAnswer(ctx, "passport", "A"); err != nil || kept {
		t.Errorf("kept %t, %v", kept, err)
	}
}
