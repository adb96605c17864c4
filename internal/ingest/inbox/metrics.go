package inbox

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsync/authsync/internal/batch"
)

// metrics are the inbox's Prometheus metrics.
type metrics struct {
	size     prometheus.Histogram
	duration *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer, group *batch.Group[Message, int64]) metrics {
	m := metrics{
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "authsync_inbox_commit_messages",
			Help:    "Messages that shared one commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authsync_inbox_commit_seconds",
			Help:    "Time of a commit of messages, by result (ok, failed).",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}, []string{"result"}),
	}
	if registry == nil {
		return m
	}
	registry.MustRegister(m.size, m.duration,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "authsync_inbox_waiting_messages",
			Help: "Messages that wait for a commit, unanswered.",
		}, func() float64 { n, _ := group.Waiting(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "authsync_inbox_waiting_bytes",
			Help: "Bytes of the bodies that wait for a commit.",
		}, func() float64 { _, bytes := group.Waiting(); return float64(bytes) }),
	)
	return m
}

func (m *metrics) commit(messages int, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.size.Observe(float64(messages))
	m.duration.WithLabelValues(result).Observe(took.Seconds())
}
