package app

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsync/authsync/internal/pgdb"
)

const (
	// maxProjectMetrics is the maximum number of projects with metrics of their own: those that are furthest behind. More
	// would cost the operator's Prometheus a series each.
	maxProjectMetrics = 100
	// projectMetricsEvery is how often they are read, however often and by however many they are scraped.
	projectMetricsEvery = 15 * time.Second
)

// projectState is how far applying a project's messages is behind.
type projectState struct {
	ProjectID       uuid.UUID
	PendingMessages int64
	FailingEvents   int64
	LagSeconds      float64
}

const selectProjectStates = `
	SELECT p.id AS project_id, coalesce(w.messages, 0) AS pending_messages, coalesce(f.events, 0) AS failing_events,
		coalesce(greatest(extract(epoch FROM clock_timestamp() - w.oldest), 0), 0)::double precision AS lag_seconds
	FROM authsync.projects AS p
	LEFT JOIN (
		SELECT n.project_id, sum(n.messages)::bigint AS messages, min(n.received_from) AS oldest
		FROM authsync.inbox_pending AS n
		GROUP BY n.project_id
	) AS w ON w.project_id = p.id
	LEFT JOIN (
		SELECT (r.args ->> 'project_id')::uuid AS project_id, count(*) AS events
		FROM authsync.river_job AS r
		WHERE r.kind = 'retry_event' AND r.finalized_at IS NULL
		GROUP BY 1
	) AS f ON f.project_id = p.id
	ORDER BY w.oldest NULLS LAST, f.events DESC NULLS LAST, p.id
	LIMIT $1`

// projectMetrics are the metrics of single projects, for a process that works. Scraping reads what the last look found; if
// that failed, there is nothing to scrape rather than something old.
type projectMetrics struct {
	pool  *pgxpool.Pool
	down  func() map[uuid.UUID]bool // by project whose database this process uses: whether it is unavailable
	log   *slog.Logger
	found latest[projectState]
}

func (m *projectMetrics) describe() (lag, pending, failing, up *prometheus.Desc) {
	labels := []string{"project_id"}
	return prometheus.NewDesc("authsync_project_lag_seconds",
			"Age of the oldest message that waits to be applied, of the 100 projects that are furthest behind; 0: none waits.", labels, nil),
		prometheus.NewDesc("authsync_project_pending_messages", "Messages that wait to be applied, of the same projects.", labels, nil),
		prometheus.NewDesc("authsync_project_failing_events", "Events that are retried alone, of the same projects.", labels, nil),
		prometheus.NewDesc("authsync_project_database_up",
			"Whether the project's database can be used, as this process sees it; at most 100 projects, unavailable ones first.", labels, nil)
}

// Describe implements prometheus.Collector.
func (m *projectMetrics) Describe(ch chan<- *prometheus.Desc) {
	lag, pending, failing, up := m.describe()
	ch <- lag
	ch <- pending
	ch <- failing
	ch <- up
}

// Collect implements prometheus.Collector.
func (m *projectMetrics) Collect(ch chan<- prometheus.Metric) {
	lag, pending, failing, up := m.describe()
	gauge := func(of *prometheus.Desc, value float64, project uuid.UUID) {
		ch <- prometheus.MustNewConstMetric(of, prometheus.GaugeValue, value, project.String())
	}
	if found := m.found.Load(); found != nil {
		for _, s := range *found {
			gauge(lag, s.LagSeconds, s.ProjectID)
			gauge(pending, float64(s.PendingMessages), s.ProjectID)
			gauge(failing, float64(s.FailingEvents), s.ProjectID)
		}
	}
	shown := 0
	databases := m.down()
	for _, wanted := range []bool{true, false} {
		for id, down := range databases {
			if down == wanted && shown < maxProjectMetrics {
				shown++
				gauge(up, map[bool]float64{true: 0, false: 1}[down], id)
			}
		}
	}
}

// look reads the states anew.
func (m *projectMetrics) look(ctx context.Context) {
	if err := m.found.read(ctx, m.pool, selectProjectStates, maxProjectMetrics); err != nil {
		m.log.WarnContext(ctx, "project_metrics_not_read", slog.Any("error", err))
	}
}

// latest is what the last look found; nil if it failed.
type latest[T any] struct{ atomic.Pointer[[]T] }

// read looks anew, within the time until the next look. That the process stops meanwhile is no error.
func (l *latest[T]) read(ctx context.Context, pool *pgxpool.Pool, query string, args ...any) error {
	bounded, cancel := context.WithTimeout(ctx, projectMetricsEvery)
	defer cancel()
	found, err := pgdb.Collect[T](bounded, pool, query, args...)
	if err == nil {
		l.Store(&found)
		return nil
	}
	l.Store(nil)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// startProjectMetrics keeps the metrics of projects current, in a process with the role worker.
func (a *App) startProjectMetrics(ctx context.Context) (stopFunc, error) {
	if !a.settings.Roles.Worker {
		return nil, nil
	}
	m := &projectMetrics{pool: a.pool, down: a.databases.Unavailable, log: a.log}
	held := &heldMetrics{pool: a.pool, log: a.log}
	a.metrics.registry.MustRegister(m, held)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(projectMetricsEvery)
		defer tick.Stop()
		for {
			m.look(run)
			held.look(run)
			select {
			case <-tick.C:
			case <-run.Done():
				return
			}
		}
	}()
	return func(context.Context) error { cancel(); <-ended; return nil }, nil
}
