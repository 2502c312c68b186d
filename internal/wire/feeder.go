package wire

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// newFeeder builds what feeds batches inside a worker, and the board on which the worker's jobs mark their rows.
func newFeeder(rdb redis.UniversalClient, store *storage.Store, keyset *tasks.Keyset, client *tasks.Client, g *gate.Gate, log zerolog.Logger) (*batch.Feeder, *batch.ProgressStore) {
	board := batch.NewProgressStore(rdb, batch.NewStore(store))
	p := &pace{gate: g, known: map[tasks.Kind]paceAt{}}
	return batch.NewFeeder(batch.FeederConfig{
		Redis: rdb, Store: store, Keyset: keyset, Client: client, Progress: board, PerMinute: p.perMinute, Log: log,
	}), board
}

// pace remembers the rates for a moment: a feeder asks ten times a second.
type pace struct {
	gate  *gate.Gate
	mu    sync.Mutex
	known map[tasks.Kind]paceAt
}

type paceAt struct {
	perMinute float64
	at        time.Time
}

const paceLife = 2 * time.Second

func (p *pace) perMinute(ctx context.Context, kind tasks.Kind) (float64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k, ok := p.known[kind]; ok && time.Since(k.at) < paceLife {
		return k.perMinute, nil
	}
	rate, _, err := PerMinute(ctx, p.gate, kind)
	if err != nil {
		return 0, err
	}
	p.known[kind] = paceAt{rate, time.Now()}
	return rate, nil
}

// PerMinute returns the present rate of a kind, and the hold if there is one.
func PerMinute(ctx context.Context, g *gate.Gate, kind tasks.Kind) (float64, *gate.Hold, error) {
	kinds, hold, err := g.Status(ctx)
	if err != nil {
		return 0, nil, err
	}
	for _, k := range kinds {
		if k.Kind == string(kind) {
			return k.PerMinute, hold, nil
		}
	}
	return 0, hold, fmt.Errorf("the gate knows no rate of %s", kind)
}
