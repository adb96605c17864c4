package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/authsync/authsync/internal/connlimit"
	"github.com/authsync/authsync/internal/pasted"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// metrics serves /metrics: numbers about the process, and of some projects by id, without names or
// data, and without querying a database for a scrape. It is for operators: with a key that is not limited to a project or, with
// AUTHSYNC_METRICS_LISTEN, at a separate address.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	problems *prometheus.GaugeVec
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
		problems: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "authsync_problems_open",
			Help: "Open problems of the server and all projects, by kind; every process has the same.",
		}, []string{"kind"}),
	}
	m.registry.MustRegister(m.requests, m.duration, m.problems,
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

// countProblems sets how many problems of each kind are open.
func (m *metrics) countProblems(counts map[string]int) {
	for kind, open := range counts {
		m.problems.WithLabelValues(kind).Set(float64(open))
	}
}

// pool adds the connections of a pool to the control database.
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

// scrapes is the maximum number of concurrent scrapes.
const scrapes = 3

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry: m.registry, MaxRequestsInFlight: scrapes,
		EnableOpenMetrics: true, // exemplars: the trace of an event
	})
}

// startMetrics serves /metrics at its separate address, if there is one.
func (a *App) startMetrics(ctx context.Context) (stopFunc, error) {
	if a.settings.MetricsListen == "" {
		return nil, nil
	}
	listener, err := Listen(ctx, a.settings.MetricsListen)
	if err != nil {
		return nil, fmt.Errorf("AUTHSYNC_METRICS_LISTEN: %w", err)
	}
	a.metricsURL = baseURL(listener) + "/metrics"
	routes := http.NewServeMux()
	routes.Handle("GET /metrics", a.metrics.handler())
	bounded := connlimit.Listen(listener, connlimit.Config{Max: metricsConns, PerAddress: metricsConns})
	return serveHTTP(bounded, routes, a.log, a.failed), nil
}

// metricsConns is the maximum number of connections to that address.
const metricsConns = 32

// MetricsURL returns the address of the metrics, if it is separate.
func (a *App) MetricsURL() string { return a.metricsURL }

// forOperators requires a key that is not limited to a project.
func (a *App) forOperators(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const how = "show a key that is not limited to a project (Authorization: Bearer capy_…), or give the metrics an address of their own by AUTHSYNC_METRICS_LISTEN"
		scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			secret = ""
		}
		key, err := a.Store.Authenticate(r.Context(), pasted.Unquote(secret))
		switch {
		case errors.Is(err, project.ErrNoKey):
			detail := how
			if expired, is := errors.AsType[*project.KeyExpiredError](err); is {
				detail = expired.Error() + ": " + how
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="authsync"`)
			problem.Write(w, r, http.StatusUnauthorized, detail)
		case err != nil:
			if r.Context().Err() == nil {
				a.log.WarnContext(r.Context(), "key_not_checked", slog.Any("error", err))
			}
			problem.Write(w, r, http.StatusServiceUnavailable, "the control database cannot be asked now", problem.RetryAfter(5*time.Second))
		case key.ProjectID != nil:
			problem.Write(w, r, http.StatusForbidden, "the metrics are of all projects: "+how)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
