package dashboard_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/dashboard"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

func TestNoPlanReadsMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	deliverytest.CheckPlans(t, func(p *deliverytest.Plans) map[string]deliverytest.Statement {
		return map[string]deliverytest.Statement{
			"Finished": func(t *testing.T, tx pgx.Tx) {
				t.Helper()
				deliverytest.Run(pgdb.FromIndexes)(t, tx)
				deliverytest.Run(pgdb.InOrder)(t, tx)
				deliverytest.RunPlanned(dashboard.SelectFinished, p.ProjectID, p.DestinationID, deliverytest.PlanAsked)(t, tx)
			},
			"Troubled": deliverytest.RunPlanned(dashboard.SelectTroubled, p.DestinationID, deliverytest.PlanAsked),
		}
	})
}

func TestRecentResultsAreDrawn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	one := s.outbound(t)
	s.exec(t, `DELETE FROM authsync.deliveries`)
	page := s.get(t, one, s.all)
	require.Empty(t, page.all("svg"))
	require.NotContains(t, page.words, "Failed attempt")

	// Each was queued a while before it ended: 100 ms, 200 ms, …, 1 s.
	s.exec(t, `
		INSERT INTO authsync.deliveries (project_id, destination_id, change_id, record_type, record_id, order_key, event_type, changed, changed_at, state,
			reason, last_attempt_at, created_at, finished_at)
		SELECT d.project_id, d.id, n, 'user', 'user_' || n, 'user:user_' || n, 'user.updated', '{}', now(), CASE n WHEN 11 THEN 'failed' WHEN 12 THEN 'cancelled' ELSE 'delivered' END,
			CASE n WHEN 11 THEN $1::text END, CASE WHEN n < 12 THEN now() END,
			now() - n * interval '10 minutes', now() - n * interval '10 minutes' + n * interval '100 milliseconds'
		FROM authsync.destinations AS d, generate_series(1, 12) AS n
		WHERE d.name = 'app'`, "reason "+hostile)
	page = s.get(t, one, s.all)
	require.Len(t, page.all("svg"), 1)
	require.Contains(t, page.words, "10 arrived and 1 failed: 90.9 %. Half of them arrived within 500ms of being queued, 95 of 100 within 900ms.")
	bars := map[string]int{}
	for _, e := range page.all("rect") {
		class, _ := attribute(e, "class")
		bars[class]++
	}
	require.Equal(t, map[string]int{"good": 10, "took": 10, "bad": 1}, bars)
	require.Contains(t, page.words, "reason "+hostile)

	// Those of another destination are not its own.
	s.exec(t, `INSERT INTO authsync.destinations (project_id, name, type, secrets_sealed) VALUES ($1, 'other', 'webhook', '')`, s.shop.ID)
	require.Empty(t, s.get(t, s.path("destinations", "other"), s.all).all("svg"))
}
