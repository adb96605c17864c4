package app

import (
	"context"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsync/authsync/internal/pgdb"
)

// maxHeldCounted bounds what is counted of a destination: somebody may hold back a million deletions.
const maxHeldCounted = 1000

// heldState is how many deliveries the destinations of a project hold back, by their type.
type heldState struct {
	ProjectID uuid.UUID
	Type      string
	Held      int64
}

// One look-up for each destination, and as many entries of the index as it holds back.
const selectHeld = `
	SELECT d.project_id, d.type, sum(h.held)::bigint AS held
	FROM authsync.destinations AS d
	CROSS JOIN LATERAL (
		SELECT count(*) AS held
		FROM (
			SELECT
			FROM authsync.deliveries AS o
			WHERE o.destination_id = d.id AND o.state = 'held' AND o.held_from IS NOT NULL
			LIMIT $2
		) AS o
	) AS h
	WHERE h.held > 0
	GROUP BY d.project_id, d.type
	ORDER BY held DESC, d.project_id, d.type
	LIMIT $1`

// heldMetrics is the metric of deliveries that are held back. It is read apart from the metrics of the projects' lag, so that
// counting these can never be in the way of those.
type heldMetrics struct {
	pool  *pgxpool.Pool
	log   *slog.Logger
	found latest[heldState]
}

func (m *heldMetrics) describe() *prometheus.Desc {
	return prometheus.NewDesc("authsync_held_deliveries",
		"Deliveries that are held back, by project and type of destination: the 100 greatest. A destination counts as 1000 if it holds back more.",
		[]string{"project_id", "type"}, nil)
}

// Describe implements prometheus.Collector.
func (m *heldMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.describe() }

// Collect implements prometheus.Collector.
func (m *heldMetrics) Collect(ch chan<- prometheus.Metric) {
	if found := m.found.Load(); found != nil {
		for _, s := range *found {
			ch <- prometheus.MustNewConstMetric(m.describe(), prometheus.GaugeValue, float64(s.Held), s.ProjectID.String(), s.Type)
		}
	}
}

// look counts anew.
func (m *heldMetrics) look(ctx context.Context) {
	if err := m.found.read(ctx, m.pool, selectHeld, pgdb.Planned, maxProjectMetrics, maxHeldCounted); err != nil {
		m.log.WarnContext(ctx, "held_deliveries_not_counted", slog.Any("error", err))
	}
}
