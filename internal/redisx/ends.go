package redisx

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Ended is how many jobs of a kind and a batch ended with a code within the last day. Batch is empty for single jobs.
type Ended struct {
	Kind, Code, Batch string
	Count             int
}

// endsHours is how many hours make the last day: the present one and the 24 before it.
const endsHours = 25

func endsKey(at time.Time) string { return accountKey("ends:" + at.UTC().Format("2006010215")) }

// paidLife is how long the paid calls of a day are kept.
const paidLife = 8 * 24 * time.Hour

func paidKey(at time.Time) string { return accountKey("paid:" + at.UTC().Format("20060102")) }

// CountEnd announces a job that has ended (WatchFinished), and counts it if its code is not empty, and the calls of its run that
// were or may have been paid for. It is a hint: an end may be missing.
func (h *Hints) CountEnd(ctx context.Context, kind, id, code, batch string, paid int) error {
	at := time.Now()
	pipe := h.client.Pipeline()
	pipe.Publish(ctx, finishedChannel, kind+"/"+id)
	if code != "" {
		pipe.HIncrBy(ctx, endsKey(at), strings.TrimSpace(kind+" "+code+" "+batch), 1)
		pipe.Expire(ctx, endsKey(at), (endsHours+1)*time.Hour)
	}
	if paid > 0 {
		pipe.HIncrBy(ctx, paidKey(at), kind, int64(paid))
		pipe.Expire(ctx, paidKey(at), paidLife)
	}
	_, err := pipe.Exec(ctx)
	return wrap("count the end of a job", err)
}

// ReadPaid returns the paid calls of the jobs that ended on a day (UTC), by kind.
func ReadPaid(ctx context.Context, client redis.UniversalClient, day time.Time) (map[string]int, error) {
	fields, err := client.HGetAll(ctx, paidKey(day)).Result()
	paid := map[string]int{}
	for kind, value := range fields {
		paid[kind], _ = strconv.Atoi(value)
	}
	return paid, wrap("read the paid calls", err)
}

// ReadEnds returns what CountEnd has counted in the last day, in no order.
func ReadEnds(ctx context.Context, client redis.UniversalClient) ([]Ended, error) {
	pipe := client.Pipeline()
	hours := make([]*redis.MapStringStringCmd, endsHours)
	for i := range hours {
		hours[i] = pipe.HGetAll(ctx, endsKey(time.Now().Add(-time.Duration(i)*time.Hour)))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, wrap("read the ends of jobs", err)
	}
	counts := map[string]int{}
	for _, hour := range hours {
		for field, value := range hour.Val() {
			n, _ := strconv.Atoi(value)
			counts[field] += n
		}
	}
	var list []Ended
	for field, n := range counts {
		words := append(strings.Fields(field), "", "", "")
		list = append(list, Ended{Kind: words[0], Code: words[1], Batch: words[2], Count: n})
	}
	return list, nil
}
