package dashboard_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/dashboard"
)

func TestThePageLoadsNothingFromOtherHosts(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, path := range []string{"/asynqmon", "/asynqmon/", "/asynqmon/queues/passport-bulk", "/asynqmon/servers"} {
		page := s.get(path)
		if !strings.Contains(page, `<div id="root">`) {
			t.Fatalf("%s is not the page", path)
		}
		for _, m := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			if !strings.HasPrefix(m[1], "/asynqmon/") {
				t.Errorf("%s loads %s", path, m[1])
			}
			if strings.HasSuffix(m[1], "manifest.json") { // fetched without the login, so it would be refused
				t.Errorf("%s loads %s", path, m[1])
			}
		}
	}
}

func TestThePolicyAllowsTheInlineScriptsAndNoOthers(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*site{"read-only": open(t), "operating": open(t, operating), "with Prometheus": open(t, func(c *dashboard.Config) { c.PrometheusURL = "http://prometheus:9090" })} {
		w := s.ask(http.MethodGet, "/asynqmon/")
		policy := w.Header().Get("Content-Security-Policy")
		scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(w.Body.String(), -1)
		if len(scripts) != 2 {
			t.Fatalf("%d inline scripts", len(scripts))
		}
		for _, script := range scripts {
			sum := sha256.Sum256([]byte(script[1]))
			if hash := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, hash) {
				t.Errorf("%s: the policy lacks %s", name, hash)
			}
		}
		scriptRule, _, _ := strings.Cut(policy[strings.Index(policy, "script-src"):], ";")
		if strings.Contains(scriptRule, "unsafe") || strings.Contains(policy, "http") {
			t.Errorf("%s: %s", name, policy)
		}
	}
}

func TestFilesHaveTheirContentTypes(t *testing.T) {
	t.Parallel()
	s := open(t)
	for path, want := range map[string]string{
		"/asynqmon/": "text/html",
		"/asynqmon/static/js/main.5adda2da.chunk.js":     "application/javascript",
		"/asynqmon/static/media/logo-color.c2b0c1f3.svg": "image/svg+xml",
		"/asynqmon/favicon.ico":                          "image/x-icon",
		"/asynqmon/manifest.json":                        "application/json",
		"/asynqmon/api/queues":                           "application/json",
	} {
		w := s.ask(http.MethodGet, path)
		if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || !strings.HasPrefix(got, want) {
			t.Errorf("%s: status %d, %s", path, w.Code, got)
		}
	}
}

func TestTheMetricsPageQueriesPrometheus(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 20)
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query().Get("query")
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"queue":"passport-bulk"},"values":[[1700000000,"42"]]}]}}`))
	}))
	defer prometheus.Close()
	defer http.DefaultClient.CloseIdleConnections()
	s := open(t, func(c *dashboard.Config) { c.PrometheusURL = prometheus.URL })
	if answer := s.get("/asynqmon/api/metrics?duration=3600&queues=passport-bulk"); strings.Count(answer, `"42"`) != 9 {
		t.Errorf("not all nine series are in the answer: %s", answer)
	}
	close(asked)
	all := ""
	for query := range asked {
		all += query + "\n"
	}
	for _, name := range []string{
		"asynq_queue_size", "asynq_queue_latency_seconds", "asynq_queue_memory_usage_approx_bytes", "asynq_tasks_processed_total",
		"asynq_tasks_failed_total", `asynq_tasks_enqueued_total{state="pending"`, `asynq_tasks_enqueued_total{state="retry"`, `asynq_tasks_enqueued_total{state="archived"`,
	} {
		if !strings.Contains(all, name) {
			t.Errorf("the page no longer queries %s", name)
		}
	}
	if page := s.get("/asynqmon/"); !strings.Contains(page, strings.ReplaceAll(prometheus.URL, "/", `\/`)) {
		t.Error("the page does not contain the URL of Prometheus")
	}
}
