package prune_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

const (
	plannedChanges = 20_000 // of 500 users
	plannedBatch   = 50
)

// Compacting the feed and pruning the ledger read a batch of each, whatever the statistics say.
func TestPruningAMirrorReadsABatch(t *testing.T) {
	t.Parallel()
	for _, statistics := range []string{"Never", "Empty", "Huge"} {
		t.Run(statistics, func(t *testing.T) {
			t.Parallel()
			b := deliverytest.New(t)
			users, times := make([]string, plannedChanges), make([]time.Time, plannedChanges)
			for i := range users {
				users[i], times[i] = string(rune('a'+i%20))+string(rune('a'+i/20%25)), now().Add(-15*day)
			}
			exec(t, b, true, change, users, times)
			exec(t, b, true, `
				INSERT INTO capydb_auth.processed_events (provider, event_id, record_type, record_id, received_at, inbox_id, inbox_ordinal, outcome, processed_at)
				SELECT 'clerk', 'e' || n, 'user', 'u', $1, n, 0, 'applied', $1 FROM generate_series(1, 20000) AS n`, now().Add(-15*day))
			lie(t, b.Project, statistics)
			for name, statement := range map[string]string{
				"Ledger":   `SELECT capydb_auth.prune_ledger($1, $2)`,
				"Prunable": `SELECT count(*) FROM capydb_auth.prunable_changes($1, 9223372036854775807, $2)`,
				"Compact": `SELECT capydb_auth.prune_changes((
					SELECT max(c.id) FROM (SELECT p.id FROM capydb_auth.prunable_changes($1, 9223372036854775807, $2) AS p) AS c))`,
			} {
				t.Run(name, func(t *testing.T) {
					tx, err := b.Project.Begin(t.Context())
					require.NoError(t, err)
					defer func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
					rows, blocks := pgtest.RowsRead(t, tx, "capydb_auth"), pgtest.IndexBlocksRead(t, tx, "capydb_auth")
					_, err = tx.Exec(t.Context(), statement, now().Add(-14*day), plannedBatch)
					require.NoError(t, err)
					require.LessOrEqual(t, pgtest.RowsRead(t, tx, "capydb_auth")-rows, int64(10*plannedBatch), "rows")
					require.LessOrEqual(t, pgtest.IndexBlocksRead(t, tx, "capydb_auth")-blocks, int64(30*plannedBatch), "blocks of indexes")
				})
			}
		})
	}
}

// lie gives the mirror's tables statistics of when they were empty, or of a size that they do not have.
func lie(t *testing.T, pool *pgxpool.Pool, statistics string) {
	t.Helper()
	if statistics == "Never" {
		return
	}
	tuples := map[string]float64{"Empty": 0, "Huge": 1e9}[statistics]
	_, err := pool.Exec(t.Context(), `
		UPDATE pg_class SET reltuples = $1, relpages = $2
		WHERE relnamespace = 'capydb_auth'::regnamespace AND relkind IN ('r', 'i')`, tuples, int(tuples/10))
	require.NoError(t, err)
}
