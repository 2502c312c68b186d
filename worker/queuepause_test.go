package worker

import (
	"context"
	"slices"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/tasks"
)

// fixedHold is an account whose hold the test chooses.
type fixedHold struct{ hold *gate.Hold }

func (f fixedHold) Hold(context.Context) (*gate.Hold, error) { return f.hold, nil }

func pausedQueues(t *testing.T, client redis.UniversalClient) []string {
	t.Helper()
	inspector := asynq.NewInspectorFromRedisClient(client)
	var paused []string
	for _, queue := range tasks.Queues() {
		// A queue is known to asynq once it has had a task.
		if _, err := asynq.NewClientFromRedisClient(client).Enqueue(asynq.NewTask("x", nil), asynq.Queue(queue)); err != nil {
			t.Fatal(err)
		}
		info, err := inspector.GetQueueInfo(queue)
		if err != nil {
			t.Fatal(err)
		}
		if info.Paused {
			paused = append(paused, queue)
		}
	}
	return paused
}

func TestQueuesFollowTheHold(t *testing.T) {
	t.Parallel()
	client := testenv.RedisClient(t)
	q := NewQueuePause(client)
	held, probing := &gate.Hold{Code: "insufficient_balance"}, &gate.Hold{Probing: true}
	for _, step := range []struct {
		name string
		hold *gate.Hold
		want []string
	}{
		{"no hold", nil, nil},
		{"held", held, tasks.Queues()},
		{"held still", held, tasks.Queues()},
		{"one call probes", probing, nil},
		{"the probe failed", held, tasks.Queues()},
		{"cleared", nil, nil},
		{"cleared still", nil, nil},
	} {
		if err := q.Sync(t.Context(), fixedHold{step.hold}); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := pausedQueues(t, client); !slices.Equal(got, step.want) {
			t.Errorf("%s: paused are %v", step.name, got)
		}
	}
}

func TestAQueueThatAnOperatorPausedStaysPaused(t *testing.T) {
	t.Parallel()
	client := testenv.RedisClient(t)
	if err := asynq.NewInspectorFromRedisClient(client).PauseQueue("passport-bulk"); err != nil {
		t.Fatal(err)
	}
	if err := NewQueuePause(client).Sync(t.Context(), fixedHold{}); err != nil {
		t.Fatal(err)
	}
	if got := pausedQueues(t, client); !slices.Equal(got, []string{"passport-bulk"}) {
		t.Errorf("paused are %v", got)
	}
}
