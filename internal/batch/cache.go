package batch

import (
	"sync"
	"time"
)

// cache keeps values for a while. It is safe for concurrent use. The zero value with a life is ready.
type cache[K comparable, V any] struct {
	life time.Duration

	mu      sync.Mutex
	entries map[K]cached[V]
}

type cached[V any] struct {
	value V
	at    time.Time
}

// maxCached bounds the memory of a cache.
const maxCached = 100

// get returns the cached value of a key, or loads it if there is none or it is older than life. Errors are not cached.
func (c *cache[K, V]) get(key K, load func() (V, error)) (V, error) {
	c.mu.Lock()
	e, ok := c.entries[key]
	c.mu.Unlock()
	if ok && time.Since(e.at) < c.life {
		return e.value, nil
	}
	value, err := load()
	if err != nil {
		return value, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil || len(c.entries) >= maxCached {
		c.entries = map[K]cached[V]{}
	}
	c.entries[key] = cached[V]{value, time.Now()}
	return value, nil
}
