package cli

import (
	"context"
	"log/slog"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// restart starts the server anew with other roles.
func (b *testBundle) restart(t *testing.T, roles string) {
	t.Helper()
	require.NoError(t, b.app.Stop(context.WithoutCancel(t.Context())))
	env := maps.Clone(b.env)
	env["AUTHSYNC_ROLES"] = roles
	c, err := config.Load(func(name string) string { return env[name] })
	require.NoError(t, err)
	b.app, err = app.Start(t.Context(), app.Config{Settings: c, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	b.env["AUTHSYNC_URL"] = b.app.URL()
}

// PostgreSQL does not tell how full its disk is: without a limit nobody is warned.
func TestDoctorWarnsWithoutALimitOfSize(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Contains(t, b.run(t, "doctor").out, "ok       control database size: a limit is set\n")
	delete(b.env, "AUTHSYNC_DATABASE_LIMIT_BYTES")
	r := b.run(t, "doctor")
	require.Zero(t, r.status, r.out)
	require.Contains(t, r.out, "warning  control database size: no limit is set, so nothing warns before its disk is full\n"+
		"         next: set AUTHSYNC_DATABASE_LIMIT_BYTES, for the servers and here, to what the disk can hold\n")
}

// TestDoctorFailsWithoutWorkers looks at a server at which nothing is done, and at which everything is wrong
// that can be wrong then.
func TestDoctorFailsWithoutWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "destinations", "create", "shop", "noticed", "--type", "webhook", "--url", "https://x.example.com")
	b.restart(t, "receiver,api")
	r := b.run(t, "doctor")
	require.Equal(t, 1, r.status, r.out)
	require.Contains(t, r.out, "failed   workers: no worker is running: messages are taken, but nothing is applied or delivered\n"+
		"         next: start authsync serve with the role worker (AUTHSYNC_ROLES)\n")
	require.Contains(t, r.out, " 1 failed, 0 warnings.")

	b.must(t, "send", "shop", "auth0", "user.created")
	execute(t, b.control, `
		INSERT INTO authsync.river_leader (elected_at, expires_at, leader_id) VALUES (now() - interval '1 hour', now() + interval '1 hour', 'hangs');
		DELETE FROM authsync.river_job WHERE kind IN ('schedule_reconciles', 'check_mirrors');
		INSERT INTO authsync.river_queue (name, paused_at) VALUES ('deliver', '2026-01-31 12:00Z')
			ON CONFLICT (name) DO UPDATE SET paused_at = excluded.paused_at;
		UPDATE authsync.inbox_pending SET received_from = now() - interval '3 hours';
		INSERT INTO authsync.river_job (kind, args, max_attempts, queue, state, attempt, errors)
			VALUES ('rescue_deliveries', '{}', 25, 'default', 'retryable', 5, ARRAY['{"error": "it has no room"}'::jsonb]);
		INSERT INTO authsync.refresh_requests (project_id, provider, user_id, last_error, abandoned_at, requested_at)
			SELECT id, 'auth0', 'auth0|1', 'the token is wrong', now(), now() FROM authsync.projects;
		UPDATE authsync.destinations SET state_reason = 'the feed went back' WHERE name = 'noticed';
		INSERT INTO authsync.sync_runs (project_id, provider, kind, state, phase, drift, finished_at)
			SELECT id, 'clerk', 'reconcile', 'done', 'confirm', '{"deletions_blocked_reason": "80 % are gone"}', now() FROM authsync.projects;
		INSERT INTO authsync.sync_runs (project_id, provider, kind, state, wait_reason, progressed_at)
			SELECT id, 'auth0', 'backfill', 'waiting', 'the rate limit is used up', now() - interval '2 hours' FROM authsync.projects;
		UPDATE authsync.integrations SET options = '{"reconcile": {"every": "1h"}}', updated_at = now() - interval '1 day' WHERE provider = 'better_auth';
		DO $$ DECLARE d record; BEGIN
			FOR d IN SELECT * FROM authsync.inbox_days WHERE day > now() LOOP
				EXECUTE format('DROP TABLE %s, %s', d.inbox_partition, d.outcomes_partition);
			END LOOP;
		END $$`)
	r = b.run(t, "doctor")
	require.Equal(t, 1, r.status, r.out)
	for name, fault := range map[string][2]string{
		"APausedQueue":        {"failed   workers: queue deliver has been paused since 2026-01-31 12:00Z, for all projects; 0 jobs wait in it", "resume it in River UI: /river/queues/deliver"},
		"PeriodicJobsMissing": {"failed   workers: schedule_reconciles, check_mirrors should run every minute, and did not for 5 minutes", "see the log of the workers; restart them"},
		"OldMessages":         {"failed   messages: 1 message of project shop waits to be applied, the oldest for 3 hours", "authsync events list shop --outcome pending"},
		"AJobThatFails":       {"failed   jobs: 1 of rescue_deliveries failed again and again: it has no room", "see the log of the workers, and River UI: /river/jobs"},
		"RefreshesGivenUp":    {"failed   refreshes: users of auth0 in project shop are to be read from it: 0 wait, 1 were given up: the token is wrong", "see to the reason"},
		"ANotice":             {"warning  destinations: noticed of project shop has a notice: the feed went back", "see to it; authsync destinations resume shop noticed"},
		"DeletionsHeldBack":   {"warning  sync runs: the reconcile of clerk in project shop did not delete: 80 % are gone", "authsync reconcile shop clerk --dry-run"},
		"ARunThatWaits":       {"failed   sync runs: the backfill of auth0 in project shop has made no progress since ", "see to the reason, or end it: authsync backfill shop auth0 --cancel"},
		"AScheduleThatStands": {"failed   sync runs: the reconcile of better_auth in project shop has been due for more than 10 minutes", "see the log of the workers"},
		"NoPartitions":        {"failed   inbox partitions: only 0 of the coming days have a partition", "run a process with the role worker"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, r.out, fault[0])
			require.Contains(t, r.out, "next: "+fault[1])
		})
	}
}

