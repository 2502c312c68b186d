// Package metrics counts what a worker does and reads from Redis what the fleet shares, for Prometheus.
//
// A label is one of a finite vocabulary that stands in the code: a kind, a lane, a queue, a known code. No id and nothing
// that came from outside ever becomes one. Nothing here fails because something else does: with Redis down the
// counters are still exported, kycq_redis_up says 0, and what would have come from Redis is missing rather than wrong.
// docs/METRICS.md lists every metric; a test holds it against the code.
package metrics

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
)

// Config says what is observed. All is required.
type Config struct {
	// Redis is shared with the rest of the process.
	Redis redis.UniversalClient
	// Gate tells about rates, breakers and the hold.
	Gate Gate
	// Queues are the names of the queues that are watched, no others: a stranger's queue could be called anything.
	Queues []string
	// Version and Commit go into kycq_build_info.
	Version, Commit string
}

// Metrics is the worker's Observer and its /metrics. It is safe for concurrent use.
type Metrics struct {
	*counts
	registry *prometheus.Registry
}

// New registers everything. It touches no network: what comes from Redis is read by each scrape.
func New(cfg Config) (*Metrics, error) {
	if cfg.Redis == nil || cfg.Gate == nil || len(cfg.Queues) == 0 {
		return nil, errors.New("metrics: redis, gate and queues are needed")
	}
	m := &Metrics{counts: newCounts(), registry: prometheus.NewRegistry()}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kycq_build_info", Help: "1, with the build in the labels",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "commit": cfg.Commit, "go": runtime.Version()},
	})
	build.Set(1)
	all := append(m.counts.collectors(), build, &shared{redis: cfg.Redis, gate: cfg.Gate, queues: cfg.Queues},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, c := range all {
		if err := m.registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return m, nil
}

// Handler serves the metrics. A part that cannot be read is left out; the answer is 200 all the same.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
		// Each scrape asks Redis; more than this at once come from no Prometheus.
		MaxRequestsInFlight: maxScrapes,
	})
}

const maxScrapes = 4
