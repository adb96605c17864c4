package receiver

import "github.com/prometheus/client_golang/prometheus"

// metrics are the receiver's Prometheus metrics. Their labels have few values: provider names and
// this package's reasons, nothing that a sender chooses.
type metrics struct {
	messages *prometheus.CounterVec
	appended prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) metrics {
	m := metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsync_messages_total",
			Help: "Webhook requests by provider and result (accepted, body_not_json, signature_mismatch, inbox_full, ...).",
		}, []string{"provider", "result"}),
		appended: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "authsync_message_append_seconds",
			Help:    "Time from a verified request to its commit.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}),
	}
	if registry != nil {
		registry.MustRegister(m.messages, m.appended)
	}
	return m
}
