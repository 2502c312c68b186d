package webhooks

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are those of this process. docs/METRICS.md lists them.
type metrics struct {
	deliveries            *prometheus.CounterVec
	owed, oldest, stopped *prometheus.GaugeVec
}

// Register adds the metrics to a registry. It is called before Run.
func (d *Deliverer) Register(r prometheus.Registerer) {
	with, labels := promauto.With(r), []string{"endpoint"}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return with.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	d.metrics = &metrics{
		deliveries: with.NewCounterVec(prometheus.CounterOpts{
			Name: "kycq_webhook_deliveries_total", Help: "requests to webhook endpoints, by result: ok, failed; given_up for events",
		}, []string{"endpoint", "result"}),
		owed:    gauge("kycq_webhook_owed_events", "events that are not delivered yet"),
		oldest:  gauge("kycq_webhook_lag_seconds", "age of the oldest event that is not delivered; 0 if there is none"),
		stopped: gauge("kycq_webhook_stopped", "1 while nothing is delivered to the endpoint any more"),
	}
}

func (m *metrics) set(endpoint string, owed int, lag time.Duration, stopped bool) {
	if m == nil {
		return
	}
	m.owed.WithLabelValues(endpoint).Set(float64(owed))
	m.oldest.WithLabelValues(endpoint).Set(max(lag.Seconds(), 0))
	value := 0.0
	if stopped {
		value = 1
	}
	m.stopped.WithLabelValues(endpoint).Set(value)
}

// forget removes what this process no longer sees: another server delivers to the endpoint, or it is gone.
func (m *metrics) forget(endpoint string) {
	if m != nil {
		for _, gauge := range []*prometheus.GaugeVec{m.owed, m.oldest, m.stopped} {
			gauge.DeleteLabelValues(endpoint)
		}
	}
}

func (m *metrics) delivered(endpoint string, r result) {
	switch {
	case m == nil:
	case r.failure == "":
		m.deliveries.WithLabelValues(endpoint, "ok").Inc()
	default:
		m.deliveries.WithLabelValues(endpoint, "failed").Inc()
	}
}

func (m *metrics) givenUp(endpoint string) {
	if m != nil {
		m.deliveries.WithLabelValues(endpoint, "given_up").Inc()
	}
}
