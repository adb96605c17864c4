package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the outbox's Prometheus metrics.
type metrics struct {
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	disabled *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) metrics {
	m := metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsync_delivery_attempts_total",
			Help: "Attempts to deliver a change, by type of destination and outcome (delivered, retry, failed, later, probe).",
		}, []string{"type", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authsync_delivery_seconds",
			Help:    "Time from the commit of a change to its delivery, by type of destination.",
			Buckets: prometheus.ExponentialBuckets(0.005, 3, 14),
		}, []string{"type"}),
		disabled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsync_destinations_halted_total",
			Help: "Destinations that authsync paused or disabled, by type and state; a person must look.",
		}, []string{"type", "state"}),
	}
	if registry != nil {
		registry.MustRegister(m.attempts, m.seconds, m.disabled)
	}
	return m
}

func (m *metrics) attempt(typeName, outcome string, changedAt, now time.Time) {
	m.attempts.WithLabelValues(typeName, outcome).Inc()
	if outcome == outcomeDelivered {
		m.seconds.WithLabelValues(typeName).Observe(now.Sub(changedAt).Seconds())
	}
}
