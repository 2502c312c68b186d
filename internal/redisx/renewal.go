package redisx

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// RenewalLate is after how long without a complete renewal of images operators are warned. One is due each day.
const RenewalLate = 3 * 24 * time.Hour

func renewalKey() string { return accountKey("images-renewed") }

// MarkRenewed notes that a renewal of images was complete.
func MarkRenewed(ctx context.Context, client redis.UniversalClient) error {
	return wrap("note the renewal of images", client.Set(ctx, renewalKey(), 1, RenewalLate).Err())
}

// Renewed reports whether a renewal of images was complete in the last RenewalLate. Redis may have been emptied since.
func Renewed(ctx context.Context, client redis.UniversalClient) (bool, error) {
	n, err := client.Exists(ctx, renewalKey()).Result()
	return n > 0, wrap("read the renewal of images", err)
}
