package wire

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

const (
	dailyEvery = 24 * time.Hour
	dailyLook  = time.Hour       // how often a worker looks whether the fleet's daily work is due
	dailyFirst = 2 * time.Minute // after the start
)

// daily does the fleet's daily work until ctx ends.
func (w *Worker) daily(ctx context.Context) {
	for wait := dailyFirst; sleep.For(ctx, wait) == nil; wait = dailyLook {
		w.doDaily(ctx)
	}
}

// doDaily does the daily work, if no worker has done it in the last 24 hours: it renews images that are still needed, and erases
// what is no longer to be kept.
func (w *Worker) doDaily(ctx context.Context) {
	turn := redisx.NewLeader(w.redis, "daily", dailyEvery)
	if mine, err := turn.Lead(ctx); err != nil || !mine {
		return
	}
	renewed, err := w.store.RenewImages(ctx, w.isOpen)
	w.noteRenewal(ctx, err)
	if err = errors.Join(err, w.retention.Run(ctx)); err == nil {
		w.log.Info().Int("renewed_images", renewed).Msg("daily work ended")
		return
	}
	_ = turn.Resign(context.WithoutCancel(ctx)) // it ends by itself
	if ctx.Err() == nil {
		w.log.Warn().Err(err).Msg("the daily work is incomplete: retrying in an hour")
	}
}

// noteRenewal notes a complete renewal of images, and warns if the last one was too long ago.
func (w *Worker) noteRenewal(ctx context.Context, err error) {
	if err == nil {
		_ = redisx.MarkRenewed(ctx, w.redis) // if that fails, kycq doctor warns without need
		return
	}
	if recent, redisErr := redisx.Renewed(ctx, w.redis); redisErr == nil && !recent && ctx.Err() == nil {
		w.log.Error().Err(err).Msgf("no renewal of images was complete in the last %d days: those of open jobs, open reviews and legal holds "+
			"are deleted 30 days after their last one; remove the cause", redisx.RenewalLate/dailyEvery)
	}
}

// isOpen reports whether a batch has not ended.
func (w *Worker) isOpen(ctx context.Context, id string) (bool, error) {
	b, err := batch.NewStore(w.store).Load(ctx, id)
	if errors.Is(err, batch.ErrNotFound) {
		return false, nil
	}
	return err == nil && !b.Done(), err
}

// NewRetention builds the retention of the settings. enter writes an event to the audit trail.
func NewRetention(
	cfg *config.Config, rdb redis.UniversalClient, store *storage.Store, keyset *tasks.Keyset, log zerolog.Logger,
	enter func(context.Context, audit.Act) error,
) *worker.Retention {
	return &worker.Retention{
		Rules: cfg.Retention, Store: store, Keyset: keyset, Forget: worker.ForgetInRedis(rdb), Log: log,
		EraseRows: func(ctx context.Context, kind tasks.Kind, ids map[string]bool) error {
			_, err := batch.EraseRows(ctx, store, keyset, kind, ids)
			return err
		},
		Audit: func(ctx context.Context, kind tasks.Kind, id, reason string) error {
			return enter(ctx, audit.Act{Action: "erase", Kind: string(kind), VerificationID: id, Reason: reason})
		},
	}
}
