package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// counts are the metrics of this process. Label values are patterns of paths and statuses; docs/METRICS.md lists them.
type counts struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newCounts(a *API) *counts {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	with := promauto.With(registry)
	with.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kycq_api_waiting_requests", Help: "requests that wait for the end of a job",
	}, func() float64 { return float64(a.waiters.count()) })
	with.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kycq_api_bodies", Help: "bodies with images that are being read or stored",
	}, func() float64 { return float64(maxBodies - len(a.bodies.free)) })
	return &counts{
		registry: registry,
		requests: with.NewCounterVec(prometheus.CounterOpts{
			Name: "kycq_api_requests_total", Help: "requests, by pattern of the path and status of the answer",
		}, []string{"route", "status"}),
		seconds: with.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kycq_api_request_seconds", Help: "time from a request to the end of its answer, by pattern of the path",
			Buckets: []float64{.01, .03, .1, .3, 1, 3, 10, 30},
		}, []string{"route"}),
	}
}

func (c *counts) answered(route string, status int, took time.Duration) {
	c.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	c.seconds.WithLabelValues(route).Observe(took.Seconds())
}

func (c *counts) handler() http.Handler {
	return promhttp.HandlerFor(c.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}
