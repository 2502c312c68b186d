package redisx

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// OpenSet is a sorted set per kind of the jobs without a final record, by the time of the last visit. A job is added
// before its record is written and removed last, so the set may contain finished jobs but never lacks an open one. The sweep finds
// in it the jobs that have no task.
type OpenSet struct{ client redis.UniversalClient }

// NewOpenSet stores the set in the server of client.
func NewOpenSet(client redis.UniversalClient) *OpenSet { return &OpenSet{client: client} }

func openKey(kind string) string { return kindKey(kind, "open") }

// Add adds a job, or updates the time of its last visit.
func (o *OpenSet) Add(ctx context.Context, kind, id string, at time.Time) error {
	return o.AddAll(ctx, kind, []string{id}, at)
}

// addChunk bounds one ZADD, which blocks Redis while it runs.
const addChunk = 1000

// AddAll adds many jobs, addChunk per round trip.
func (o *OpenSet) AddAll(ctx context.Context, kind string, ids []string, at time.Time) error {
	for chunk := range slices.Chunk(ids, addChunk) {
		members := make([]redis.Z, len(chunk))
		for i, id := range chunk {
			members[i] = redis.Z{Score: float64(at.UnixMilli()), Member: id}
		}
		if err := o.client.ZAdd(ctx, openKey(kind), members...).Err(); err != nil {
			return wrap("add to the open set", err)
		}
	}
	return nil
}

// Remove removes a job, if it is in the set.
func (o *OpenSet) Remove(ctx context.Context, kind, id string) error {
	return wrap("remove from the open set", o.client.ZRem(ctx, openKey(kind), id).Err())
}

// Range returns at most limit jobs whose last visit was before the given time, the oldest visit first.
func (o *OpenSet) Range(ctx context.Context, kind string, before time.Time, limit int) ([]string, error) {
	ids, err := o.client.ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: openKey(kind), ByScore: true, Start: "-inf", Stop: "(" + strconv.FormatInt(before.UnixMilli(), 10), Count: int64(limit),
	}).Result()
	return ids, wrap("read the open set", err)
}

// Count is the number of open jobs of the kind.
func (o *OpenSet) Count(ctx context.Context, kind string) (int64, error) {
	n, err := o.client.ZCard(ctx, openKey(kind)).Result()
	return n, wrap("count the open set", err)
}
