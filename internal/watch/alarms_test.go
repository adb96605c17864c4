package watch_test

import (
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

// probed is a step that notes what a probe has found of a subject.
func probed(subject, set string) func(*testing.T, *testBundle) {
	return func(t *testing.T, b *testBundle) {
		t.Helper()
		b.exec(t, `INSERT INTO authsync.probes (project_id, subject, next_probe_at) VALUES ($1, $2, 'infinity') ON CONFLICT DO NOTHING`, b.shop, subject)
		b.exec(t, `UPDATE authsync.probes SET `+set)
	}
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
			sql(`INSERT INTO authsync.sync_runs (project_id, provider, kind, state, wait_reason, progressed_at)
				VALUES ($1, 'clerk', 'backfill', 'running', 'the rate limit is used up', $2::timestamptz - interval '2 hours')`),
			plain(`UPDATE authsync.sync_runs SET state = 'done', finished_at = now()`),
			": the rate limit is used up",
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
		{
			watch.Silence, "clerk",
			func(t *testing.T, b *testBundle) {
				t.Helper()
				b.exec(t, `INSERT INTO authsync.integration_activity
						(project_id, provider, first_message_at, last_message_at, last_inbox_id, usual_gaps, learned_at, silent_at)
					SELECT $1, 'clerk', $2::timestamptz - interval '30 days', $2::timestamptz - interval '1 day', 0, array_fill(7200::real, ARRAY[168]), $2, $2`,
					b.shop, b.now())
				b.exec(t, `UPDATE authsync.watch_state SET resumed_at = resumed_at - interval '1 day'`) // no process had been away
			},
			func(t *testing.T, b *testBundle) { t.Helper(); b.receive(t) },
			"nothing has come from clerk for project shop since ",
		},
		{
			watch.ProjectDatabaseDown, "",
			probed(watch.DatabaseSubject, `failing_since = now() - interval '5 minutes', consecutive_failures = 2, detail = 'connection refused'`),
			probed(watch.DatabaseSubject, `failing_since = NULL, consecutive_failures = 0`),
			": connection refused",
		},
		{
			watch.CertificateExpiring, "",
			probed(watch.DatabaseSubject, `certificate_expires_at = now() + interval '13 days'`),
			probed(watch.DatabaseSubject, `certificate_expires_at = now() + interval '90 days'`),
			"the TLS certificate of the database of project shop expires at ",
		},
		{
			watch.CredentialsRejected, "clerk",
			probed("clerk", `finding = 'credentials_rejected', detail = 'invalid_client'`),
			probed("clerk", `finding = NULL`),
			"clerk rejects the credentials of project shop: invalid_client",
		},
		{
			watch.StreamStopped, "clerk",
			probed("clerk", `finding = 'stream_stopped', detail = 'the endpoint is disabled'`),
			probed("clerk", `finding = NULL`),
			"clerk does not deliver everything to project shop: the endpoint is disabled",
		},
		{
			watch.DatabaseSize, "",
			plain(`CREATE TABLE authsync.filler AS SELECT repeat(gen_random_uuid()::text, 50) AS text FROM generate_series(1, 10000)`), // 20 MB
			plain(`DROP TABLE authsync.filler`),
			"(AUTHSYNC_DATABASE_LIMIT_BYTES)",
		},
		{
			watch.NotEvaluated, watch.Lag,
			plain(`ALTER VIEW authsync.project_lag RENAME TO moved`),
			plain(`ALTER VIEW authsync.moved RENAME TO project_lag`),
			"whether there is a problem of the kind lag could not be found out",
		},
	}
}

// Every alarm opens once and calls the operator once, stays one while its cause lasts, without another call, and closes by itself
// when that is gone, with one call.
func TestEachAlarm(t *testing.T) {
	t.Parallel()
	for _, a := range alarms() {
		t.Run(a.kind, func(t *testing.T) {
			t.Parallel()
			b, o := setup(t), newOperator(t)
			require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT (pg_database_size(current_database()) + 10000000) * 5 / 4`).Scan(&b.sizeLimit))
			w := b.calling(t, watch.Target{URL: o.url, Key: key()})
			round := func() []received {
				b.pass(watch.Every)
				evaluated, err := w.Evaluate(t.Context())
				require.True(t, evaluated)
				if err != nil {
					require.Equal(t, watch.NotEvaluated, a.kind, "%s", err)
				}
				require.NoError(t, w.Call(t.Context()))
				return o.taken()
			}
			require.Empty(t, round())
			require.Empty(t, b.list(t, ""), "all is well")

			a.begin(t, b)
			calls := round()
			open := b.list(t, watch.StateOpen)
			require.Len(t, open, 1)
			first := open[0]
			require.Equal(t, a.kind, first.Kind)
			require.Equal(t, a.subject, first.Subject)
			require.Contains(t, first.Detail, a.detail)
			require.NotEmpty(t, first.Next)
			require.Equal(t, b.now(), first.OpenedAt)
			require.Len(t, calls, 1)
			require.Equal(t, "problem.opened", calls[0].fields["type"])
			require.Equal(t, a.kind, calls[0].data(t)["kind"])

			require.Empty(t, round(), "it has been announced")
			open = b.list(t, "")
			require.Len(t, open, 1, "it is the same problem")
			require.Equal(t, first.ID, open[0].ID)
			require.Equal(t, b.now(), open[0].LastSeenAt)

			a.end(t, b)
			calls = round()
			require.Empty(t, b.open(t))
			closed := b.list(t, watch.StateClosed)
			require.Len(t, closed, 1)
			require.Equal(t, b.now(), *closed[0].ClosedAt)
			require.Len(t, calls, 1)
			require.Equal(t, "problem.closed", calls[0].fields["type"])
			require.Empty(t, round())
		})
	}
}

// No kind of problem is without a case of TestEachAlarm.
func TestEachKindIsTested(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, a := range alarms() {
		tested[a.kind] = true
	}
	for _, kind := range watch.Kinds() {
		require.True(t, tested[kind], "%s has no case in alarms", kind)
	}
}
