package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// pending counts, in Redis, the unfinished jobs that each key has submitted: single jobs in a set, and the rows of batches in a
// hash by batch. What has ended is noticed only when the limit is reached: then some of the jobs and all batches are looked up.
// If Redis loses the counts, they begin anew.
type pending struct {
	redis   redis.UniversalClient
	store   *storage.Store
	control func() *batch.Control
	limit   int // 0: none
}

const (
	lookUp         = 100 // jobs that are looked up at once
	lookUpParallel = 16
	pendingLife    = 30 * 24 * time.Hour
)

func pendingKey(name string) string { return "kycq:{api}:pending:" + name }

func batchesKey(key string) string { return key + ":batches" }

// takeJob counts a job; refund takes the count back. The problem is too_many_pending if the key may have no further job. A job that
// is counted already is not counted twice.
func (p pending) takeJob(ctx context.Context, name string, job tasks.Job) (refund func(context.Context), err error) {
	key, member := pendingKey(name), string(job.Kind)+"/"+job.VerificationID
	return p.take(ctx, key, member, func() (bool, error) {
		added, err := p.redis.SAdd(ctx, key, member).Result()
		return added > 0, err
	}, func(ctx context.Context) { _ = p.redis.SRem(ctx, key, member).Err() })
}

// takeBatch is takeJob for the rows of a batch.
func (p pending) takeBatch(ctx context.Context, name, id string, rows int) (refund func(context.Context), err error) {
	key := pendingKey(name)
	return p.take(ctx, key, id, func() (bool, error) { return p.redis.HSetNX(ctx, batchesKey(key), id, rows).Result() },
		func(ctx context.Context) { _ = p.redis.HDel(ctx, batchesKey(key), id).Err() })
}

func (p pending) take(ctx context.Context, key, newest string, add func() (bool, error), refund func(context.Context)) (func(context.Context), error) {
	nothing := func(context.Context) {}
	if p.limit == 0 {
		return nothing, nil
	}
	added, err := add()
	if err != nil {
		return nil, fmt.Errorf("count the jobs of a key: %w", err)
	}
	if !added {
		return nothing, nil
	}
	full, err := p.full(ctx, key)
	if full && err == nil {
		if err = p.prune(ctx, key, newest); err == nil {
			full, err = p.full(ctx, key)
		}
	}
	if full && err == nil {
		err = failure("too_many_pending", nil)
	}
	if err != nil {
		refund(context.WithoutCancel(ctx))
		return nil, err
	}
	return refund, nil
}

// full reports whether more is counted for a key than it may have.
func (p pending) full(ctx context.Context, key string) (bool, error) {
	pipe := p.redis.Pipeline()
	jobs, batches := pipe.SCard(ctx, key), pipe.HVals(ctx, batchesKey(key))
	pipe.Expire(ctx, key, pendingLife)
	pipe.Expire(ctx, batchesKey(key), pendingLife)
	if _, err := pipe.Exec(ctx); err != nil {
		return false, fmt.Errorf("count the jobs of a key: %w", err)
	}
	n := jobs.Val()
	for _, rows := range batches.Val() {
		count, _ := strconv.ParseInt(rows, 10, 64)
		n += count
	}
	return n > int64(p.limit), nil
}

// prune removes what has ended from a key's counts, except what is being submitted.
func (p pending) prune(ctx context.Context, key, newest string) error {
	members, err := p.redis.SRandMemberN(ctx, key, lookUp).Result()
	if err != nil {
		return fmt.Errorf("count the jobs of a key: %w", err)
	}
	batches, err := p.redis.HGetAll(ctx, batchesKey(key)).Result()
	if err != nil {
		return fmt.Errorf("count the jobs of a key: %w", err)
	}
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
			return p.redis.SRem(ctx, key, member).Err()
		})
	}
	for id := range batches {
		if id == newest {
			continue
		}
		group.Go(func() error {
			s, _, err := p.control().Status(ctx, id)
			switch {
			case errors.Is(err, batch.ErrNotFound): // its submission was cut off
			case err != nil:
				return err
			case !s.Done:
				return p.redis.HSet(ctx, batchesKey(key), id, s.Rows-s.Ended).Err()
			}
			return p.redis.HDel(ctx, batchesKey(key), id).Err()
		})
	}
	return group.Wait()
}