func TestDoctorFailsWhereDeliveriesWaitForAPerson(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "destinations", "create", "shop", "crm", "--type", "webhook", "--url", "https://x.example.com")
	b.must(t, "destinations", "pause", "shop", "crm")
	require.Zero(t, b.run(t, "doctor").status, "nothing waits for it")
	b.must(t, "send", "shop", "auth0", "user.created", "--wait")
	waittest.Until(t, func() bool {
		var waiting int
		require.NoError(t, b.control.QueryRow(t.Context(), `SELECT waiting FROM authsync.destination_health`).Scan(&waiting))
		return waiting == 1
	})
	b.doctorSays(t, "failed   destinations: crm of project shop is paused; 1 delivery waits since ", "authsync destinations resume shop crm")
}

func TestDoctorFailsWhereAReconcileLacksItsKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "integrations", "set", "shop", "clerk", "--option", "reconcile.every=1h")
	execute(t, b.control, `INSERT INTO authsync.river_job (kind, args, max_attempts, queue) VALUES ('schedule_reconciles', '{}', 5, 'default')`)
	waittest.Until(t, func() bool {
		var failed bool
		require.NoError(t, b.control.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM authsync.sync_runs WHERE state = 'failed')`).Scan(&failed))
		return failed
	})
	b.doctorSays(t, "failed   sync runs: the last reconcile of clerk in project shop failed: ",
		"see to the reason, such as a missing credential (authsync integrations set shop clerk), then: authsync reconcile shop clerk")
	execute(t, b.control, `INSERT INTO authsync.sync_runs (project_id, provider, kind, state, started_at, finished_at)
		SELECT project_id, provider, 'backfill', 'done', now(), now() FROM authsync.sync_runs`)
	require.Zero(t, b.run(t, "doctor").status, "a later run made up for it")
}

func TestDoctorFailsOnAnOldCopy(t *testing.T) {
	t.Parallel()

	t.Run("UntilItIsRepaired", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.must(t, "send", "shop", "auth0", "user.created", "--user", "auth0|before", "--wait")
		copied := pgtest.Copy(t, b.project)
		b.must(t, "send", "shop", "auth0", "user.created", "--user", "auth0|after", "--wait")
		b.restart(t, "receiver,api")
		require.NotContains(t, b.run(t, "doctor").out, "has lost")
		pgtest.Restore(t, b.project, copied)
		b.doctorSays(t, "failed   project shop: its database has lost what was applied since ", "a worker notices it within a minute")

		b.restart(t, "receiver,worker,api")
		waittest.Until(t, func() bool { return b.run(t, "doctor").status == 0 }, "it is not repaired by itself")
		require.Contains(t, b.must(t, "explain", "shop", "auth0|after"), "auth0|after")
		r := b.run(t, "projects", "get", "shop")
		require.Contains(t, r.out, "its mirror had lost what was applied since ")
		require.Contains(t, r.out, "2 messages were applied again", "that of some minutes before is among them")
		require.Contains(t, b.run(t, "events", "list", "shop").err, "its mirror had lost what was applied since ")
		healed := b.must(t, "doctor")
		require.Regexp(t, `ok +project shop: its mirror had lost what was applied since .*; that is repaired: 2 messages were applied again`, healed)
		require.Contains(t, healed, "ok       project shop: postgres://")
		execute(t, b.control, `UPDATE authsync.mirror_repairs SET found_at = found_at - interval '8 days'`)
		require.NotContains(t, b.must(t, "doctor"), "that is repaired", "it is not said for ever")
	})

	t.Run("AndAfterwardsWhereTheInboxHasTooLittle", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		execute(t, b.control, `UPDATE authsync.projects SET created_at = now() - interval '40 days'`)
		b.must(t, "send", "shop", "auth0", "user.created", "--user", "auth0|real", "--wait")
		execute(t, b.project, `DROP SCHEMA capydb_auth CASCADE`)
		b.must(t, "integrations", "set", "shop", "auth0")
		b.must(t, "send", "shop", "auth0", "user.created", "--wait")
		waittest.Until(t, func() bool {
			var finished bool
			require.NoError(t, b.control.QueryRow(t.Context(),
				`SELECT EXISTS (SELECT FROM authsync.mirror_repairs WHERE finished_at IS NOT NULL)`).Scan(&finished))
			return finished
		})
		b.doctorSays(t, "messages received before ", "authsync integrations set shop auth0 with what reading needs, then authsync reconcile shop auth0")
		execute(t, b.control, `INSERT INTO authsync.sync_runs (project_id, provider, kind, state, started_at, finished_at)
			SELECT project_id, provider, 'reconcile', 'done', now(), now() FROM authsync.integrations`)
		require.Zero(t, b.run(t, "doctor").status, "a reconcile brought back what the inbox has no longer")
	})
}

func TestDoctorWarnsOfKeysThatExpireSoon(t *testing.T) {
	t.Parallel()
	b := setup(t)
	execute(t, b.control, `
		INSERT INTO authsync.api_keys (name, hint, key_hash, role, project_id, expires_at, last_used_at, revoked_at)
		SELECT k.name, 'capy_live_aB3d', sha256(k.name::bytea), 'operator', p.id, now() + k.ends, now() - k.used, now() + k.revoked
		FROM authsync.projects AS p, (VALUES
			('soon', interval '13 days 23 hours', interval '29 days', NULL::interval),
			('later', '15 days', '1 hour', NULL),
			('unused', '1 day', '31 days', NULL),
			('never used', '1 day', NULL, NULL),
			('expired', '-1 hour', '2 hours', NULL),
			('revoked', '1 day', '1 hour', '-1 hour'),
			('endless', NULL, '1 hour', NULL)) AS k (name, ends, used, revoked)`)
	r := b.run(t, "doctor")
	require.Zero(t, r.status, r.out)
	require.Contains(t, r.out, " 0 failed, 1 warning.")
	require.Regexp(t, `warning  keys: soon \(capy_live_aB3d…\) is in use and expires at \d{4}-\d\d-\d\d \d\d:\d\dZ\n`+
		` +next: authsync keys create NAME --role operator --project shop; give it to whoever uses this one, then: authsync keys revoke [0-9a-f-]{36}\n`, r.out)
}
