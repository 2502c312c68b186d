// Package admin is the handler of the worker's own HTTP listener.
//
//	/livez         200 while the process runs. It does not check Redis: an outage must not restart the fleet.
//	/readyz        200 if Redis takes writes, calls may be made and the worker is not shutting down, otherwise 503 with the reason.
//	/metrics       Prometheus metrics.
//	/debug/pprof/  for clients on this machine only.
//
// No path needs a login, so no answer may hold an id, personal data or a secret. Only GET and HEAD are allowed.
package admin

import (
	"context"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/kycq/kycq/internal/loopback"
)

// Config configures a Handler. Redis and Metrics are required.
type Config struct {
	// Redis returns why Redis cannot be used, without addresses; "" if it can.
	Redis func(ctx context.Context) string
	// Blocked returns why the worker may not make calls, "" if it may; nil: it always may.
	Blocked func() string
	// Metrics serves /metrics.
	Metrics http.Handler
}

// pingTimeout is less than the default timeout of a Kubernetes probe (1 s).
const pingTimeout = 900 * time.Millisecond

// Handler is an http.Handler. It is safe for concurrent use.
type Handler struct {
	cfg      Config
	mux      *http.ServeMux
	draining atomic.Bool
}

// New builds the handler. It makes no network calls.
func New(cfg Config) *Handler {
	h := &Handler{cfg: cfg, mux: http.NewServeMux()}
	h.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, "alive") })
	h.mux.HandleFunc("GET /readyz", h.ready)
	h.mux.Handle("GET /metrics", cfg.Metrics)
	h.mux.Handle("GET /debug/pprof/", local(http.HandlerFunc(pprof.Index)))
	h.mux.Handle("GET /debug/pprof/cmdline", local(http.NotFoundHandler())) // flags may name files and hosts
	h.mux.Handle("GET /debug/pprof/profile", local(http.HandlerFunc(pprof.Profile)))
	h.mux.Handle("GET /debug/pprof/symbol", local(http.HandlerFunc(pprof.Symbol)))
	h.mux.Handle("GET /debug/pprof/trace", local(http.HandlerFunc(pprof.Trace)))
	return h
}

// Drain makes /readyz answer 503 from now on.
func (h *Handler) Drain() { h.draining.Store(true) }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	h.mux.ServeHTTP(w, r)
}

func (h *Handler) ready(w http.ResponseWriter, r *http.Request) {
	if h.draining.Load() {
		reply(w, http.StatusServiceUnavailable, "draining: the worker is shutting down")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pingTimeout)
	defer cancel()
	if reason := h.cfg.Redis(ctx); reason != "" {
		reply(w, http.StatusServiceUnavailable, reason)
		return
	}
	if h.cfg.Blocked != nil {
		if reason := h.cfg.Blocked(); reason != "" {
			reply(w, http.StatusServiceUnavailable, reason)
			return
		}
	}
	reply(w, http.StatusOK, "ready")
}

func reply(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

// local answers 404 to clients on other machines. It checks the Host header too, against DNS rebinding: a browser that
// resolves a foreign name to 127.0.0.1 still sends that name.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback.Is(r.RemoteAddr) || !loopback.Is(r.Host) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
