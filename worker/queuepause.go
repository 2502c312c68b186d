package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/tasks"
)

// QueuePause pauses asynq's queues of a kind while a hold covers it. The gate enforces the hold; the pause only saves
// deliveries that the gate would send back.
type QueuePause struct {
	redis     redis.UniversalClient
	inspector *asynq.Inspector
}

// NewQueuePause returns a QueuePause for the queues in client.
func NewQueuePause(client redis.UniversalClient) *QueuePause {
	return &QueuePause{redis: client, inspector: asynq.NewInspectorFromRedisClient(client)}
}

// pausedKey exists while kycq pauses the queues of a kind: a queue that an operator paused on the dashboard stays paused.
func pausedKey(kind tasks.Kind) string { return "kycq:{account}:paused:" + string(kind) }

// HoldReader reads all holds.
type HoldReader interface {
	Holds(ctx context.Context) ([]hold.Hold, error)
}

// Sync pauses the queues of the kinds that are on hold, and resumes those of the others and of kinds for which a test call
// is due.
func (q *QueuePause) Sync(ctx context.Context, holds HoldReader) error {
	all, err := holds.Holds(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, kind := range tasks.Kinds() {
		// A hold that is not being tested comes first.
		if h := hold.Of(string(kind), all); h != nil && !h.Probing {
			errs = append(errs, q.pause(ctx, kind))
		} else {
			errs = append(errs, q.resume(ctx, kind))
		}
	}
	return errors.Join(errs...)
}

func (q *QueuePause) pause(ctx context.Context, kind tasks.Kind) error {
	if err := q.redis.Set(ctx, pausedKey(kind), "hold", 0).Err(); err != nil {
		return fmt.Errorf("pause the queues: %w", err)
	}
	return forEachQueue("pause", "is already paused", kind, q.inspector.PauseQueue)
}

func (q *QueuePause) resume(ctx context.Context, kind tasks.Kind) error {
	switch paused, err := q.redis.Exists(ctx, pausedKey(kind)).Result(); {
	case err != nil:
		return fmt.Errorf("resume the queues: %w", err)
	case paused == 0:
		return nil
	}
	if err := forEachQueue("resume", "is not paused", kind, q.inspector.UnpauseQueue); err != nil {
		return err
	}
	if err := q.redis.Del(ctx, pausedKey(kind)).Err(); err != nil {
		return fmt.Errorf("resume the queues: %w", err)
	}
	return nil
}

// ClearIdle ends resumed pauses without a test call if no job of their kinds is queued: a pause says nothing of the account, and would
// wait for its test call until the next job.
func (q *QueuePause) ClearIdle(ctx context.Context, holds interface {
	ClearHold(ctx context.Context, cause, kind string) error
}, resumed []hold.Hold,
) error {
	for _, h := range resumed {
		if h.Cause != hold.Operator {
			continue
		}
		var queued int64
		for _, kind := range tasks.Kinds() {
			for _, lane := range tasks.Lanes() {
				depth, err := asynqx.ReadDepth(ctx, q.redis, tasks.Queue(kind, lane))
				if err != nil {
					return err
				}
				if h.Covers(string(kind)) {
					queued += depth.Waiting()
				}
			}
		}
		if queued > 0 {
			continue
		}
		if err := holds.ClearHold(ctx, h.Cause, h.Kind); err != nil {
			return err
		}
	}
	return nil
}

// forEachQueue applies do to the queues of a kind. asynq returns an untyped error for a queue that is in the wanted state
// already; its text contains noop.
func forEachQueue(verb, noop string, kind tasks.Kind, do func(queue string) error) error {
	var errs []error
	for _, lane := range tasks.Lanes() {
		queue := tasks.Queue(kind, lane)
		if err := do(queue); err != nil && !strings.Contains(err.Error(), noop) {
			errs = append(errs, fmt.Errorf("%s queue %s: %w", verb, queue, err))
		}
	}
	return errors.Join(errs...)
}
