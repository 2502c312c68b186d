// Package storagetest starts stores for tests: on the S3 server of KYCQ_TEST_S3 if set, else on gofakes3 in memory. Both are
// behind a proxy with which a test can lose responses, take the store down, or set its clock forward.
//
// Production code must not import it.
package storagetest

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/storage"
)

// Server is an S3 server behind the proxy.
type Server struct {
	config    storage.Config
	ahead     atomic.Int64 // nanoseconds added to Date
	mu        sync.Mutex
	intercept Intercept
}

// Intercept handles a request before the store (next): it may answer, forward it, or drop the connection (Drop).
type Intercept func(w http.ResponseWriter, r *http.Request, next http.Handler)

// New returns a store with three new buckets, on the real server if there is one.
func New(t testing.TB) *storage.Store { return Start(t).Store(t) }

// NewFake returns a store with three new buckets on gofakes3.
func NewFake(t testing.TB) *storage.Store { return StartFake(t).Store(t) }

// Config returns the configuration of the store, with bucket names of its own. Store or Init creates the buckets.
func (s *Server) Config() storage.Config { return s.config }

// Store opens the store and creates missing buckets.
func (s *Server) Store(t testing.TB) *storage.Store {
	t.Helper()
	store := s.Open(t)
	if _, err := store.Buckets().Init(t.Context()); err != nil {
		t.Fatalf("create the test buckets: %v", err)
	}
	return store
}

// Open opens the store without creating buckets.
func (s *Server) Open(t testing.TB) *storage.Store {
	t.Helper()
	store, err := storage.Open(t.Context(), s.config)
	if err != nil {
		t.Fatalf("open the test store: %v", err)
	}
	return store
}

// Advance makes all objects look older by d: it sets the server's Date forward. The SDK's clock follows, so MinIO refuses
// requests beyond 15 minutes; the fake does not.
func (s *Server) Advance(d time.Duration) { s.ahead.Add(int64(d)) }

// Use sets the intercept; nil removes it.
func (s *Server) Use(i Intercept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = i
}

// front starts the proxy and fills in the configuration.
func (s *Server) front(t testing.TB, backend http.Handler) {
	t.Helper()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		intercept := s.intercept
		s.mu.Unlock()
		if intercept == nil {
			backend.ServeHTTP(w, r)
			return
		}
		intercept(w, r, backend)
	}))
	t.Cleanup(front.Close)
	s.config.Endpoint = front.URL
	s.config = s.Open(t).Config()
}

func (s *Server) date() string {
	return time.Now().Add(time.Duration(s.ahead.Load())).UTC().Format(http.TimeFormat)
}

func (s *Server) credentials(user, password string) {
	s.config.AccessKeyID, s.config.SecretAccessKey = user, redact.NewSecret(password)
}
