package hold

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// Pauses are the operator's holds as they are in S3. Each change has a higher revision.
type Pauses struct {
	Revision int64
	Holds    []Hold
}

// ErrOlder is returned by Restore. Pauses that Redis has stay.
var ErrOlder = errors.New("the pauses in S3 are older than those in Redis")

// Restore replaces the pauses in Redis by those that load returns from S3, and thus opens the gate of a Redis that is new or
// has lost its data. Holds that are being tested stay. From then on this process gets no slot from a Redis that has an older
// revision. It returns redis.TxFailedErr if the holds changed meanwhile: load may have read too early.
func (s *Set) Restore(ctx context.Context, load func(ctx context.Context) (Pauses, error)) error {
	return s.redis.Watch(ctx, func(tx *redis.Tx) error {
		have, err := read(ctx, tx)
		if err != nil {
			return err
		}
		have = slices.DeleteFunc(have, func(h Hold) bool { return !h.Paused() })
		revision, err := stored(ctx, tx)
		if err != nil {
			return err
		}
		p, err := load(ctx)
		switch {
		case err != nil:
			return err
		case revision > p.Revision:
			return ErrOlder
		}
		slices.SortFunc(p.Holds, order)
		if revision < p.Revision || !slices.EqualFunc(have, p.Holds, Hold.Same) {
			if _, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { return p.replace(ctx, pipe, have) }); err != nil {
				return err
			}
		}
		s.revision.Store(p.Revision)
		return nil
	}, Key, RevisionKey)
}

func (p Pauses) replace(ctx context.Context, pipe redis.Pipeliner, old []Hold) error {
	for _, h := range old {
		pipe.HDel(ctx, Key, h.field())
	}
	for _, h := range p.Holds {
		pipe.HSet(ctx, Key, h.field(), h.value())
	}
	return pipe.Set(ctx, RevisionKey, p.Revision, 0).Err()
}

// Forget makes Redis take any pauses at the next Restore: those of another installation do not count.
func (s *Set) Forget(ctx context.Context) error {
	if err := s.redis.Del(ctx, RevisionKey).Err(); err != nil {
		return fmt.Errorf("forget the pauses: %w", err)
	}
	return nil
}

// Revision is that of the pauses which this process last restored.
func (s *Set) Revision() int64 { return s.revision.Load() }

// Stored is the revision of the pauses in Redis; -1 if Redis is new or has lost data and was not restored yet.
func (s *Set) Stored(ctx context.Context) (int64, error) { return stored(ctx, s.redis) }

func stored(ctx context.Context, client redis.Cmdable) (int64, error) {
	revision, err := client.Get(ctx, RevisionKey).Int64()
	if errors.Is(err, redis.Nil) {
		return -1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the revision of the pauses: %w", err)
	}
	return revision, nil
}
