package app

import (
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics is what /metrics shows. It is plain, as is customary: numbers of the
// process, no project's name, no data. Who must not see them is kept from the
// path by the proxy in front.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsync_http_requests_total",
			Help: "Requests answered, by area (webhook, api, dashboard), method and status.",
		}, []string{"area", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authsync_http_request_duration_seconds",
			Help:    "Time from the end of a request's header to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"area"}),
	}
	m.registry.MustRegister(m.requests, m.duration,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// area counts and times the requests of a handler.
func (m *metrics) area(name string, h http.Handler) http.Handler {
	label := prometheus.Labels{"area": name}
	return promhttp.InstrumentHandlerDuration(m.duration.MustCurryWith(label),
		promhttp.InstrumentHandlerCounter(m.requests.MustCurryWith(label), h))
}

// pool shows the connections of a pool to the control database.
func (m *metrics) pool(name string, pool *pgxpool.Pool) {
	gauge := func(state string, value func(*pgxpool.Stat) int32) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "authsync_control_connections",
			Help:        "Connections to the control database, by pool and state (idle, in_use, max).",
			ConstLabels: prometheus.Labels{"pool": name, "state": state},
		}, func() float64 { return float64(value(pool.Stat())) })
	}
	m.registry.MustRegister(
		gauge("idle", (*pgxpool.Stat).IdleConns),
		gauge("in_use", (*pgxpool.Stat).AcquiredConns),
		gauge("max", (*pgxpool.Stat).MaxConns),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name:        "authsync_control_connection_wait_seconds_total",
			Help:        "Time spent waiting for a free connection to the control database.",
			ConstLabels: prometheus.Labels{"pool": name},
		}, func() float64 { return pool.Stat().EmptyAcquireWaitTime().Seconds() }),
	)
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
