package redisx

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Rounds is what the leader counted in its last round, and how many tasks it has found missing.
type Rounds struct {
	Open    map[string]int64 // open single jobs by kind
	Oldest  map[string]int64 // Unix time at which the oldest open single job of a queue was marked; 0 if there is none
	Batches map[string]int64 // open batches by state
	Reviews int64            // images in quarantine
	Missing int64            // missing tasks, in all rounds since Redis was emptied
}

const openField, oldestField, batchesField, reviewsField, missingField = "open:", "oldest:", "batches:", "reviews", "missing"

func roundsKey() string { return accountKey("rounds") }

// CountRound stores the counts of a round, without Missing.
func CountRound(ctx context.Context, client redis.UniversalClient, r Rounds) error {
	fields := map[string]any{reviewsField: r.Reviews}
	for prefix, counts := range map[string]map[string]int64{openField: r.Open, oldestField: r.Oldest, batchesField: r.Batches} {
		for name, n := range counts {
			fields[prefix+name] = n
		}
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
	r := Rounds{Open: map[string]int64{}, Oldest: map[string]int64{}, Batches: map[string]int64{}}
	for field, value := range fields {
		n, _ := strconv.ParseInt(value, 10, 64)
		switch prefix, name, _ := strings.Cut(field, ":"); prefix + ":" {
		case openField:
			r.Open[name] = n
		case oldestField:
			r.Oldest[name] = n
		case batchesField:
			r.Batches[name] = n
		case reviewsField + ":":
			r.Reviews = n
		case missingField + ":":
			r.Missing = n
		}
	}
	return r, wrap("read the counts of the leader", err)
}
