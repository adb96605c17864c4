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

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// insertHeld makes a destination of a type in each project, with that many deliveries held back by the nth.
func insertHeld(t *testing.T, pool *pgxpool.Pool, projects []uuid.UUID, kind string, held func(n int) int) {
	t.Helper()
	for n, id := range projects {
		_, err := pool.Exec(t.Context(), `
			WITH made AS (
				INSERT INTO authsync.destinations (project_id, name, type, secrets_sealed, holdback) VALUES ($1, 'd' || $2::text, $2, '', '1 day') RETURNING id
			)
			INSERT INTO authsync.deliveries (
				project_id, destination_id, change_id, record_type, record_id, order_key, event_type, changed, changed_at, state, held_from)
			SELECT $1, m.id, i, 'user', 'u' || i, 'user:u' || i, 'user.deleted', '{}', now(), 'held', now()
			FROM made AS m, generate_series(1, $3) AS i`, id, kind, held(n))
		require.NoError(t, err)
	}
}

// heldGathered returns the metric by project and type.
func heldGathered(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			values[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return values
}

// What is held back is counted by project and type; however many projects hold something back, there are few series.
func TestMetricOfHeldDeliveries(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	ids := insertProjects(t, pool, maxProjectMetrics+20)
	insertHeld(t, pool, ids, "webhook", func(n int) int {
		switch n {
		case 5:
			return maxHeldCounted + 7
		case 7:
			return 2
		default:
			return min(n, 1)
		}
	})
	insertHeld(t, pool, ids[7:8], "http", func(int) int { return 3 })
	m := &heldMetrics{pool: pool, log: slog.New(slog.DiscardHandler)}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	require.Empty(t, heldGathered(t, registry), "nothing was looked at yet")

	m.look(t.Context())
	held := heldGathered(t, registry)
	require.Len(t, held, maxProjectMetrics)
	require.InDelta(t, maxHeldCounted, held[ids[5].String()+" webhook"], 0)
	require.InDelta(t, 2, held[ids[7].String()+" webhook"], 0)
	require.InDelta(t, 3, held[ids[7].String()+" http"], 0)
	require.NotContains(t, held, ids[0].String()+" webhook", "nothing is held back")

	// What cannot be read is not shown, rather than something old.
	var log strings.Builder
	m.log = slog.New(slog.NewTextHandler(&log, nil))
	_, err := pool.Exec(t.Context(), `ALTER TABLE authsync.deliveries RENAME TO renamed`)
	require.NoError(t, err)
	m.look(t.Context())
	require.Empty(t, heldGathered(t, registry))
	require.Contains(t, log.String(), "held_deliveries_not_counted")
}

// Counting reads what is held back and little else, whatever the statistics say.
func TestCountingHeldDeliveriesReadsNothingElse(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	_, err := pool.Exec(t.Context(), `ANALYZE authsync.deliveries`)
	require.NoError(t, err)
	ids := insertProjects(t, pool, 3)
	insertHeld(t, pool, ids, "webhook", func(int) int { return 2 })
	_, err = pool.Exec(t.Context(), `
		INSERT INTO authsync.deliveries (
			project_id, destination_id, change_id, record_type, record_id, order_key, event_type, changed, changed_at, state, finished_at)
		SELECT d.project_id, d.id, i, 'user', 'd' || i, 'user:d' || i, 'user.deleted', '{}', now(), 'delivered', now()
		FROM authsync.destinations AS d, generate_series(1001, 5000) AS i`)
	require.NoError(t, err)
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		read, blocks := pgtest.RowsRead(t, tx, "authsync"), pgtest.IndexBlocksRead(t, tx, "authsync")
		_, err := pgdb.Collect[heldState](t.Context(), tx, selectHeld, pgdb.Planned, maxProjectMetrics, maxHeldCounted)
		require.NoError(t, err)
		require.Less(t, pgtest.RowsRead(t, tx, "authsync")-read, int64(20))
		require.Less(t, pgtest.IndexBlocksRead(t, tx, "authsync")-blocks, int64(30))
		return nil
	}))
}
