// Package storagetest gives a test a store of its own: on a real S3-compatible server where KYCQ_TEST_S3 names one, else on
// gofakes3 in memory. Both stand behind the same front, at which a test can lose replies, take the store down or let its
// clock run ahead.
//
// The package is for tests only and must not be imported by production code.
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

// Server is a store and its front.
type Server struct {
	config    storage.Config
	ahead     atomic.Int64 // nanoseconds by which Date is ahead of the wall clock
	mu        sync.Mutex
	intercept Intercept
}

// Intercept stands in for the store: it may answer by itself, call next before or after, or drop the connection (Drop).
type Intercept func(w http.ResponseWriter, r *http.Request, next http.Handler)

// New returns a store with three fresh buckets, on the real server where there is one.
func New(t testing.TB) *storage.Store { return Start(t).Store(t) }

// NewFake returns a store with three fresh buckets on gofakes3 in memory.
func NewFake(t testing.TB) *storage.Store { return StartFake(t).Store(t) }

// NewMinIO returns a store with three fresh buckets on the real server; it skips the test where there is none.
func NewMinIO(t testing.TB) *storage.Store { return StartMinIO(t).Store(t) }

// NewConfig returns the configuration of New, for a test that runs programs of its own against the buckets.
func NewConfig(t testing.TB) storage.Config {
	server := Start(t)
	server.Store(t)
	return server.Config()
}

// Config returns how to reach the server, with bucket names that nobody else uses. The buckets are not there before Store
// or Init.
func (s *Server) Config() storage.Config { return s.config }

// Store opens a store on the server and creates the buckets where they are missing.
func (s *Server) Store(t testing.TB) *storage.Store {
	t.Helper()
	store := s.Open(t)
	if _, err := store.Init(t.Context()); err != nil {
		t.Fatalf("create the test buckets: %v", err)
	}
	return store
}

// Open opens a store and creates nothing.
func (s *Server) Open(t testing.TB) *storage.Store {
	t.Helper()
	store, err := storage.Open(t.Context(), s.config)
	if err != nil {
		t.Fatalf("open the test store: %v", err)
	}
	return store
}

// Advance makes every object look older by d: the server's Date runs ahead of Last-Modified. MinIO refuses requests once
// that is more than 15 minutes, because the SDK's clock follows; the fake does not mind.
func (s *Server) Advance(d time.Duration) { s.ahead.Add(int64(d)) }

// Use puts an intercept before the store; nil takes it away.
func (s *Server) Use(i Intercept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = i
}

// front serves backend with the intercept in front of it, and fills in the configuration.
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
	s.config = s.config.WithDefaults()
}

func (s *Server) date() string {
	return time.Now().Add(time.Duration(s.ahead.Load())).UTC().Format(http.TimeFormat)
}

func (s *Server) credentials(user, password string) {
	s.config.AccessKeyID, s.config.SecretAccessKey = user, redact.NewSecret(password)
}
