package inbox_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

const (
	prunedProjects = 40
	prunedEach     = 200 // messages of each on the day, with two outcomes each
	prunedBatch    = 20
)

// statisticsOf gives the tables of the inbox statistics of a kind: none, of when they were empty, or wrong ones.
func statisticsOf(t *testing.T, pool *pgxpool.Pool, kind string) {
	t.Helper()
	const set = `
		UPDATE pg_class SET reltuples = $1, relpages = $2
		WHERE relnamespace = 'authsync'::regnamespace AND relkind IN ('r', 'i') AND relname ~ '^(inbox|event_outcomes|projects)'`
	switch kind {
	case "Empty":
		exec(t, pool, set, 0, 0)
	case "One":
		exec(t, pool, `ANALYZE`)
		exec(t, pool, set, 1, 1)
	case "Huge":
		exec(t, pool, `ANALYZE`)
		exec(t, pool, set, 1e9, 1e8)
	}
}

// Each statement of pruning reads what it is about, whatever the statistics say: not the day, and not other days.
func TestPruningReadsWhatItIsAbout(t *testing.T) {
	t.Parallel()
	call := func(sql string, args ...any) func(t *testing.T, tx pgx.Tx) {
		return func(t *testing.T, tx pgx.Tx) {
			t.Helper()
			_, err := tx.Exec(t.Context(), sql, args...)
			require.NoError(t, err)
		}
	}
	for _, statistics := range []string{"Never", "Empty", "One", "Huge"} {
		t.Run(statistics, func(t *testing.T) {
			t.Parallel()
			keep := map[string]int{}
			for i := range prunedProjects {
				keep["p"+string(rune('0'+i/10))+string(rune('0'+i%10))] = 0
			}
			keep["p07"] = 9
			b := newPruneBundle(t, keep)
			for name, id := range b.projects {
				b.fill(t, id, 1, prunedEach)
				if name != "p07" {
					b.fill(t, id, 2, prunedEach)
				}
			}
			statisticsOf(t, b.pool, statistics)
			at := firstDay().AddDate(0, 0, 7)
			one, three := b.projects["p07"], 3*24*time.Hour
			begin := call(`SELECT authsync.begin_inbox_rewrite('20260802', '2026-08-02', '2026-08-03', ARRAY[$1::uuid])`, one)
			follow := func(t *testing.T, tx pgx.Tx) {
				t.Helper()
				begin(t, tx)
				call(`SELECT authsync.copy_inbox_rows('20260802', $1, 1000)`, one)(t, tx)
				call(`UPDATE authsync.inbox_20260802 SET message_id = 'x' WHERE id IN (SELECT i.id FROM authsync.inbox_20260802 AS i WHERE i.project_id = $1 ORDER BY i.id LIMIT 5)`,
					one)(t, tx)
			}
			for name, c := range map[string]struct {
				before, statement func(t *testing.T, tx pgx.Tx)
				rows, blocks      int64
			}{
				// Two days with something to do: a look-up for each project, and some of the catalogue.
				"Search": {nil, call(`SELECT * FROM authsync.inbox_retention($1, $2)`, at, three), 20 * prunedProjects, 40 * prunedProjects},
				"Drop":   {nil, call(`SELECT authsync.drop_inbox_partition('20260803', $1, $2)`, at, three), 20 * prunedProjects, 40 * prunedProjects},
				"Delete": {nil, call(`SELECT authsync.prune_inbox_rows('20260802', $1, $2, $3, $4)`, b.projects["p03"], at, three, prunedBatch), 20 * prunedBatch, 40 * prunedBatch},
				"Copy":   {begin, call(`SELECT authsync.copy_inbox_rows('20260802', $1, $2)`, one, prunedBatch), 20 * prunedBatch, 60 * prunedBatch},
				"Follow": {follow, call(`SELECT authsync.follow_inbox_rewrite('20260802', $1)`, prunedBatch), 20 * prunedBatch, 60 * prunedBatch},
			} {
				t.Run(name, func(t *testing.T) {
					tx := rolledBack(t, b.pool)
					if c.before != nil {
						c.before(t, tx)
					}
					rows, blocks := pgtest.RowsRead(t, tx, "authsync"), pgtest.IndexBlocksRead(t, tx, "authsync")
					c.statement(t, tx)
					require.LessOrEqual(t, pgtest.RowsRead(t, tx, "authsync")-rows, c.rows, "rows")
					require.LessOrEqual(t, pgtest.IndexBlocksRead(t, tx, "authsync")-blocks, c.blocks, "blocks of indexes")
				})
			}
		})
	}
}
