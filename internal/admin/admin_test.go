package admin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(redis func(context.Context) string) *admin.Handler {
	return admin.New(admin.Config{
		Redis:   redis,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("kycq_up 1\n")) }),
	})
}

func reachable(context.Context) string { return "" }

func unreachable(context.Context) string { return "redis is a read-only replica" }

func get(h http.Handler, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080"+path, nil)
	r.RemoteAddr = "127.0.0.1:50000"
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestLivezDoesNotCheckRedis(t *testing.T) {
	t.Parallel()
	h := open(func(context.Context) string { t.Error("redis was used"); return "" })
	h.Drain()
	if w := get(h, "/livez"); w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
}

func TestReadyzReportsWhetherRedisAnswers(t *testing.T) {
	t.Parallel()
	if w := get(open(reachable), "/readyz"); w.Code != http.StatusOK {
		t.Errorf("status %d with Redis", w.Code)
	}
	w := get(open(unreachable), "/readyz")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "read-only replica") {
		t.Errorf("status %d without Redis: %s", w.Code, w.Body)
	}
}

func TestReadyzSaysWhyTheWorkerMakesNoCalls(t *testing.T) {
	t.Parallel()
	reason := "the installation is not verified"
	h := admin.New(admin.Config{Redis: reachable, Metrics: http.NotFoundHandler(), Blocked: func() string { return reason }})
	if w := get(h, "/readyz"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), reason) {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	reason = ""
	if w := get(h, "/readyz"); w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
}

func TestReadyzDoesNotHangWithRedis(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := get(open(func(ctx context.Context) string { <-ctx.Done(); return "late" }), "/readyz")
		if w.Code != http.StatusServiceUnavailable || time.Since(began) >= time.Second {
			t.Errorf("status %d after %s", w.Code, time.Since(began))
		}
	})
}

func TestReadyzFailsWhileDraining(t *testing.T) {
	t.Parallel()
	h := open(reachable)
	h.Drain()
	if w := get(h, "/readyz"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "draining") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestPprofIsForLocalClientsOnly(t *testing.T) {
	t.Parallel()
	h := open(reachable)
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"local":              {func(*http.Request) {}, http.StatusOK},
		"local by name":      {func(r *http.Request) { r.Host = "localhost:8080" }, http.StatusOK},
		"IPv6":               {func(r *http.Request) { r.RemoteAddr, r.Host = "[::1]:50000", "[::1]:8080" }, http.StatusOK},
		"remote":             {func(r *http.Request) { r.RemoteAddr = "10.0.0.7:50000" }, http.StatusNotFound},
		"DNS rebinding":      {func(r *http.Request) { r.Host = "evil.example" }, http.StatusNotFound},
		"without an address": {func(r *http.Request) { r.RemoteAddr = "" }, http.StatusNotFound},
	} {
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/symbol"} {
			if w := get(h, path, c.change); w.Code != c.want {
				t.Errorf("%s, %s: status %d, want %d", name, path, w.Code, c.want)
			}
		}
	}
	if w := get(h, "/debug/pprof/cmdline"); w.Code != http.StatusNotFound {
		t.Errorf("the command line: status %d", w.Code)
	}
}

func TestOnlyDocumentedPathsAndMethodsAreServed(t *testing.T) {
	t.Parallel()
	h := open(reachable)
	if w := get(h, "/metrics"); w.Code != http.StatusOK || w.Body.String() != "kycq_up 1\n" {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if w := get(h, "/"); w.Code != http.StatusNotFound {
		t.Errorf("/: status %d", w.Code)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		if w := get(h, "/metrics", func(r *http.Request) { r.Method = method }); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: status %d", method, w.Code)
		}
	}
}
