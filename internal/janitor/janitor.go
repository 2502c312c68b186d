package janitor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/asynqx"
)

const (
	// KeepArchived is how many archived tasks each queue keeps, the newest ones. asynq keeps 9,999, and once about 8,000 of
	// them are older than 90 days, its script exceeds the stack of Lua and no task can be archived any more.
	KeepArchived = 1000
	// chunk is the most tasks that one script handles. A script blocks Redis while it runs.
	chunk = 500
	// leaseDuration is that of asynq. Live workers extend their leases every 5 s.
	leaseDuration = 30 * time.Second
)

// Janitor repairs queues. It is safe for concurrent use.
type Janitor struct {
	client redis.UniversalClient
	queues []string
	log    zerolog.Logger

	mu     sync.Mutex
	leases map[leaseID]seen // at the last look
}

// New returns a janitor of the named queues. It makes no network calls.
func New(client redis.UniversalClient, queues []string, log zerolog.Logger) *Janitor {
	return &Janitor{client: client, queues: queues, log: log}
}

// Repairs counts the repairs of a round.
type Repairs struct {
	Archived  int // archived tasks beyond KeepArchived, deleted
	Leaseless int // active tasks without a lease, given one
	Orphans   int // active ids without a task, removed
}

// Run does one round. An error in one queue does not affect the others.
func (j *Janitor) Run(ctx context.Context) error {
	_, err := j.Round(ctx)
	return err
}

// Round is Run, and returns the repairs.
func (j *Janitor) Round(ctx context.Context) (Repairs, error) {
	var total Repairs
	var errs []error
	if err := j.addQueues(ctx); err != nil {
		errs = append(errs, err)
	}
	for _, queue := range j.queues {
		r, err := j.repair(ctx, queue)
		if r != (Repairs{}) {
			j.log.Info().Str("queue", queue).Int("archived_deleted", r.Archived).Int("leases_added", r.Leaseless).
				Int("orphans_removed", r.Orphans).Msg("janitor: repaired a queue")
		}
		total.Archived += r.Archived
		total.Leaseless += r.Leaseless
		total.Orphans += r.Orphans
		if err != nil {
			errs = append(errs, fmt.Errorf("janitor: queue %s: %w", queue, err))
		}
	}
	return total, errors.Join(errs...)
}

// addQueues adds the queues to the set of queues. An asynq client does so only once per process, so after a wipe of Redis
// asynq's inspector reports that the queues do not exist.
func (j *Janitor) addQueues(ctx context.Context) error {
	if len(j.queues) == 0 {
		return nil
	}
	if err := j.client.SAdd(ctx, asynqx.Queues, j.queues).Err(); err != nil {
		return fmt.Errorf("janitor: add to the set of queues: %w", err)
	}
	return nil
}

func (j *Janitor) repair(ctx context.Context, queue string) (Repairs, error) {
	keys := asynqx.KeysOf(queue)
	archived, err := j.repeat(ctx, trimScript, []string{keys.Archived}, func(counts) []any {
		return []any{KeepArchived, keys.TaskPrefix, chunk}
	})
	r := Repairs{Archived: archived[0]}
	if err != nil {
		return r, fmt.Errorf("trim the archive: %w", err)
	}
	active, err := j.repeat(ctx, activeScript, []string{keys.Active, keys.Lease}, func(sum counts) []any {
		first := sum[0] - sum[2] // the removed ids are no longer in the list
		return []any{time.Now().Add(leaseDuration).Unix(), keys.TaskPrefix, first, first + chunk - 1}
	})
	r.Leaseless, r.Orphans = active[1], active[2]
	if err != nil {
		return r, fmt.Errorf("repair the active tasks: %w", err)
	}
	return r, nil
}

// counts are the numbers that a script returns. The first is the number of tasks that it visited, at most chunk.
type counts [3]int

// repeat runs a script until it visits fewer than chunk tasks, and returns the sums of its counts. args returns its
// arguments, given the sums so far.
func (j *Janitor) repeat(ctx context.Context, script *redis.Script, keys []string, args func(sum counts) []any) (sum counts, err error) {
	for {
		n, err := script.Run(ctx, j.client, keys, args(sum)...).Int64Slice()
		if err != nil {
			return sum, err
		}
		for i := range n {
			sum[i] += int(n[i])
		}
		if n[0] < chunk {
			return sum, nil
		}
	}
}

// trimScript: KEYS[1] the archive; ARGV[1] how many stay, ARGV[2] the key prefix of a task, ARGV[3] the most to delete. It
// deletes the oldest.
var trimScript = redis.NewScript(`
local extra = math.min(redis.call('ZCARD', KEYS[1]) - ARGV[1], tonumber(ARGV[3]))
if extra <= 0 then return {0} end
local ids = redis.call('ZRANGE', KEYS[1], 0, extra - 1)
for _, id in ipairs(ids) do redis.call('DEL', ARGV[2] .. id) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, extra - 1)
return {extra}
`)

// activeScript: KEYS[1] active, KEYS[2] lease; ARGV[1] the end of a new lease (unix seconds), ARGV[2] the key prefix of a
// task, ARGV[3] first and ARGV[4] last index to visit. It returns how many ids were visited, given a lease and removed.
//
// asynq's recoverer reads only the leases, so an active task without one is never delivered again and blocks its id. Adding
// a fresh lease is enough: a live worker keeps extending it (ExtendLease only updates existing leases), and that of a
// dead worker expires, so no task is delivered to a second worker while the first lives.
var activeScript = redis.NewScript(`
local ids = redis.call('LRANGE', KEYS[1], ARGV[3], ARGV[4])
local leased, removed = 0, 0
for _, id in ipairs(ids) do
	if redis.call('HEXISTS', ARGV[2] .. id, 'msg') == 0 then
		redis.call('LREM', KEYS[1], 0, id)
		redis.call('ZREM', KEYS[2], id)
		redis.call('DEL', ARGV[2] .. id)
		removed = removed + 1
	elseif redis.call('ZADD', KEYS[2], 'NX', ARGV[1], id) == 1 then
		leased = leased + 1
	end
end
return {#ids, leased, removed}
`)
