package blocked

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/storage"
)

// Jobs says why jobs do not go on, with the fleet as it was at the first unfinished one. Redis may be down, since records are in S3.
type Jobs struct {
	Redis redis.UniversalClient
	Gate  Gate
	Store *storage.Store

	fleet   *Fleet
	lost    bool                     // Redis did not answer
	batches map[string]*batch.Status // nil if it is not known
}

// patience is how long Redis is waited for.
const patience = 3 * time.Second

// Of returns why a job does not go on, nil if it does or has ended.
func (j *Jobs) Of(ctx context.Context, rec *storage.Record) *Reason {
	if rec.State.Final() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var reason *Reason
	var err error
	if j.fleet == nil && !j.lost {
		j.fleet, err = Read(ctx, j.Redis, j.Gate)
	}
	if err == nil && !j.lost {
		reason, err = j.fleet.Job(rec, j.status(ctx, rec.Batch))
	}
	if j.lost = j.lost || err != nil; j.lost {
		return NoRedis()
	}
	return reason
}

// status returns the status of a batch, nil if there is none or it cannot be read: the reason then says less.
func (j *Jobs) status(ctx context.Context, id string) *batch.Status {
	s, known := j.batches[id]
	if id == "" || known {
		return s
	}
	s, _, _ = batch.NewControl(j.Redis, j.Store).Status(ctx, id)
	if j.batches == nil {
		j.batches = map[string]*batch.Status{}
	}
	j.batches[id] = s
	return s
}
