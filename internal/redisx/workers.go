package redisx

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// HeartbeatEvery is how often a worker renews its entry.
	HeartbeatEvery = 1500 * time.Millisecond
	// A worker whose entry is older is not alive: operators see within 5 s that it crashed.
	heartbeatLife = 4 * time.Second
	// workersKept is how long it is known when and where a worker was last seen.
	workersKept = 7 * 24 * time.Hour
)

// Worker is a worker process, as it describes itself.
type Worker struct {
	ID          string            `json:"id"` // of the process; random
	Host        string            `json:"host"`
	PID         int               `json:"pid"`
	Version     string            `json:"version"`
	Concurrency map[string]int    `json:"concurrency"` // jobs at once, by queue
	Settings    map[string]string `json:"settings"`    // that all workers should share
	Since       time.Time         `json:"since"`       // by the worker's clock
	CallsOut    int               `json:"calls_in_flight"`
	Stopped     bool              `json:"stopped,omitempty"` // it was stopped, and did not crash

	SeenAgo time.Duration `json:"-"` // since the last heartbeat, by Redis' clock
}

// Alive reports whether the worker's heartbeat is recent.
func (w Worker) Alive() bool { return !w.Stopped && w.SeenAgo < heartbeatLife }

// heartbeatScript: KEYS[1] hash of workers, KEYS[2] when each was seen. ARGV: id, description, seconds to keep.
var heartbeatScript = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('ZADD', KEYS[2], now, ARGV[1]) == 0 then return end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[3])) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
`)

func workerKeys() []string { return []string{accountKey("workers"), accountKey("workers:seen")} }

// Heartbeat stores the worker's entry.
func Heartbeat(ctx context.Context, client redis.UniversalClient, w Worker) error {
	text, err := json.Marshal(w)
	if err != nil {
		return err
	}
	err = heartbeatScript.Run(ctx, client, workerKeys(), w.ID, text, int(workersKept.Seconds())).Err()
	if errors.Is(err, redis.Nil) { // the script returns nothing
		err = nil
	}
	return wrap("store the worker's heartbeat", err)
}

// Workers lists the workers of the last week: first those alive, by host, then the others, the last seen first.
func Workers(ctx context.Context, client redis.UniversalClient) ([]Worker, error) {
	keys := workerKeys()
	pipe := client.Pipeline()
	now, texts, seen := pipe.Time(ctx), pipe.HGetAll(ctx, keys[0]), pipe.ZRangeWithScores(ctx, keys[1], 0, -1)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, wrap("read the workers", err)
	}
	workers := []Worker{}
	for _, z := range seen.Val() {
		var w Worker
		id, _ := z.Member.(string)
		if json.Unmarshal([]byte(texts.Val()[id]), &w) != nil {
			continue // of another version
		}
		w.SeenAgo = max(0, now.Val().Sub(time.UnixMicro(int64(z.Score*1e6))))
		workers = append(workers, w)
	}
	slices.SortFunc(workers, func(a, b Worker) int {
		switch {
		case a.Alive() && b.Alive():
			return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.PID, b.PID), cmp.Compare(a.ID, b.ID))
		case !a.Alive() && !b.Alive():
			return cmp.Or(cmp.Compare(a.SeenAgo, b.SeenAgo), cmp.Compare(a.ID, b.ID))
		case a.Alive():
			return -1
		}
		return 1
	})
	return workers, nil
}
