package redisx

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// Clock returns how far this machine's clock is ahead of that of Redis (negative: behind).
func Clock(ctx context.Context, client redis.UniversalClient) (ahead time.Duration, err error) {
	began := time.Now()
	theirs, err := client.Time(ctx).Result()
	return began.Add(time.Since(began) / 2).Sub(theirs), wrap("read the time of Redis", err)
}
