// Package dashboard serves asynq's monitoring page behind a login.
//
// asynqmon shows what is in Redis as it stands, has no login, loads fonts from elsewhere and needs inline scripts. This
// package stands in front of it: nobody gets anything without a login, nothing personal passes in whatever form it lies
// in Redis, orders are refused unless the operator asked for them, and the page runs under a content security policy
// that lets nothing leave. It reads and changes the queues through asynqmon alone, and never the records.
package dashboard

import (
	"errors"
	"net/http"
	"strings"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// Root is the path below which the page lies.
const Root = "/asynqmon"

// Config is what the dashboard needs.
type Config struct {
	// Redis is shared with the rest of the process, which closes it. It gets a hook (ghosts).
	Redis redis.UniversalClient
	// Login says who may come in. Nil lets everybody in who reaches a loopback address: the caller makes sure that the
	// listener is on one.
	Login *Login
	// Operate allows orders: pause, run, archive, delete. False refuses every request that is not a GET.
	Operate bool
	// PrometheusURL is where asynqmon's metrics page gets its numbers from; empty hides it.
	PrometheusURL string
	Log           zerolog.Logger
}

// Handler is the dashboard. It is safe for concurrent use.
type Handler struct {
	cfg    Config
	inner  http.Handler
	page   page
	public http.Header // the headers of every answer
}

// New builds the dashboard; it touches no network.
func New(cfg Config) (*Handler, error) {
	if cfg.Redis == nil {
		return nil, errors.New("dashboard: redis is needed")
	}
	cfg.Redis.AddHook(ghosts{})
	inner := asynqmon.New(asynqmon.Options{
		RootPath:          Root,
		RedisConnOpt:      sharedRedis{cfg.Redis},
		PayloadFormatter:  asynqmon.PayloadFormatterFunc(formatPayload),
		ResultFormatter:   asynqmon.ResultFormatterFunc(formatResult),
		PrometheusAddress: cfg.PrometheusURL,
		ReadOnly:          !cfg.Operate,
	})
	p, err := readPage(inner)
	if err != nil {
		return nil, err
	}
	return &Handler{cfg: cfg, inner: inner, page: p, public: securityHeaders(p.policy)}, nil
}

// sharedRedis hands our client to asynqmon. It must not be closed through asynqmon, so Handler has no Close.
type sharedRedis struct{ client redis.UniversalClient }

// MakeRedisClient implements asynq.RedisConnOpt.
func (s sharedRedis) MakeRedisClient() any { return s.client }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, values := range h.public {
		w.Header()[name] = values
	}
	user, ok := h.admit(w, r)
	if !ok || !h.allowed(w, r, user) {
		return
	}
	switch {
	case strings.HasPrefix(r.URL.Path, Root+"/api/"):
		h.serveAPI(w, r)
	case r.URL.Path == Root, strings.HasPrefix(r.URL.Path, Root+"/"):
		h.serveFile(w, r)
	case r.URL.Path == "/":
		http.Redirect(w, r, Root, http.StatusFound)
	default:
		http.NotFound(w, r)
	}
}
