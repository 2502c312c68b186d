package storage

import (
	"context"

	"github.com/kycq/kycq/internal/installation"
)

// RedisName returns the name of the Redis that drives these buckets, "" before the first worker has run. tasks.Client
// compares it with the name in its Redis.
func (s *Store) RedisName(ctx context.Context) (string, error) {
	return installation.RedisName(ctx, installation.BucketOf(s.buckets))
}
