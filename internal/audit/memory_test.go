package audit_test

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/kycq/kycq/internal/objects"
)

// memory is a bucket in memory whose calls can be made to fail.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	etags   map[string]string
	writes  int
	// before is called before each operation, which returns its error.
	before func(op, key string) error
}

func newMemory() *memory {
	return &memory{objects: map[string][]byte{}, etags: map[string]string{}}
}

func (m *memory) hook(op, key string) error {
	m.mu.Lock()
	before := m.before
	m.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(op, key)
}

func (m *memory) put(key string, body []byte) string {
	m.writes++
	m.objects[key], m.etags[key] = slices.Clone(body), strconv.Itoa(m.writes)
	return m.etags[key]
}

func (m *memory) Create(_ context.Context, key string, body []byte) (string, error) {
	if err := m.hook("create", key); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.objects[key]; found {
		return "", objects.ErrExists
	}
	return m.put(key, body), nil
}

func (m *memory) Swap(_ context.Context, key string, body []byte, etag string) (string, error) {
	if err := m.hook("swap", key); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.etags[key] != etag || etag == "" {
		return "", objects.ErrConflict
	}
	return m.put(key, body), nil
}

func (m *memory) Get(_ context.Context, key string) (*objects.Object, error) {
	if err := m.hook("read", key); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	body, found := m.objects[key]
	if !found {
		return nil, objects.ErrNotFound
	}
	return &objects.Object{Body: slices.Clone(body), ETag: m.etags[key]}, nil
}

func (m *memory) List(_ context.Context, prefix string) iter.Seq2[objects.Info, error] {
	return func(yield func(objects.Info, error) bool) {
		if err := m.hook("list", prefix); err != nil {
			yield(objects.Info{}, err)
			return
		}
		for _, key := range m.keys() {
			if strings.HasPrefix(key, prefix) && !yield(objects.Info{Key: key}, nil) {
				return
			}
		}
	}
}

func (m *memory) keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.objects))
}

// text, set and remove access the bucket without kycq.
func (m *memory) text(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.objects[key])
}

func (m *memory) set(key, body string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(key, []byte(body))
}

func (m *memory) remove(keys ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		delete(m.objects, key)
		delete(m.etags, key)
	}
}
