package hold

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Pauses are the operator's holds as they are in S3. Each change has a higher revision.
type Pauses struct {
	Revision     int64
	Installation string // the name of the installation
	Holds        []Hold
}

// Restore replaces the pauses in Redis by those that load returns from S3, and opens the gate of a Redis that is new or has
// lost its data. Holds that are being tested stay. From then on this process gets no slot from a Redis that has an older
// revision. It returns redis.TxFailedErr if the holds changed meanwhile: load may have read too early.
func (s *Set) Restore(ctx context.Context, load func(ctx context.Context) (Pauses, error)) error {
	return s.redis.Watch(ctx, func(tx *redis.Tx) error {
		have, err := read(ctx, tx)
		if err != nil {
			return err
		}
		have = slices.DeleteFunc(have, func(h Hold) bool { return !h.Paused() })
		name, revision, err := marks(ctx, tx)
		if err != nil {
			return err
		}
		p, err := load(ctx)
		switch {
		case err != nil:
			return err
		case revision > p.Revision:
			return fmt.Errorf("the pauses in S3 (revision %d) are older than those in Redis (revision %d)", p.Revision, revision)
		}
		slices.SortFunc(p.Holds, order)
		if revision < p.Revision || name != p.Installation || !slices.EqualFunc(have, p.Holds, Hold.Same) {
			if _, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { return p.replace(ctx, pipe, have) }); err != nil {
				return err
			}
		}
		s.revision.Store(p.Revision)
		return nil
	}, Key, RevisionKey, InstallationKey)
}

func (p Pauses) replace(ctx context.Context, pipe redis.Pipeliner, old []Hold) error {
	for _, h := range old {
		pipe.HDel(ctx, Key, h.field())
	}
	for _, h := range p.Holds {
		pipe.HSet(ctx, Key, h.field(), h.value())
	}
	return pipe.MSet(ctx, InstallationKey, p.Installation, RevisionKey, p.Revision).Err()
}

// Revision is that of the pauses which this process last restored.
func (s *Set) Revision() int64 { return s.revision.Load() }

// Stored is the revision of the pauses in Redis; -1 if Redis is new or has lost data and was not restored yet.
func (s *Set) Stored(ctx context.Context) (int64, error) {
	name, revision, err := marks(ctx, s.redis)
	if name == "" {
		revision = -1
	}
	return revision, err
}

// marks reads the installation's name and the revision; -1 if there is none.
func marks(ctx context.Context, client redis.Cmdable) (name string, revision int64, err error) {
	values, err := client.MGet(ctx, InstallationKey, RevisionKey).Result()
	if err != nil {
		return "", 0, fmt.Errorf("read the revision of the pauses: %w", err)
	}
	name, _ = values[0].(string)
	text, _ := values[1].(string)
	if revision, err = strconv.ParseInt(text, 10, 64); err != nil {
		return name, -1, nil
	}
	return name, revision, nil
}
