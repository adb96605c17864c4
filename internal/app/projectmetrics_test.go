package app

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// gathered returns the values of a metric by project.
func gathered(t *testing.T, registry *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			values[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return values
}

func insertProjects(t *testing.T, pool *pgxpool.Pool, n int) (ids []uuid.UUID) {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		INSERT INTO authsync.projects (name, database_url_sealed) SELECT 'p' || i, '' FROM generate_series(1, $1) AS i RETURNING id`, n)
	require.NoError(t, err)
	ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	require.NoError(t, err)
	return ids
}

// TestMetricsOfProjects: the projects that are furthest behind have metrics of their own, however many there are.
func TestMetricsOfProjects(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	ids := insertProjects(t, pool, maxProjectMetrics+50)
	behind, failing := ids[120], ids[140]
	_, err := pool.Exec(t.Context(), `
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
		VALUES ($1, '{1,2}', 10, now() - interval '2 hours', now()), ($1, '{3}', 10, now() - interval '1 hour', now())`, behind)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `
		INSERT INTO authsync.river_job (kind, args, max_attempts, state) VALUES ('retry_event', jsonb_build_object('project_id', $1::uuid), 5, 'retryable')`, failing)
	require.NoError(t, err)

	down := map[uuid.UUID]bool{ids[0]: false, ids[1]: true}
	m := &projectMetrics{pool: pool, down: func() map[uuid.UUID]bool { return down }, log: slog.New(slog.DiscardHandler)}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	require.Empty(t, gathered(t, registry, "authsync_project_lag_seconds"), "nothing was looked at yet")

	m.look(t.Context())
	lag := gathered(t, registry, "authsync_project_lag_seconds")
	require.Len(t, lag, maxProjectMetrics)
	require.InDelta(t, 7200, lag[behind.String()], 600)
	require.InDelta(t, 3, gathered(t, registry, "authsync_project_pending_messages")[behind.String()], 0)
	require.InDelta(t, 1, gathered(t, registry, "authsync_project_failing_events")[failing.String()], 0)
	require.Zero(t, lag[failing.String()])
	require.Equal(t, map[string]float64{ids[0].String(): 1, ids[1].String(): 0}, gathered(t, registry, "authsync_project_database_up"))

	// However many databases are open, the unavailable ones are shown.
	for _, id := range ids {
		down[id] = id == ids[1]
	}
	up := gathered(t, registry, "authsync_project_database_up")
	require.Len(t, up, maxProjectMetrics)
	require.Zero(t, up[ids[1].String()])
	require.Contains(t, up, ids[1].String())

	// What cannot be read is not shown, rather than something old.
	var log strings.Builder
	m.log = slog.New(slog.NewTextHandler(&log, nil))
	_, err = pool.Exec(t.Context(), `ALTER TABLE authsync.inbox_pending RENAME TO renamed`)
	require.NoError(t, err)
	m.look(t.Context())
	require.Empty(t, gathered(t, registry, "authsync_project_lag_seconds"))
	require.Contains(t, log.String(), "project_metrics_not_read")
}
