package dashboard_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/kycq/kycq/internal/dashboard"
	"github.com/kycq/kycq/internal/seal"
)

func TestReadOnlyDashboardRefusesChanges(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, path := range append(everyKindOfPath, "/asynqmon/api/queues/passport-bulk:pause", "/asynqmon/api/queues/passport-bulk/pending_tasks:delete_all") {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			if w := s.ask(method, path); w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: status %d", method, path, w.Code)
			}
		}
	}
}

func TestChangesAreAcceptedFromItsOwnPageOnly(t *testing.T) {
	t.Parallel()
	s := open(t, operating)
	client := asynq.NewClientFromRedisClient(s.redis)
	if _, err := client.Enqueue(passportTask(t, seal.Insecure(), "A", "n"), asynq.Queue("passport-bulk"), asynq.TaskID("A")); err != nil {
		t.Fatal(err)
	}
	const pause = "/asynqmon/api/queues/passport-bulk:pause"
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"another site":    {header("Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		"another origin":  {header("Origin", "https://evil.example"), http.StatusForbidden},
		"its own page":    {header("Sec-Fetch-Site", "same-origin"), http.StatusNoContent},
		"not an API path": {func(r *http.Request) { r.URL.Path = "/asynqmon/" }, http.StatusMethodNotAllowed},
	} {
		if w := s.ask(http.MethodPost, pause, c.change); w.Code != c.want {
			t.Errorf("%s: status %d, want %d", name, w.Code, c.want)
		}
	}
	if n := s.redis.Exists(t.Context(), "asynq:{passport-bulk}:paused").Val(); n != 1 {
		t.Error("the queue is not paused")
	}
	if w := s.ask(http.MethodDelete, "/asynqmon/api/queues/passport-bulk/pending_tasks/A", header("Sec-Fetch-Site", "same-origin")); w.Code != http.StatusNoContent {
		t.Errorf("delete: status %d", w.Code)
	}
	if w := s.ask(http.MethodPut, pause); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("PUT: status %d", w.Code)
	}
}

func TestAForeignOriginGetsNoCORSHeader(t *testing.T) {
	t.Parallel()
	s := open(t, operating)
	for _, path := range everyKindOfPath {
		for _, method := range []string{http.MethodGet, http.MethodOptions} {
			w := s.ask(method, path, header("Origin", "https://evil.example"), header("Access-Control-Request-Method", "POST"))
			for name := range w.Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s: %s", method, path, name)
				}
			}
		}
	}
}

func TestAllResponsesHaveSecurityHeaders(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, w := range []*httptest.ResponseRecorder{
		s.ask(http.MethodGet, "/asynqmon/"), s.ask(http.MethodGet, "/asynqmon/", anonymous), s.ask(http.MethodGet, "/asynqmon/api/queues"),
		s.ask(http.MethodPost, "/asynqmon/"), s.ask(http.MethodGet, "/nowhere"),
	} {
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
			"Content-Security-Policy": "frame-ancestors 'none'",
		} {
			if got := w.Header().Get(name); !strings.Contains(got, want) {
				t.Errorf("status %d: %s is %q", w.Code, name, got)
			}
		}
	}
}

func TestRootRedirectsToThePage(t *testing.T) {
	t.Parallel()
	w := open(t).ask(http.MethodGet, "/")
	if w.Code != http.StatusFound || w.Header().Get("Location") != dashboard.DefaultPath {
		t.Errorf("status %d to %q", w.Code, w.Header().Get("Location"))
	}
}

func TestPathAndOriginCanBeSet(t *testing.T) {
	t.Parallel()
	s := open(t, operating, func(c *dashboard.Config) { c.Path, c.Origin = "/ops/queues", "https://ops.example" })
	if page := s.get("/ops/queues/"); !strings.Contains(page, `<script src="/ops/queues/kycq.js">`) {
		t.Errorf("the page lacks the script: %.300s", page)
	}
	if script := s.get("/ops/queues/kycq.js"); !strings.Contains(script, "Prometheus does not answer") {
		t.Errorf("script: %.300s", script)
	}
	if w := s.ask(http.MethodGet, "/asynqmon/"); w.Code != http.StatusNotFound {
		t.Errorf("the default path: status %d", w.Code)
	}
	for origin, refused := range map[string]bool{"https://ops.example": false, "https://evil.example": true} {
		if w := s.ask(http.MethodPost, "/ops/queues/api/queues/none:resume", header("Origin", origin)); (w.Code == http.StatusForbidden) != refused {
			t.Errorf("%s: status %d", origin, w.Code)
		}
	}
	if _, err := dashboard.New(dashboard.Config{Redis: s.redis, Origin: "https://ops.example/path"}); err == nil {
		t.Error("an origin with a path is accepted")
	}
}
