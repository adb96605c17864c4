package watch_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/watch"
)

func TestAProblemThatComesBackIsAnotherOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := watch.New(b.config(t))
	for range 2 {
		b.skew = time.Hour
		b.evaluate(t, w)
		b.skew = 0
		b.evaluate(t, w)
	}
	require.Len(t, b.list(t, watch.StateClosed), 2)
}

// Two processes that evaluate at the same time open a problem once, even if the claim of the first has run out.
func TestTwoEvaluatorsOpenAProblemOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.skew = time.Hour
	const processes = 8
	errs := make(chan error, processes)
	for n := range processes {
		c := b.config(t)
		c.Now = func() time.Time { return b.now().Add(time.Duration(n) * time.Hour) } // each finds the claims of others over, or comes too late
		go func() {
			_, err := watch.New(c).Evaluate(t.Context())
			errs <- err
		}()
	}
	for range processes {
		require.NoError(t, <-errs)
	}
	require.Len(t, b.list(t, ""), 1)

	evaluated, err := watch.New(b.config(t)).Evaluate(t.Context())
	require.NoError(t, err)
	require.False(t, evaluated, "another process has just done it")
}

// What cannot be found out opens and closes nothing, is a problem itself, and does not keep others from being found.
func TestAConditionThatCannotBeEvaluated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := watch.New(b.config(t))
	b.exec(t, `INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to) VALUES ($1, '{1}', 1, $2, $2)`,
		b.shop, b.now().Add(-time.Hour))
	b.evaluate(t, w)
	require.Equal(t, []string{watch.Lag}, b.open(t))

	b.exec(t, `ALTER TABLE authsync.inbox_pending RENAME TO moved`)
	b.exec(t, `DROP VIEW authsync.project_lag CASCADE`)
	b.skew = time.Hour
	b.pass(watch.Every)
	_, err := w.Evaluate(t.Context())
	require.ErrorContains(t, err, "evaluate lag: ")
	require.ElementsMatch(t, []string{watch.Lag, watch.ClockSkew, watch.NotEvaluated}, b.open(t))
}

// A worker that is restarted, or the whole server after a pause, gets its time.
func TestAWorkerIsNotMissedAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := watch.New(b.config(t))
	b.evaluate(t, w)
	b.exec(t, `DELETE FROM authsync.river_leader`)
	b.evaluate(t, w)
	require.Empty(t, b.open(t), "a rolling restart")
	b.pass(24 * time.Hour)
	b.evaluate(t, w)
	require.Empty(t, b.open(t), "the processes have just started again")
	b.evaluate(t, w)
	require.Empty(t, b.open(t))
	b.evaluate(t, w)
	require.Equal(t, []string{watch.WorkerMissing}, b.open(t))
}

func TestTheSizeOfTheControlDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.config(t)
	var bytes int64
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT pg_database_size(current_database())`).Scan(&bytes))
	for limit, severity := range map[int64]string{bytes * 2: "", bytes * 11 / 10: watch.Warning, bytes / 2: watch.Failed} {
		c.SizeLimit = limit
		b.evaluate(t, watch.New(c))
		if severity == "" {
			require.Empty(t, b.open(t))
			continue
		}
		require.Equal(t, []string{watch.DatabaseSize}, b.open(t))
		require.Equal(t, severity, b.list(t, watch.StateOpen)[0].Severity)
	}
	c.SizeLimit = 0
	b.evaluate(t, watch.New(c))
	require.Empty(t, b.open(t))
}

func TestClosedProblemsArePruned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := watch.New(b.config(t))
	b.skew = time.Hour
	b.evaluate(t, w)
	b.skew = 0
	b.evaluate(t, w)
	b.exec(t, `UPDATE authsync.problems SET opened_at = opened_at - interval '91 days', closed_at = closed_at - interval '91 days'`)
	b.evaluate(t, w)
	require.Empty(t, b.list(t, ""))
}

// A project goes with its problems.
func TestProblemsOfADeletedProject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := watch.New(b.config(t))
	b.exec(t, `INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to) VALUES ($1, '{1}', 1, $2, $2)`,
		b.shop, b.now().Add(-time.Hour))
	b.evaluate(t, w)
	require.Equal(t, []string{watch.Lag}, b.open(t))
	b.exec(t, `SELECT authsync.remove_project($1)`, b.shop)
	b.evaluate(t, w)
	require.Empty(t, b.list(t, ""))
	// One that is found at the moment of the deletion is not recorded.
	b.exec(t, `SELECT authsync.record_problems('{lag}', $1, '{}', now())`,
		`[{"kind": "lag", "project_id": "`+uuid.NewString()+`", "subject": "", "severity": "failed", "detail": "d", "next_step": "n"}]`)
	require.Empty(t, b.list(t, ""))
}

// The page that people read describes every kind.
func TestEveryKindIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/alarms.md")
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, kind := range watch.Kinds() {
		require.Contains(t, string(page), "`"+kind+"`")
		require.False(t, seen[kind], kind)
		seen[kind] = true
	}
}
