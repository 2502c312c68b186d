package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/tasks"
)

// queues shows the hold of the account in asynq's queues: they are paused while it lasts. The hold is the truth; the
// pause only saves the deliveries that the closed gate would send back.
type queues struct {
	redis     redis.UniversalClient
	inspector *asynq.Inspector
}

func newQueues(client redis.UniversalClient) *queues {
	return &queues{redis: client, inspector: asynq.NewInspectorFromRedisClient(client)}
}

// pausedKey notes that kycq paused the queues, so that it never undoes what an operator paused on the dashboard.
const pausedKey = "kycq:{account}:paused"

func (q *queues) pause(ctx context.Context) error {
	if err := q.redis.Set(ctx, pausedKey, "hold", 0).Err(); err != nil {
		return fmt.Errorf("pause the queues: %w", err)
	}
	return q.each("pause", "is already paused", q.inspector.PauseQueue)
}

// unpause undoes pause, and nothing that anybody else paused.
func (q *queues) unpause(ctx context.Context) error {
	switch paused, err := q.redis.Exists(ctx, pausedKey).Result(); {
	case err != nil:
		return fmt.Errorf("unpause the queues: %w", err)
	case paused == 0:
		return nil
	}
	if err := q.each("unpause", "is not paused", q.inspector.UnpauseQueue); err != nil {
		return err
	}
	if err := q.redis.Del(ctx, pausedKey).Err(); err != nil {
		return fmt.Errorf("unpause the queues: %w", err)
	}
	return nil
}

// each runs an operation on the four queues. That a queue is so already is an error in asynq, without a type; here it is
// none.
func (q *queues) each(what, already string, do func(queue string) error) error {
	var errs []error
	for _, queue := range tasks.Queues() {
		if err := do(queue); err != nil && !strings.Contains(err.Error(), already) {
			errs = append(errs, fmt.Errorf("%s queue %s: %w", what, queue, err))
		}
	}
	return errors.Join(errs...)
}

// holder tells whether the account is held.
type holder interface {
	Hold(ctx context.Context) (*gate.Hold, error)
}

// mirror makes the queues what the hold says. While one call probes, the queues run: the gate lets only that one through.
func (q *queues) mirror(ctx context.Context, h holder) error {
	hold, err := h.Hold(ctx)
	switch {
	case err != nil:
		return err
	case hold != nil && !hold.Probing:
		return q.pause(ctx)
	}
	return q.unpause(ctx)
}
