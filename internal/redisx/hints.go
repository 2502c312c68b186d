package redisx

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Hints is what Redis remembers of jobs beside the queues: how often one took its worker down, answers on their way to
// S3, the day's reissues, and the open set. It is safe for concurrent use.
type Hints struct {
	client redis.UniversalClient
	open   *OpenSet
}

// NewHints keeps them in the server behind client.
func NewHints(client redis.UniversalClient) *Hints {
	return &Hints{client: client, open: NewOpenSet(client)}
}

// CloseJob takes a job whose record is final off the open set.
func (h *Hints) CloseJob(ctx context.Context, kind, id string) error {
	return h.open.Remove(ctx, kind, id)
}
