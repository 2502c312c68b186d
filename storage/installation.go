package storage

import (
	"context"

	"github.com/kycq/kycq/internal/installation"
	"github.com/kycq/kycq/tasks"
)

// RedisName returns the name of the Redis that drives these buckets, "" before the first worker has run. tasks.Client
// compares it with the name in its Redis.
func (s *Store) RedisName(ctx context.Context) (string, error) {
	return installation.RedisName(ctx, installation.BucketOf(s.buckets))
}

// Installation returns the installation's name, to which the payloads of tasks are bound. The first producer or worker makes
// it. sealing says whether this process encrypts; if it does not, but the buckets hold encrypted data, the error is
// tasks.ErrSealed.
func (s *Store) Installation(ctx context.Context, sealing bool) (string, error) {
	name, sealed, err := installation.Identify(ctx, installation.IdentityBucket(s.buckets), sealing)
	if err == nil && sealed && !sealing {
		return "", tasks.ErrSealed
	}
	return name, err
}
