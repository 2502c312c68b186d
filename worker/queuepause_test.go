package worker

import (
	"context"
	"slices"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/tasks"
)

// fixedHolds are holds that the test chooses.
type fixedHolds []hold.Hold

func (f fixedHolds) Holds(context.Context) ([]hold.Hold, error) { return f, nil }

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
	held, probing := hold.Hold{Cause: hold.Balance}, hold.Hold{Cause: hold.Balance, Probing: true}
	passport := hold.Hold{Cause: hold.Vendor, Kind: "passport"}
	ofPassport := []string{"passport-live", "passport-bulk"}
	for _, step := range []struct {
		name  string
		holds fixedHolds
		want  []string
	}{
		{"no hold", nil, nil},
		{"held", fixedHolds{held}, tasks.Queues()},
		{"held still", fixedHolds{held}, tasks.Queues()},
		{"one call probes", fixedHolds{probing}, nil},
		{"one call probes, but passport is held", fixedHolds{passport, probing}, ofPassport},
		{"the probe failed", fixedHolds{passport, held}, tasks.Queues()},
		{"one kind is held", fixedHolds{passport}, ofPassport},
		{"cleared", nil, nil},
		{"cleared still", nil, nil},
	} {
		if err := q.Sync(t.Context(), step.holds); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := pausedQueues(t, client); !sameQueues(got, step.want) {
			t.Errorf("%s: paused are %v", step.name, got)
		}
	}
}

func sameQueues(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func TestAQueueThatAnOperatorPausedStaysPaused(t *testing.T) {
	t.Parallel()
	client := testenv.RedisClient(t)
	if err := asynq.NewInspectorFromRedisClient(client).PauseQueue("passport-bulk"); err != nil {
		t.Fatal(err)
	}
	if err := NewQueuePause(client).Sync(t.Context(), fixedHolds{}); err != nil {
		t.Fatal(err)
	}
	if got := pausedQueues(t, client); !slices.Equal(got, []string{"passport-bulk"}) {
		t.Errorf("paused are %v", got)
	}
}
