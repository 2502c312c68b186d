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

// MaxFill is the share of maxmemory at which enqueuing stops. The rest is reserved for processing: at maxmemory with
// noeviction asynq cannot even dequeue, since its scripts write.
const MaxFill = 0.70

// headroomAge is how long a reading is cached. 10,000 jobs, which a producer may enqueue in this time, take about 10 MB.
const headroomAge = time.Second

// ErrFull means that Redis uses MaxFill of its maxmemory or more.
var ErrFull = errors.New("redis is nearly full")

// Memory is in bytes. Max is 0 if maxmemory is not set.
type Memory struct{ Used, Max int64 }

// Fill is the used share of the limit, 0 if there is no limit.
func (m Memory) Fill() float64 {
	if m.Max <= 0 {
		return 0
	}
	return float64(m.Used) / float64(m.Max)
}

// ReadMemory reads INFO memory. It returns the zero Memory if the server refuses INFO.
func ReadMemory(ctx context.Context, client redis.UniversalClient) (Memory, error) {
	text, err := client.Info(ctx, "memory").Result()
	var refused redis.Error
	switch {
	case errors.As(err, &refused):
		return Memory{}, nil
	case err != nil:
		return Memory{}, wrap("read the memory of redis", err)
	}
	info := serverInfo{}
	info.add(text)
	var m Memory
	m.Used, _ = strconv.ParseInt(info["used_memory"], 10, 64)
	m.Max, _ = strconv.ParseInt(info["maxmemory"], 10, 64)
	return m, nil
}

// ReadPersistence reports whether the server writes an append-only file without errors, and false if it refuses INFO.
func ReadPersistence(ctx context.Context, client redis.UniversalClient) (persistent, known bool) {
	info := serverInfo{}
	info.add(client.Info(ctx, "persistence").Val())
	_, known = info["aof_enabled"]
	return info["aof_enabled"] == "1" && info["aof_last_write_status"] != "err" && info["aof_last_bgrewrite_status"] != "err", known
}

// Headroom checks whether Redis has memory for new tasks. It is safe for concurrent use.
type Headroom struct {
	client redis.UniversalClient

	mu   sync.Mutex
	read time.Time
	last Memory
}

// NewHeadroom checks the server of client.
func NewHeadroom(client redis.UniversalClient) *Headroom { return &Headroom{client: client} }

// Check returns ErrFull if Redis uses MaxFill of its memory or more. The reading may be headroomAge old.
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
		return fmt.Errorf("%w: %d of %d MB (%.0f %%) used, enqueuing stops at %.0f %%: wait until the queues are shorter, or raise maxmemory",
			ErrFull, h.last.Used>>20, h.last.Max>>20, fill*100, MaxFill*100)
	}
	return nil
}
