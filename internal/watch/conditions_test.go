package watch_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/watch"
)

// alarm is a condition and how it begins and ends.
type alarm struct {
	kind    string
	subject string
	begin   func(t *testing.T, b *testBundle)
	end     func(t *testing.T, b *testBundle)
	detail  string // what the problem holds
}

// sql returns a step that runs statements with the project and the clock as $1 and $2; both must be used.
func sql(text string) func(*testing.T, *testBundle) {
	return func(t *testing.T, b *testBundle) {
		t.Helper()
		b.exec(t, text, b.shop, b.now())
	}
}

// plain is sql without arguments.
func plain(text string) func(*testing.T, *testBundle) {
	return func(t *testing.T, b *testBundle) {
		t.Helper()
		b.exec(t, text)
	}
}

const destinationID = "5d6b3c1e-0000-4000-8000-000000000001"

func destination(set string) func(*testing.T, *testBundle) {
	return func(t *testing.T, b *testBundle) {
		t.Helper()
		b.exec(t, `INSERT INTO authsync.destinations (id, project_id, name, type, secrets_sealed) VALUES ($1, $2, 'crm', 'webhook', '') ON CONFLICT DO NOTHING`,
			uuid.MustParse(destinationID), b.shop)
		b.exec(t, `INSERT INTO authsync.destination_progress (destination_id, cursor) VALUES ($1, 0) ON CONFLICT DO NOTHING`, uuid.MustParse(destinationID))
		b.exec(t, set)
	}
}

