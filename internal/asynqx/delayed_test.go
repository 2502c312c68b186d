package asynqx_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/testenv"
)

func TestADelayedTaskSaysWhyItWaits(t *testing.T) {
	t.Parallel()
	client := testenv.RedisClient(t)
	if list, err := asynqx.ReadDelayed(client, "no-queue", 10); err != nil || len(list) != 0 {
		t.Fatalf("no queue: %v, %v", list, err)
	}
	if task, err := asynqx.ReadTask(client, "no-queue", "P1"); err != nil || task != nil {
		t.Fatalf("no queue: %v, %v", task, err)
	}
	if _, err := asynq.NewClientFromRedisClient(client).Enqueue(asynq.NewTask("test", []byte("payload")), asynq.Queue("q"), asynq.TaskID("P1"), asynq.MaxRetry(9)); err != nil {
		t.Fatal(err)
	}
	if task, err := asynqx.ReadTask(client, "q", "P1"); err != nil || task != nil {
		t.Fatalf("a pending task: %v, %v", task, err)
	}
	srv := asynq.NewServerFromRedisClient(client, asynq.Config{
		Queues: map[string]int{"q": 1}, RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Hour },
		Logger: asynqx.NewLogger(zerolog.Nop()),
	})
	if err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return errors.New("later: key_missing") })); err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	for {
		task, err := asynqx.ReadTask(client, "q", "P1")
		if err != nil {
			t.Fatal(err)
		}
		if task == nil {
			continue
		}
		list, err := asynqx.ReadDelayed(client, "q", 10)
		if err != nil || len(list) != 1 || list[0].Code != "key_missing" || list[0].Decision != "later" || string(list[0].Payload) != "payload" {
			t.Errorf("%+v, %v", list, err)
		}
		if left := task.Next.Sub(task.Since).Round(time.Minute); left != time.Hour {
			t.Errorf("next try after %s", left)
		}
		srv.Shutdown()
		for _, run := range []bool{false, true} {
			asynqx.RunDelayed(client, "q", 10, func(d asynqx.Delayed) bool { return run && d.Code == "key_missing" })
			if task, err := asynqx.ReadTask(client, "q", "P1"); err != nil || (task == nil) != run {
				t.Errorf("to be run at once: %t: %+v, %v", run, task, err)
			}
		}
		return
	}
}
