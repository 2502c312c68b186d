package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// pending counts what each key has submitted that is unfinished: rows of batches, by batch.json and their progress, and jobs, in a
// set in Redis. A job leaves the set only when the limit is reached: then some of its jobs are looked up. If Redis loses the set, the
// count of jobs begins anew.
type pending struct {
	redis   redis.UniversalClient
	store   *storage.Store
	control func() *batch.Control
	limit   int // 0: none

	mu   sync.Mutex
	rows map[string]openRows // by key
}

// openRows is how many unfinished rows of batches a key had at a time.
type openRows struct {
	n  int
	at time.Time
}

const (
	rowsLife       = 5 * time.Second // a job is not worth a list of the batches in S3
	lookUp         = 100             // jobs that are looked up at once
	lookUpParallel = 16
	pendingLife    = 30 * 24 * time.Hour
)

func pendingKey(name string) string { return "kycq:{api}:pending:" + name }

// take counts a job; refund takes the count back. The problem is too_many_pending if the key may have no further job. A job that is
// counted already is not counted twice.
func (p *pending) take(ctx context.Context, name string, job tasks.Job) (refund func(context.Context), err error) {
	nothing := func(context.Context) {}
	if p.limit == 0 {
		return nothing, nil
	}
	key, member := pendingKey(name), string(job.Kind)+"/"+job.VerificationID
	added, err := p.redis.SAdd(ctx, key, member).Result()
	if err != nil {
		return nil, fmt.Errorf("count the jobs of a key: %w", err)
	}
	if added == 0 {
		return nothing, nil
	}
	refund = func(ctx context.Context) { _ = p.redis.SRem(ctx, key, member).Err() }
	_ = p.redis.Expire(ctx, key, pendingLife).Err()
	if err := p.check(ctx, name, member, 0); err != nil {
		refund(context.WithoutCancel(ctx))
		return nil, err
	}
	return refund, nil
}

// check returns the problem too_many_pending if the jobs of a key, of which newest was added just now, the unfinished rows of its
// batches and further rows exceed the limit.
func (p *pending) check(ctx context.Context, name, newest string, rows int) error {
	if p.limit == 0 {
		return nil
	}
	jobs, err := p.redis.SCard(ctx, pendingKey(name)).Result()
	if err != nil {
		return fmt.Errorf("count the jobs of a key: %w", err)
	}
	p.mu.Lock()
	last := p.rows[name]
	p.mu.Unlock()
	if rows == 0 && time.Since(last.at) < rowsLife && int(jobs)+last.n <= p.limit {
		return nil
	}
	open, err := p.control().RowsOf(ctx, name)
	if err != nil {
		return err
	}
	for over := int(jobs) + open + rows - p.limit; over > 0; {
		ended, err := p.prune(ctx, pendingKey(name), newest)
		if err != nil {
			return err
		}
		if ended == 0 {
			return failure("too_many_pending", nil)
		}
		over -= ended
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rows[name] = openRows{open + rows, time.Now()}
	return nil
}

// prune removes jobs that have ended, out of some of a set, and returns how many.
func (p *pending) prune(ctx context.Context, key, newest string) (int, error) {
	members, err := p.redis.SRandMemberN(ctx, key, lookUp).Result()
	if err != nil {
		return 0, fmt.Errorf("count the jobs of a key: %w", err)
	}
	var removed atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookUpParallel)
	for _, member := range members {
		kind, id, _ := strings.Cut(member, "/")
		if member == newest {
			continue
		}
		group.Go(func() error {
			rec, _, err := p.store.Record(ctx, tasks.Kind(kind), id)
			switch {
			case errors.Is(err, storage.ErrNotFound): // its submission was cut off
			case err != nil:
				return err
			case !rec.State.Final():
				return nil
			}
			gone, err := p.redis.SRem(ctx, key, member).Result()
			removed.Add(gone)
			return err
		})
	}
	err = group.Wait()
	return int(removed.Load()), err
}
