package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// pending counts the unfinished jobs that each key has submitted, in a set in Redis. A job leaves the set only when the set is
// full: then some of its jobs are looked up. If Redis loses the set, the count begins anew.
type pending struct {
	redis redis.UniversalClient
	store *storage.Store
	limit int // 0: none
}

const (
	lookUp         = 100 // jobs that are looked up at once
	lookUpParallel = 16
	pendingLife    = 30 * 24 * time.Hour
)

func pendingKey(name string) string { return "kycq:{api}:pending:" + name }

// take counts a job; refund takes the count back. The problem is too_many_pending if the key may have no further job. A job that is
// counted already is not counted twice.
func (p pending) take(ctx context.Context, name string, job tasks.Job) (refund func(context.Context), err error) {
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
	n, err := p.redis.SCard(ctx, key).Result()
	if err == nil && n > int64(p.limit) {
		if n, err = p.prune(ctx, key, member, n); err == nil && n > int64(p.limit) {
			err = failure("too_many_pending", nil)
		}
	}
	if err != nil {
		refund(context.WithoutCancel(ctx))
		return nil, err
	}
	return refund, nil
}

// prune removes jobs that have ended, out of some of the n jobs of a set, and returns how many remain.
func (p pending) prune(ctx context.Context, key, newest string, n int64) (int64, error) {
	members, err := p.redis.SRandMemberN(ctx, key, lookUp).Result()
	if err != nil {
		return n, fmt.Errorf("count the jobs of a key: %w", err)
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
	return n - removed.Load(), err
}
