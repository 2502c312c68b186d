package redisx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// answerLife is how long an answer waits for S3 to come back. Who takes a job over looks here before calling again.
const answerLife = 7 * 24 * time.Hour

func answerKey(kind, id string) string { return kindKey(kind, "answer:"+id) }

// KeepAnswer stores an answer that was paid for and that S3 does not take at the moment, in place of an earlier one. The
// text must be sealed.
func (h *Hints) KeepAnswer(ctx context.Context, kind, id, sealed string) error {
	if err := h.client.Set(ctx, answerKey(kind, id), sealed, answerLife).Err(); err != nil {
		return fmt.Errorf("keep the answer: %w", err)
	}
	return nil
}

// KeptAnswer returns the sealed answer of a job; ok is false where there is none.
func (h *Hints) KeptAnswer(ctx context.Context, kind, id string) (sealed string, ok bool, err error) {
	sealed, err = h.client.Get(ctx, answerKey(kind, id)).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("look for a kept answer: %w", err)
	}
	return sealed, true, nil
}

// DropAnswer forgets a job's answer, once S3 has it.
func (h *Hints) DropAnswer(ctx context.Context, kind, id string) error {
	if err := h.client.Del(ctx, answerKey(kind, id)).Err(); err != nil {
		return fmt.Errorf("drop the kept answer: %w", err)
	}
	return nil
}
