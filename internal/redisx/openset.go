package redisx

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// OpenSet is the sorted set of every job that is not final, per kind, by the time when it was last seen to. It is
// written before the record and cleared after everything else, so that a job may stand here too long but never too
// short; the sweep finds in it what no task drives.
type OpenSet struct{ client redis.UniversalClient }

// NewOpenSet keeps the set in the server behind client.
func NewOpenSet(client redis.UniversalClient) *OpenSet { return &OpenSet{client: client} }

func openKey(kind string) string { return kindKey(kind, "open") }

// Add puts a job into the set, or moves it to the given time where it is there already.
func (o *OpenSet) Add(ctx context.Context, kind, id string, at time.Time) error {
	return o.AddAll(ctx, kind, []string{id}, at)
}

// addChunk bounds one ZADD: Redis serves nobody else while it runs.
const addChunk = 1000

// AddAll adds many jobs, in a round trip per thousand.
func (o *OpenSet) AddAll(ctx context.Context, kind string, ids []string, at time.Time) error {
	for len(ids) > 0 {
		n := min(len(ids), addChunk)
		members := make([]redis.Z, 0, n)
		for _, id := range ids[:n] {
			members = append(members, redis.Z{Score: float64(at.UnixMilli()), Member: id})
		}
		if err := o.client.ZAdd(ctx, openKey(kind), members...).Err(); err != nil {
			return fmt.Errorf("add to the open set: %w", err)
		}
		ids = ids[n:]
	}
	return nil
}

// Remove takes a job out; one that is not there is no error.
func (o *OpenSet) Remove(ctx context.Context, kind, id string) error {
	if err := o.client.ZRem(ctx, openKey(kind), id).Err(); err != nil {
		return fmt.Errorf("remove from the open set: %w", err)
	}
	return nil
}

// Range lists at most limit jobs that were last seen to before the given time, the longest forgotten first.
func (o *OpenSet) Range(ctx context.Context, kind string, before time.Time, limit int) ([]string, error) {
	ids, err := o.client.ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: openKey(kind), ByScore: true, Start: "-inf", Stop: "(" + strconv.FormatInt(before.UnixMilli(), 10), Count: int64(limit),
	}).Result()
	if err != nil {
		return nil, fmt.Errorf("read the open set: %w", err)
	}
	return ids, nil
}

// Count is how many jobs of the kind are open.
func (o *OpenSet) Count(ctx context.Context, kind string) (int64, error) {
	n, err := o.client.ZCard(ctx, openKey(kind)).Result()
	if err != nil {
		return 0, fmt.Errorf("count the open set: %w", err)
	}
	return n, nil
}
