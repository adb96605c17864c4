package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the Prometheus metrics of the road out.
type Metrics struct {
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	halted   *prometheus.CounterVec
}

// NewMetrics registers the metrics; nil leaves them unregistered.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsync_delivery_attempts_total",
			Help: "Attempts to deliver a change, by type of destination and outcome (delivered, retry, failed, later, probe).",
		}, []string{"type", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authsync_delivery_seconds",
			Help:    "Time from the commit of a change, or the release of a held one, to its delivery, by type of destination.",
			Buckets: prometheus.ExponentialBuckets(0.005, 3, 14),
		}, []string{"type"}),
		halted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsync_destinations_halted_total",
			Help: "Destinations that authsync paused or disabled, by type and state; a person must look.",
		}, []string{"type", "state"}),
	}
	if registry != nil {
		registry.MustRegister(m.attempts, m.seconds, m.halted)
	}
	return m
}

// Attempted counts an attempt.
func (m *Metrics) Attempted(typeName, outcome string) {
	m.attempts.WithLabelValues(typeName, outcome).Inc()
}

// Delivered records how long after its commit a change was delivered.
func (m *Metrics) Delivered(typeName string, after time.Duration) {
	m.seconds.WithLabelValues(typeName).Observe(after.Seconds())
}

// Halted counts a destination that authsync paused or disabled.
func (m *Metrics) Halted(typeName, state string) { m.halted.WithLabelValues(typeName, state).Inc() }
