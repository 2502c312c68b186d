// Package dashboard serves asynqmon, asynq's monitoring page, behind a login.
//
// asynqmon has no login, shows the contents of Redis unfiltered, loads fonts from other hosts and needs inline scripts.
// This package adds a login for every path, hides everything that could be personal data, is read-only unless configured
// otherwise, and sets a content security policy that allows no other host. It accesses the queues only through asynqmon,
// and never the records.
package dashboard

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// DefaultPath is the path of the page.
const DefaultPath = "/asynqmon"

// Config configures a Handler. Only Redis is required.
type Config struct {
	// Redis gets a hook (missingTasks). The caller closes it.
	Redis redis.UniversalClient
	// Path is the path of the page: it begins with a slash and does not end with one. Default: DefaultPath.
	Path string
	// Origin is a further origin (https://host) whose pages may request changes, for a proxy under another name. May be empty.
	Origin string
	// Login checks credentials. If it is nil, every request to a loopback address is allowed; the caller must then listen
	// on a loopback address only.
	Login *Login
	// Proxies are the addresses of proxies whose X-Forwarded-For is believed. May be empty.
	Proxies []netip.Prefix
	// Operate allows changes: pause, run, archive, delete. If it is false, only GET and HEAD are allowed.
	Operate bool
	// PrometheusURL is the server that asynqmon's metrics page queries. If it is empty, the page is hidden.
	PrometheusURL string
	// Audit enters a change into the audit trail before it is made; if it fails, the change is refused. detail is words only.
	// Required with Operate.
	Audit func(ctx context.Context, user string, detail map[string]string) error
	Log   zerolog.Logger
}

// script shows on asynqmon's metrics page that Prometheus does not answer.
//
//go:embed kycq.js
var script []byte

// logout is added to script for a browser with a session.
//
//go:embed logout.js
var logout []byte

const scriptPath = "/kycq.js"

// Handler is the dashboard. It is safe for concurrent use.
type Handler struct {
	cfg     Config
	inner   http.Handler
	page    page
	origins *http.CrossOriginProtection
	headers http.Header // of every answer
}

// New builds the dashboard. It makes no network calls.
func New(cfg Config) (*Handler, error) {
	if cfg.Redis == nil || cfg.Operate && cfg.Audit == nil {
		return nil, errors.New("dashboard: redis is required, and an audit trail for changes")
	}
	cfg.Path = cmp.Or(cfg.Path, DefaultPath)
	origins := http.NewCrossOriginProtection()
	if cfg.Origin != "" {
		if err := origins.AddTrustedOrigin(cfg.Origin); err != nil {
			return nil, fmt.Errorf("dashboard: %w", err)
		}
	}
	cfg.Redis.AddHook(missingTasks{})
	inner := asynqmon.New(asynqmon.Options{
		RootPath:          cfg.Path,
		RedisConnOpt:      sharedRedis{cfg.Redis},
		PayloadFormatter:  asynqmon.PayloadFormatterFunc(formatPayload),
		ResultFormatter:   asynqmon.ResultFormatterFunc(formatResult),
		PrometheusAddress: cfg.PrometheusURL,
		ReadOnly:          !cfg.Operate,
	})
	p, err := readPage(inner, cfg.Path)
	if err != nil {
		return nil, err
	}
	return &Handler{cfg: cfg, inner: inner, page: p, origins: origins, headers: securityHeaders(p.policy)}, nil
}

// sharedRedis passes the client to asynqmon. Closing asynqmon would close it, so Handler has no Close.
type sharedRedis struct{ client redis.UniversalClient }

// MakeRedisClient implements asynq.RedisConnOpt.
func (s sharedRedis) MakeRedisClient() any { return s.client }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, values := range h.headers {
		w.Header()[name] = values
	}
	if h.serveSession(w, r) {
		return
	}
	user, ok := h.authenticate(w, r)
	if !ok || !h.allowed(w, r, user) {
		return
	}
	switch {
	case r.URL.Path == h.cfg.Path+scriptPath:
		w.Header().Set("Content-Type", contentTypes[".js"])
		_, _ = w.Write(script)
		if h.cfg.Login != nil && h.cfg.Login.session(r) != "" {
			_, _ = w.Write(logout)
		}
	case strings.HasPrefix(r.URL.Path, h.cfg.Path+"/api/"):
		h.serveAPI(w, r)
	case r.URL.Path == h.cfg.Path, strings.HasPrefix(r.URL.Path, h.cfg.Path+"/"):
		h.serveFile(w, r)
	case r.URL.Path == "/":
		http.Redirect(w, r, h.cfg.Path, http.StatusFound)
	default:
		http.NotFound(w, r)
	}
}
