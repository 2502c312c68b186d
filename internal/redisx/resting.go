package redisx

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/asynqx"
)

// restingPage is how many keys one SCAN looks at: Redis serves nobody else meanwhile.
const restingPage = 1000

// Resting yields, in no order, every value that holds a sealed text: the tasks of all queues, whatever their state, as
// asynq keeps them, and the kept answers. What is there from the beginning to the end is seen at least once, what comes or
// goes meanwhile perhaps. It costs a look at every key of the database.
func Resting(ctx context.Context, client redis.UniversalClient) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for cursor := uint64(0); ; {
			keys, next, err := client.Scan(ctx, cursor, "*", restingPage).Result()
			if err != nil {
				yield("", fmt.Errorf("look through the keys: %w", err))
				return
			}
			values, err := restingValues(ctx, client, keys)
			if err != nil {
				yield("", fmt.Errorf("read tasks and answers: %w", err))
				return
			}
			for _, value := range values {
				if !yield(value, nil) {
					return
				}
			}
			if cursor = next; cursor == 0 {
				return
			}
		}
	}
}

// restingValues reads those of the keys that hold sealed texts, in one round trip. A key that is gone meanwhile is no error.
func restingValues(ctx context.Context, client redis.UniversalClient, keys []string) ([]string, error) {
	pipe := client.Pipeline()
	for _, key := range keys {
		switch {
		case asynqx.IsTaskKey(key):
			pipe.HGet(ctx, key, "msg")
		case isAnswerKey(key):
			pipe.Get(ctx, key)
		}
	}
	replies, err := pipe.Exec(ctx)
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	var values []string
	for _, reply := range replies {
		value, err := reply.(*redis.StringCmd).Result()
		switch {
		case errors.Is(err, redis.Nil):
		case err != nil:
			return nil, err
		default:
			values = append(values, value)
		}
	}
	return values, nil
}

func isAnswerKey(key string) bool {
	return strings.HasPrefix(key, "kycq:{") && strings.Contains(key, "}:answer:")
}
