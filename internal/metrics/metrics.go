// Package metrics exports Prometheus metrics: counters of the worker process, and the state of the fleet read from Redis.
//
// Label values come from fixed sets: kinds, lanes, queues, known codes. Ids and external input are never label values.
// If Redis is down, the process's own metrics are still exported, kycq_redis_up is 0, and the metrics read from Redis
// are missing. docs/METRICS.md lists every metric; a test compares it with the code.
package metrics

import (
	"errors"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
)

// Config configures Metrics. Redis, Gate and Queues are required.
type Config struct {
	Redis redis.UniversalClient
	Gate  Gate
	// Queues are the exported queues. Other queues in the same Redis are not exported: a name could be personal data.
	Queues []string
	// BatchStates are the exported states of open batches.
	BatchStates []string
	// Version and Commit are labels of kycq_build_info.
	Version, Commit string
	// DigitCheck says that this worker reads masked images with Tesseract.
	DigitCheck bool
}

// Metrics implements worker.Observer and serves /metrics. It is safe for concurrent use.
type Metrics struct {
	*counts
	registry *prometheus.Registry
}

// New registers all metrics. It makes no network calls; each scrape reads Redis.
func New(cfg Config) (*Metrics, error) {
	if cfg.Redis == nil || cfg.Gate == nil || len(cfg.Queues) == 0 {
		return nil, errors.New("metrics: redis, gate and queues are needed")
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		&shared{redis: cfg.Redis, gate: cfg.Gate, queues: cfg.Queues, batchStates: cfg.BatchStates},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	promauto.With(registry).NewGauge(prometheus.GaugeOpts{
		Name: "kycq_build_info", Help: "1, with the build in the labels",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "commit": cfg.Commit, "go": runtime.Version()},
	}).Set(1)
	promauto.With(registry).NewGauge(prometheus.GaugeOpts{
		Name: "kycq_digit_check", Help: "1 if this worker looks for readable numbers in masked images, 0 otherwise; equal in all workers",
	}).Set(boolValue(cfg.DigitCheck))
	return &Metrics{counts: newCounts(registry), registry: registry}, nil
}

// Handler serves the metrics. It answers 200 even if some metrics cannot be read; these are left out.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4, // each scrape reads Redis
	})
}
