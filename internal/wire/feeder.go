package wire

import (
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// newFeeder returns the feeder of a worker, and the progress store to which the worker's jobs report rows.
func newFeeder(rdb redis.UniversalClient, store *storage.Store, keyset *tasks.Keyset, client *tasks.Client, g *gate.Gate, log zerolog.Logger) (*batch.Feeder, *batch.ProgressStore) {
	progress := batch.NewProgressStore(rdb, batch.NewStore(store))
	return batch.NewFeeder(batch.FeederConfig{
		Redis: rdb, Store: store, Keyset: keyset, Client: client, Progress: progress, Gate: g, Log: log,
	}), progress
}