func alarms() []alarm {
	const noDestination = `DELETE FROM authsync.destinations`
	return []alarm{
		{
			watch.WorkerMissing, "",
			func(t *testing.T, b *testBundle) {
				t.Helper()
				b.exec(t, `DELETE FROM authsync.river_leader`)
				b.pass(time.Minute)
			},
			plain(`INSERT INTO authsync.river_leader (elected_at, expires_at, leader_id) VALUES ('infinity', 'infinity', 'w')`),
			"no worker is running",
		},
		{
			watch.QueuePaused, "deliver",
			plain(`INSERT INTO authsync.river_queue (name, paused_at, updated_at) VALUES ('deliver', '2026-01-31 12:00Z', now())`),
			plain(`UPDATE authsync.river_queue SET paused_at = NULL`),
			"queue deliver has been paused since 2026-01-31 12:00Z",
		},
		{
			watch.PeriodicJobsMissing, "",
			plain(`UPDATE authsync.river_leader SET elected_at = now() - interval '1 hour'`),
			sql(`INSERT INTO authsync.river_job (kind, args, max_attempts, queue, created_at)
				SELECT k, '{}', 1, 'default', $2::timestamptz FROM unnest(ARRAY['schedule_reconciles', 'check_mirrors']) AS k WHERE $1::uuid IS NOT NULL`),
			"should run every minute",
		},
		{
			watch.Lag, "",
			sql(`INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
				VALUES ($1, '{1}', 1, $2::timestamptz - interval '6 minutes', $2)`),
			plain(`DELETE FROM authsync.inbox_pending`),
			"1 message of project shop waits to be applied",
		},
		{
			watch.FailedShare, "",
			sql(`WITH counted AS (
					INSERT INTO authsync.message_counts (project_id, slot, began_at, message_count) VALUES ($1, 0, $2::timestamptz - interval '2 hours', 150))
				INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, outcome)
				SELECT n, 0, $2::timestamptz - interval '1 hour', $1, 'failed' FROM generate_series(1, 2) AS n`),
			plain(`DELETE FROM authsync.event_outcomes WHERE inbox_id = 1`), // 1 of 150 is no problem
			"2 of the 150 events of project shop within a day could not be applied",
		},
		{
			watch.RequestsRejected, "clerk",
			sql(`INSERT INTO authsync.rejected_requests (project_id, provider, received_at, status, reason, detail, header_names, request_count)
				VALUES ($1, 'clerk', $2, 401, 'signature_mismatch', 'd', '{}', 3)`),
			func(t *testing.T, b *testBundle) { t.Helper(); b.pass(time.Hour) },
			"3 requests of clerk for project shop were rejected within the last hour",
		},
		{
			watch.PartitionsMissing, "",
			plain(`DO $$ DECLARE d record; BEGIN
				FOR d IN SELECT * FROM authsync.inbox_days WHERE day > now() LOOP
					EXECUTE format('DROP TABLE %s, %s', d.inbox_partition, d.outcomes_partition);
				END LOOP;
			END $$`),
			plain(`SELECT authsync.make_inbox_partitions(CURRENT_DATE, 7)`),
			"only 0 of the coming days have a partition",
		},
		{
			watch.RetentionOverdue, "",
			sql(`INSERT INTO authsync.mirror_prunings (project_id, attempted_at, finished_at, last_error)
				VALUES ($1, $2, $2::timestamptz - interval '49 hours', 'permission denied')`),
			plain(`UPDATE authsync.mirror_prunings SET last_error = NULL, finished_at = now()`),
			": permission denied",
		},
		{
			watch.RetentionOverdue, "",
			sql(`INSERT INTO authsync.river_job (kind, state, max_attempts, args, created_at, finalized_at)
				SELECT 'prune_inbox', s.state::authsync.river_job_state, 25, '{}', $2::timestamptz - s.age, CASE s.state WHEN 'completed' THEN $2::timestamptz - s.age END
				FROM (VALUES ('completed', interval '7 hours'), ('retryable', interval '5 hours')) AS s (state, age) WHERE $1::uuid IS NOT NULL`),
			plain(`UPDATE authsync.river_job SET state = 'completed', finalized_at = now() + interval '100 years' WHERE kind = 'prune_inbox'`),
			"the last job prune_inbox to succeed was at",
		},
		{
			watch.DestinationStopped, destinationID,
			destination(`UPDATE authsync.destinations SET state = 'disabled', state_by = 'system', state_reason = 'it answered 410'`),
			plain(noDestination),
			"crm of project shop is disabled: it answered 410",
		},
		{
			watch.DestinationFailing, destinationID,
			destination(`UPDATE authsync.destination_progress SET failing_since = now() - interval '1 hour'`),
			plain(`UPDATE authsync.destination_progress SET failing_since = NULL`),
			"crm of project shop fails since",
		},
		{
			watch.DestinationOverdue, destinationID,
			destination(`INSERT INTO authsync.deliveries (project_id, destination_id, change_id, record_type, record_id, order_key, event_type, changed, changed_at, state)
				SELECT project_id, id, 1, 'user', 'u', 'user:u', 'user.created', '{}', now() - interval '1 hour', 'ready' FROM authsync.destinations`),
			plain(`DELETE FROM authsync.deliveries`),
			"crm of project shop is late: 1 delivery waits",
		},
		{
			watch.SyncRunStuck, "clerk backfill",
			sql(`INSERT INTO authsync.sync_runs (project_id, provider, kind, state, wait_reason, updated_at)
				VALUES ($1, 'clerk', 'backfill', 'waiting', 'the rate limit is used up', $2::timestamptz - interval '2 hours')`),
			plain(`UPDATE authsync.sync_runs SET state = 'done', finished_at = now()`),
			"the backfill of clerk in project shop has waited for more than an hour: the rate limit is used up",
		},
		{
			watch.SyncRunFailed, "clerk backfill",
			sql(`INSERT INTO authsync.sync_runs (project_id, provider, kind, state, error, finished_at) VALUES ($1, 'clerk', 'backfill', 'failed', 'no key', $2)`),
			plain(`INSERT INTO authsync.sync_runs (project_id, provider, kind, state, started_at, finished_at)
				SELECT project_id, provider, 'reconcile', 'done', now() + interval '1 minute', now() + interval '2 minutes' FROM authsync.sync_runs`),
			"the last backfill of clerk in project shop failed: no key",
		},
		{
			watch.DeletionsBlocked, "clerk reconcile",
			sql(`INSERT INTO authsync.sync_runs (project_id, provider, kind, state, phase, drift, finished_at)
				VALUES ($1, 'clerk', 'reconcile', 'done', 'confirm', '{"deletions_blocked_reason": "80 % are gone"}', $2)`),
			plain(`UPDATE authsync.sync_runs SET drift = '{}'`),
			"did not delete: 80 % are gone",
		},
		{
			watch.ReconcileOverdue, "clerk",
			sql(`UPDATE authsync.integrations SET options = '{"reconcile": {"every": "1h"}}', updated_at = $2::timestamptz - interval '1 day' WHERE project_id = $1`),
			plain(`UPDATE authsync.integrations SET options = '{}'`),
			"the reconcile of clerk in project shop has been due for more than 10 minutes",
		},
		{
			watch.CloneBehind, "",
			sql(`INSERT INTO authsync.clones (project_id, source_project_id, source_name, mode, phase, caught_up_at, wait_reason)
				VALUES ($1, $1, 'shop', 'following', 'following', $2::timestamptz - interval '16 minutes', 'the source''s database cannot be used now')`),
			plain(`UPDATE authsync.clones SET caught_up_at = now() + interval '1 hour'`),
			"a clone of shop, has not been up to date since",
		},
		{
			watch.CloneBehind, "",
			sql(`INSERT INTO authsync.clones (project_id, source_project_id, source_name, mode, updated_at)
				VALUES ($1, $1, 'shop', 'still', $2::timestamptz - interval '16 minutes')`),
			plain(`UPDATE authsync.clones SET phase = 'still'`),
			"the copy of project shop into its clone shop has made no step since",
		},
		{
			watch.KeyExpiring, "5d6b3c1e-0000-4000-8000-000000000002",
			sql(`INSERT INTO authsync.api_keys (id, project_id, name, hint, key_hash, role, expires_at, last_used_at)
				VALUES ('5d6b3c1e-0000-4000-8000-000000000002', $1, 'ci', 'capy_live_ab', 'x', 'admin', $2::timestamptz + interval '13 days', $2)`),
			plain(`UPDATE authsync.api_keys SET revoked_at = now()`),
			"ci (capy_live_ab…) is in use and expires at",
		},
		{
			watch.ClockSkew, "",
			func(_ *testing.T, b *testBundle) { b.skew = -31 * time.Second },
			func(_ *testing.T, b *testBundle) { b.skew = 0 },
			"the clock of the control database and this machine's are 31s apart",
		},
	}
}

