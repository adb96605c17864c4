package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the outbox tells Prometheus.
type metrics struct {
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	disabled *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) metrics {
	m := metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsync_delivery_attempts_total",
			Help: "Attempts to deliver a change, by kind of destination and outcome (delivered, retry, failed, later, probe).",
		}, []string{"kind", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authsync_delivery_seconds",
			Help:    "Time from the commit of a change to its delivery, by kind of destination.",
			Buckets: prometheus.ExponentialBuckets(0.005, 3, 14),
		}, []string{"kind"}),
		disabled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsync_destinations_halted_total",
			Help: "Destinations that authsync paused or disabled, by kind and state; a person must look.",
		}, []string{"kind", "state"}),
	}
	if registry != nil {
		registry.MustRegister(m.attempts, m.seconds, m.disabled)
	}
	return m
}

func (m *metrics) attempt(kind, outcome string, changedAt, now time.Time) {
	m.attempts.WithLabelValues(kind, outcome).Inc()
	if outcome == outcomeDelivered {
		m.seconds.WithLabelValues(kind).Observe(now.Sub(changedAt).Seconds())
	}
}
