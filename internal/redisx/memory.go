package redisx

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// MaxFill is the share of maxmemory from which nothing new is enqueued. At maxmemory with noeviction asynq cannot even
// dequeue (its scripts write), so the rest belongs to those who empty the queues.
const MaxFill = 0.70

// headroomAge is how old an answer of INFO may be: a producer of 10,000 jobs a second fills about 10 MB in this time.
const headroomAge = time.Second

// ErrFull says that Redis is filled beyond MaxFill of its maxmemory.
var ErrFull = errors.New("redis is nearly full")

// Memory is what Redis uses, in bytes. Max is 0 where Redis has no limit of its own.
type Memory struct{ Used, Max int64 }

// Fill is the used share of the limit, 0 where there is none.
func (m Memory) Fill() float64 {
	if m.Max <= 0 {
		return 0
	}
	return float64(m.Used) / float64(m.Max)
}

// ReadMemory asks the server. A server that refuses INFO memory counts as one without a limit.
func ReadMemory(ctx context.Context, client redis.UniversalClient) (Memory, error) {
	text, err := client.Info(ctx, "memory").Result()
	var refused redis.Error
	switch {
	case errors.As(err, &refused):
		return Memory{}, nil
	case err != nil:
		return Memory{}, fmt.Errorf("ask redis for its memory: %w", err)
	}
	info := serverInfo{}
	info.add(text)
	var m Memory
	m.Used, _ = strconv.ParseInt(info["used_memory"], 10, 64)
	m.Max, _ = strconv.ParseInt(info["maxmemory"], 10, 64)
	return m, nil
}

// Headroom guards what puts new work into Redis. It is safe for concurrent use.
type Headroom struct {
	client redis.UniversalClient

	mu   sync.Mutex
	read time.Time
	last Memory
}

// NewHeadroom guards the server behind client.
func NewHeadroom(client redis.UniversalClient) *Headroom { return &Headroom{client: client} }

// Check returns an error that Is ErrFull once Redis is filled beyond MaxFill. What it says may be a second old.
func (h *Headroom) Check(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.read) > headroomAge {
		m, err := ReadMemory(ctx, h.client)
		if err != nil {
			return err
		}
		h.last, h.read = m, time.Now()
	}
	if fill := h.last.Fill(); fill >= MaxFill {
		return fmt.Errorf("%w: %d of %d MB (%.0f %%) are used, nothing is enqueued from %.0f %% on: wait until the queues are shorter, or raise maxmemory",
			ErrFull, h.last.Used>>20, h.last.Max>>20, fill*100, MaxFill*100)
	}
	return nil
}
