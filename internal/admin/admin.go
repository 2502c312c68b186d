// Package admin is the worker's own HTTP listener: is it alive, is it ready, what has it counted.
//
//	/livez    200 as long as the process answers. It never looks at Redis: an outage must not restart the fleet.
//	/readyz   200 where Redis answers and the worker is not shutting down; 503 and one line otherwise.
//	/metrics  for Prometheus.
//	/debug/pprof/  for callers of this machine only.
//
// Nothing here needs a login, so nothing here may hold an id, an address of a person or a secret. It takes no orders:
// everything but GET and HEAD is refused.
package admin

import (
	"context"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// Config is what the listener shows.
type Config struct {
	// Ping asks Redis whether it answers.
	Ping func(ctx context.Context) error
	// Metrics serves /metrics.
	Metrics http.Handler
}

// pingTime is how long Redis gets: less than the second that Kubernetes waits for a probe by default.
const pingTime = 900 * time.Millisecond

// Handler is an http.Handler. It is safe for concurrent use.
type Handler struct {
	cfg      Config
	mux      *http.ServeMux
	draining atomic.Bool
}

// New builds the handler; it starts nothing.
func New(cfg Config) *Handler {
	h := &Handler{cfg: cfg, mux: http.NewServeMux()}
	h.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "alive") })
	h.mux.HandleFunc("GET /readyz", h.ready)
	h.mux.Handle("GET /metrics", cfg.Metrics)
	h.mux.Handle("GET /debug/pprof/", local(http.HandlerFunc(pprof.Index)))
	h.mux.Handle("GET /debug/pprof/cmdline", local(http.NotFoundHandler())) // flags may name files and hosts
	h.mux.Handle("GET /debug/pprof/profile", local(http.HandlerFunc(pprof.Profile)))
	h.mux.Handle("GET /debug/pprof/symbol", local(http.HandlerFunc(pprof.Symbol)))
	h.mux.Handle("GET /debug/pprof/trace", local(http.HandlerFunc(pprof.Trace)))
	return h
}

// Drain makes /readyz say no from now on: the worker takes no more jobs.
func (h *Handler) Drain() { h.draining.Store(true) }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	h.mux.ServeHTTP(w, r)
}

func (h *Handler) ready(w http.ResponseWriter, r *http.Request) {
	if h.draining.Load() {
		say(w, http.StatusServiceUnavailable, "draining: the worker is shutting down")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pingTime)
	defer cancel()
	if err := h.cfg.Ping(ctx); err != nil {
		// Not the error: it names the address.
		say(w, http.StatusServiceUnavailable, "redis is not reachable")
		return
	}
	say(w, http.StatusOK, "ready")
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

// local refuses callers from elsewhere, and those from here who were sent by a page of elsewhere: a browser that was led
// to resolve a foreign name to 127.0.0.1 still sends that name as Host.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.RemoteAddr) || !isLoopback(r.Host) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback reads host:port, or a host alone.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
