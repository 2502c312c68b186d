package worker

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

// QueuePause pauses asynq's queues while the account is on hold. The gate enforces the hold; the pause only saves
// deliveries that the gate would send back.
type QueuePause struct {
	redis     redis.UniversalClient
	inspector *asynq.Inspector
}

// NewQueuePause returns a QueuePause for the queues in client.
func NewQueuePause(client redis.UniversalClient) *QueuePause {
	return &QueuePause{redis: client, inspector: asynq.NewInspectorFromRedisClient(client)}
}

// pausedKey exists while the queues are paused by kycq: a queue that an operator paused on the dashboard stays paused.
const pausedKey = "kycq:{account}:paused"

// Pause pauses all four queues. It may be repeated.
func (q *QueuePause) Pause(ctx context.Context) error {
	if err := q.redis.Set(ctx, pausedKey, "hold", 0).Err(); err != nil {
		return fmt.Errorf("pause the queues: %w", err)
	}
	return forEachQueue("pause", "is already paused", q.inspector.PauseQueue)
}

// Resume undoes Pause. It may be repeated.
func (q *QueuePause) Resume(ctx context.Context) error {
	switch paused, err := q.redis.Exists(ctx, pausedKey).Result(); {
	case err != nil:
		return fmt.Errorf("resume the queues: %w", err)
	case paused == 0:
		return nil
	}
	if err := forEachQueue("resume", "is not paused", q.inspector.UnpauseQueue); err != nil {
		return err
	}
	if err := q.redis.Del(ctx, pausedKey).Err(); err != nil {
		return fmt.Errorf("resume the queues: %w", err)
	}
	return nil
}

// HoldReader reads the account's hold; nil if there is none.
type HoldReader interface {
	Hold(ctx context.Context) (*gate.Hold, error)
}

// Sync pauses the queues if the account is on hold, and resumes them if it is not or if a test call is due.
func (q *QueuePause) Sync(ctx context.Context, holds HoldReader) error {
	hold, err := holds.Hold(ctx)
	switch {
	case err != nil:
		return err
	case hold != nil && !hold.Probing:
		return q.Pause(ctx)
	}
	return q.Resume(ctx)
}

// forEachQueue applies do to the four queues. asynq returns an untyped error for a queue that is in the wanted state
// already; its text contains noop.
func forEachQueue(verb, noop string, do func(queue string) error) error {
	var errs []error
	for _, queue := range tasks.Queues() {
		if err := do(queue); err != nil && !strings.Contains(err.Error(), noop) {
			errs = append(errs, fmt.Errorf("%s queue %s: %w", verb, queue, err))
		}
	}
	return errors.Join(errs...)
}
