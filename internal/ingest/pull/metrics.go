package pull

import "github.com/prometheus/client_golang/prometheus"

// metrics are the puller's Prometheus metrics.
type metrics struct {
	messages *prometheus.CounterVec
	ended    *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer, open func() int) metrics {
	m := metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsync_pulled_messages_total",
			Help: "Messages that were pulled from providers and stored.",
		}, []string{"provider"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsync_pull_connections_ended_total",
			Help: "Connections on which events are pulled that ended, by reason (recycled, turn_over, stopped, lost, failed).",
		}, []string{"provider", "reason"}),
	}
	if registry == nil {
		return m
	}
	registry.MustRegister(m.messages, m.ended, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "authsync_pull_connections",
		Help: "Integrations whose events this process is pulling.",
	}, func() float64 { return float64(open()) }))
	return m
}
