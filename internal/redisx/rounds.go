package redisx

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Rounds is what the leader has counted: how many jobs are open, and how many tasks it found missing.
type Rounds struct {
	Open    map[string]int64 // open single jobs by kind, in the last round
	Missing int64            // missing tasks, in all rounds since Redis was emptied
}

const openField, missingField = "open:", "missing"

func roundsKey() string { return accountKey("rounds") }

// CountRound stores the counts of a round.
func CountRound(ctx context.Context, client redis.UniversalClient, open map[string]int64) error {
	fields := map[string]any{}
	for kind, n := range open {
		fields[openField+kind] = n
	}
	return wrap("count the open jobs", client.HSet(ctx, roundsKey(), fields).Err())
}

// AddMissing counts missing tasks.
func AddMissing(ctx context.Context, client redis.UniversalClient, n int) error {
	return wrap("count the missing tasks", client.HIncrBy(ctx, roundsKey(), missingField, int64(n)).Err())
}

// ReadRounds reads the counts. Before the first round there are none.
func ReadRounds(ctx context.Context, client redis.UniversalClient) (Rounds, error) {
	fields, err := client.HGetAll(ctx, roundsKey()).Result()
	r := Rounds{Open: map[string]int64{}}
	for field, value := range fields {
		n, _ := strconv.ParseInt(value, 10, 64)
		if kind, ok := strings.CutPrefix(field, openField); ok {
			r.Open[kind] = n
		} else {
			r.Missing = n
		}
	}
	return r, wrap("read the counts of the leader", err)
}