// Every alarm opens once, stays one while its cause lasts, closes when that is gone, and comes back as another problem.
func TestEachAlarmOpensOnceAndCloses(t *testing.T) {
	t.Parallel()
	for _, a := range alarms() {
		t.Run(a.kind, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := watch.New(b.config(t))
			b.evaluate(t, w)
			require.Empty(t, b.list(t, ""), "all is well")

			a.begin(t, b)
			b.evaluate(t, w)
			open := b.list(t, watch.StateOpen)
			require.Len(t, open, 1)
			first := open[0]
			require.Equal(t, a.kind, first.Kind)
			require.Equal(t, a.subject, first.Subject)
			require.Contains(t, first.Detail, a.detail)
			require.NotEmpty(t, first.Next)
			require.Equal(t, b.now(), first.OpenedAt)

			b.evaluate(t, w)
			open = b.list(t, "")
			require.Len(t, open, 1, "it is the same problem")
			require.Equal(t, first.ID, open[0].ID)
			require.Equal(t, b.now(), open[0].LastSeenAt)

			a.end(t, b)
			b.evaluate(t, w)
			require.Empty(t, b.open(t))
			closed := b.list(t, watch.StateClosed)
			require.Len(t, closed, 1)
			require.Equal(t, b.now(), *closed[0].ClosedAt)
		})
	}
}

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
