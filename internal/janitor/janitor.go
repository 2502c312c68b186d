package janitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/asynqx"
)

const (
	// KeepArchived is how many archived tasks each queue keeps, the newest. asynq keeps 9,999 and drops the rest without a
	// word; and once some 8,000 of them are older than 90 days its script unpacks more than Lua's stack takes, and no task
	// can be archived any more.
	KeepArchived = 1000
	// chunk bounds what one script handles: Redis serves nobody else meanwhile.
	chunk = 500
	// leaseLife is that of asynq's own leases. Live workers extend theirs every 5 s.
	leaseLife = 30 * time.Second
	// leaseMargin is how long a lease must be over before its task is taken from its worker: asynq's own allowance for
	// clocks that differ.
	leaseMargin = 30 * time.Second
	// recoverEvery is how often leases are looked at. asynq looks every minute and cannot be told otherwise; with its look
	// alone a dead worker's jobs wait for up to two minutes.
	recoverEvery = 10 * time.Second
)

// Janitor looks after the queues. It is safe for concurrent use.
type Janitor struct {
	client redis.UniversalClient
	queues []string
	log    zerolog.Logger
}

// New makes a janitor of the named queues. It does not connect.
func New(client redis.UniversalClient, queues []string, log zerolog.Logger) *Janitor {
	return &Janitor{client: client, queues: queues, log: log}
}

// Found counts what a round has mended.
type Found struct {
	Archived  int // archived tasks beyond KeepArchived, deleted
	Leaseless int // active tasks without a lease, given one
	Ghosts    int // active ids without a task, removed
}

// Run does one round and logs what it mended. An error of one queue does not keep it from the others.
func (j *Janitor) Run(ctx context.Context) error {
	_, err := j.Round(ctx)
	return err
}

// Round is Run, and tells what it found.
func (j *Janitor) Round(ctx context.Context) (Found, error) {
	var total Found
	var errs []error
	if err := j.list(ctx); err != nil {
		errs = append(errs, err)
	}
	for _, queue := range j.queues {
		found, err := j.clean(ctx, queue)
		if found != (Found{}) {
			j.log.Info().Str("queue", queue).Int("archived_deleted", found.Archived).Int("leases_given", found.Leaseless).
				Int("ghosts_removed", found.Ghosts).Msg("janitor: mended a queue")
		}
		total.Archived += found.Archived
		total.Leaseless += found.Leaseless
		total.Ghosts += found.Ghosts
		if err != nil {
			errs = append(errs, fmt.Errorf("janitor: queue %s: %w", queue, err))
		}
	}
	return total, errors.Join(errs...)
}

// list publishes the queues' names. asynq's client does so once in the life of its process, so that after a wipe the
// inspector denies that the queues exist until some process is restarted.
func (j *Janitor) list(ctx context.Context) error {
	if len(j.queues) == 0 {
		return nil
	}
	names := make([]any, len(j.queues))
	for i, queue := range j.queues {
		names[i] = queue
	}
	if err := j.client.SAdd(ctx, asynqx.Queues, names...).Err(); err != nil {
		return fmt.Errorf("janitor: list the queues: %w", err)
	}
	return nil
}

func (j *Janitor) clean(ctx context.Context, queue string) (found Found, err error) {
	keys := asynqx.KeysOf(queue)
	if found.Archived, err = j.trim(ctx, keys); err != nil {
		return found, fmt.Errorf("trim the archive: %w", err)
	}
	if found.Leaseless, found.Ghosts, err = j.arm(ctx, keys); err != nil {
		return found, fmt.Errorf("look through the active tasks: %w", err)
	}
	return found, nil
}

// trimScript: KEYS[1] the archive; ARGV[1] how many stay, ARGV[2] the prefix of a task, ARGV[3] the most to delete. The
// oldest go first.
var trimScript = redis.NewScript(`
local extra = math.min(redis.call('ZCARD', KEYS[1]) - ARGV[1], tonumber(ARGV[3]))
if extra <= 0 then return 0 end
local ids = redis.call('ZRANGE', KEYS[1], 0, extra - 1)
for _, id in ipairs(ids) do redis.call('DEL', ARGV[2] .. id) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, extra - 1)
return extra
`)

func (j *Janitor) trim(ctx context.Context, keys asynqx.Keys) (deleted int, err error) {
	for {
		n, err := trimScript.Run(ctx, j.client, []string{keys.Archived}, KeepArchived, keys.TaskPrefix, chunk).Int()
		deleted += n
		if err != nil || n < chunk {
			return deleted, err
		}
	}
}

// armScript: KEYS[1] active, KEYS[2] lease; ARGV[1] when a new lease ends (unix seconds), ARGV[2] the prefix of a task,
// ARGV[3] first and ARGV[4] last place in the list to look at. It returns how many were looked at, armed and removed.
//
// asynq's recoverer reads the leases alone, so that an active task without one is never delivered again, and its id stays
// taken. A fresh lease leaves the rest to asynq: a worker that still has the task goes on extending it (ExtendLease only
// updates what is there), and that of a dead worker runs out and brings the task back. So no task is handed to a second
// worker while the first lives.
var armScript = redis.NewScript(`
local ids = redis.call('LRANGE', KEYS[1], ARGV[3], ARGV[4])
local armed, removed = 0, 0
for _, id in ipairs(ids) do
	if redis.call('HEXISTS', ARGV[2] .. id, 'msg') == 0 then
		redis.call('LREM', KEYS[1], 0, id)
		redis.call('ZREM', KEYS[2], id)
		redis.call('DEL', ARGV[2] .. id)
		removed = removed + 1
	elseif redis.call('ZADD', KEYS[2], 'NX', ARGV[1], id) == 1 then
		armed = armed + 1
	end
end
return {#ids, armed, removed}
`)

func (j *Janitor) arm(ctx context.Context, keys asynqx.Keys) (armed, removed int, err error) {
	for first := 0; ; {
		until := time.Now().Add(leaseLife).Unix()
		n, err := armScript.Run(ctx, j.client, []string{keys.Active, keys.Lease}, until, keys.TaskPrefix, first, first+chunk-1).Int64Slice()
		if err != nil {
			return armed, removed, err
		}
		seen, gone := int(n[0]), int(n[2])
		armed += int(n[1])
		removed += gone
		if seen < chunk {
			return armed, removed, nil
		}
		first += seen - gone
	}
}
