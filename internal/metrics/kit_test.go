package metrics_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/metrics"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const queue = "passport-bulk"

// fakeGate returns fixed values.
type fakeGate struct {
	kinds []gate.KindStatus
	holds []hold.Hold
	err   error
}

func (g *fakeGate) Status(context.Context) ([]gate.KindStatus, []hold.Hold, error) {
	return g.kinds, g.holds, g.err
}

func (g *fakeGate) Unstored(_ context.Context, kind string) ([]string, error) {
	return map[string][]string{"aadhaar": {"A", "B"}}[kind], g.err
}

var calmGate = &fakeGate{kinds: []gate.KindStatus{
	{Kind: "aadhaar", Configured: rate.Rate{Calls: 100, Per: time.Minute}, LastMinute: 50, Breaker: gate.BreakerClosed},
	{Kind: "passport", Configured: rate.Rate{Calls: 200, Per: time.Minute}, VendorLimit: 100, LastMinute: 50, WaitingBulk: 3, Limited: 7, Breaker: gate.BreakerOpen},
}}

func open(t *testing.T, client redis.UniversalClient, g metrics.Gate) *metrics.Metrics {
	t.Helper()
	m, err := metrics.New(metrics.Config{Redis: client, Gate: g, Queues: append(tasks.Queues(), "feed"), BatchStates: []string{"call_limit_reached"}, Version: "v1", Commit: "abc"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// families is one scrape.
type families map[string]*dto.MetricFamily

func scrape(t *testing.T, m *metrics.Metrics) families {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	found, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// value returns the value of the metric with the given name and labels ("queue=a,state=b"), and false if there is none.
func (f families) value(name, labels string) (float64, bool) {
	for _, m := range f[name].GetMetric() {
		have := map[string]bool{}
		for _, l := range m.GetLabel() {
			have[l.GetName()+"="+l.GetValue()] = true
		}
		matches := true
		for label := range strings.SplitSeq(labels, ",") {
			matches = matches && (label == "" || have[label])
		}
		if matches {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()), true
		}
	}
	return 0, false
}

func (f families) want(t *testing.T, name, labels string, want float64) {
	t.Helper()
	if got, ok := f.value(name, labels); !ok || got != want {
		t.Errorf("%s{%s} is %v (exported: %t), want %v", name, labels, got, ok, want)
	}
}

// enqueue adds tasks with these ids to the queue.
func enqueue(t *testing.T, client redis.UniversalClient, ids ...string) {
	t.Helper()
	c := asynq.NewClientFromRedisClient(client)
	for _, id := range ids {
		if _, err := c.EnqueueContext(t.Context(), asynq.NewTask("passport", []byte("sealed")), asynq.Queue(queue), asynq.TaskID(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func redisClient(t *testing.T) *redis.Client {
	t.Helper()
	return testenv.RedisClient(t)
}
