package repair_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/sync/repair"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const newestChange = `SELECT coalesce(max(id), 0) FROM capydb_auth.user_changes`

func TestMirrorThatWasRestored(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lost    int // events after the copy
		restore func(t *testing.T, b *testBundle, copied string)
		notice  func(t *testing.T, b *testBundle)
	}{
		"FromACopyInItsPlace":        {30, inPlace, look},
		"ToAnotherServer":            {30, elsewhere, look},
		"ByTheNextEvent":             {30, inPlace, next},
		"WithoutItsLastEvent":        {1, inPlace, look},
		"ByDataAloneInALiveDatabase": {30, copyTables, next},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.deliver(t, 1, 30)
			b.applied(t)
			copied := pgtest.Copy(t, b.project)
			b.deliver(t, 31, 30+c.lost)
			b.applied(t)
			before, newest := b.state(t), value[int64](t, b.project, newestChange)
			outcomes := value[string](t, b.control, `SELECT string_agg(o::text, E'\n' ORDER BY o.inbox_id) FROM authsync.event_outcomes AS o`)

			c.restore(t, b, copied)
			require.NotEqual(t, before, b.state(t))
			restored := value[int64](t, b.project, newestChange)
			c.notice(t, b)
			b.repaired(t, 1)

			exec(t, b.project, `DELETE FROM capydb_auth.processed_events WHERE event_id = 'evt_200'`)
			if value[int](t, b.control, `SELECT count(*) FROM authsync.inbox`) > 30+c.lost {
				require.Contains(t, b.state(t), "u200@example.com", "what came meanwhile is applied as well")
			} else {
				require.Equal(t, before, b.state(t))
				require.Equal(t, outcomes,
					value[string](t, b.control, `SELECT string_agg(o::text, E'\n' ORDER BY o.inbox_id) FROM authsync.event_outcomes AS o`))
			}
			require.Equal(t, 30+c.lost, value[int](t, b.project, `SELECT count(DISTINCT event_id) FROM capydb_auth.processed_events`))
			require.Equal(t, 30+c.lost, value[int](t, b.project, `SELECT count(*) FROM capydb_auth.processed_events`), "each once")
			require.Greater(t, value[int64](t, b.project, `SELECT min(id) FROM capydb_auth.user_changes WHERE id > $1`, restored), newest,
				"ids that readers of the feed have seen do not come again with another meaning")
			require.Contains(t, b.logged(), "level=ERROR msg=mirror_rewound")
			require.Contains(t, b.logged(), "msg=mirror_repaired")
			require.Equal(t, "rewound", value[string](t, b.control, `SELECT cause FROM authsync.mirror_repairs`))
		})
	}
}

func inPlace(t *testing.T, b *testBundle, copied string) {
	t.Helper()
	pgtest.Restore(t, b.project, copied)
}

func elsewhere(t *testing.T, b *testBundle, copied string) {
	t.Helper()
	moved := pgtest.Open(t, pgtest.CopyURL(t, copied))
	b.set(func() { b.url = pgtest.CopyURL(t, copied) })
	b.project = moved
}

// copyTables restores the rows alone, while others are connected.
func copyTables(t *testing.T, b *testBundle, copied string) {
	t.Helper()
	from := pgtest.Open(t, pgtest.CopyURL(t, copied))
	tx, err := b.project.Begin(t.Context())
	require.NoError(t, err)
	for _, table := range []string{"users", "processed_events", "changes", "mirror_progress"} {
		rows := value[string](t, from, `SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]')::text FROM capydb_auth.`+table+` AS t`)
		_, err = tx.Exec(t.Context(), `TRUNCATE capydb_auth.`+table)
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), `INSERT INTO capydb_auth.`+table+` OVERRIDING SYSTEM VALUE
			SELECT * FROM jsonb_populate_recordset(NULL::capydb_auth.`+table+`, $1::jsonb)`, rows)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit(t.Context()))
}

// look is the periodic check, on which a project without events depends.
func look(t *testing.T, b *testBundle) {
	t.Helper()
	b.check(t)
}

// next is an event that comes.
func next(t *testing.T, b *testBundle) {
	t.Helper()
	b.deliver(t, 200, 200)
}

func TestMirrorThatIsRestoredAmidEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deliver(t, 1, 30)
	b.applied(t)
	copied := pgtest.Copy(t, b.project)
	b.deliver(t, 31, 60)
	b.applied(t)
	delivered := make(chan error, 1)
	go func() {
		var errs []error
		for i := 61; i <= 160; i++ {
			errs = append(errs, b.send(t.Context(), i))
		}
		delivered <- errors.Join(errs...)
	}()
	waittest.Until(t, func() bool { // it is at work
		return value[int](t, b.control, `SELECT count(*) FROM authsync.event_outcomes`) > 70
	})
	pgtest.Restore(t, b.project, copied)
	require.NoError(t, waittest.Receive(t, delivered))
	b.check(t) // all may have been applied before
	b.repaired(t, 1)
	require.Equal(t, 160, value[int](t, b.project, `SELECT count(*) FROM capydb_auth.processed_events`))

	// The same events in a mirror that nothing happened to.
	other := setup(t)
	other.deliver(t, 1, 160)
	other.applied(t)
	for _, each := range []*testBundle{b, other} { // which event was the newer one depends on the order
		exec(t, each.project, `UPDATE capydb_auth.processed_events SET outcome = 'applied'`)
	}
	require.Equal(t, other.state(t), b.state(t))
}

func TestMirrorThatIsRestoredAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deliver(t, 1, 20)
	b.applied(t)
	copied := pgtest.Copy(t, b.project)
	b.deliver(t, 21, 40)
	b.applied(t)
	before := b.state(t)
	for times := 1; times <= 3; times++ { // of the same copy each time
		pgtest.Restore(t, b.project, copied)
		b.check(t)
		b.repaired(t, times)
		require.Equal(t, before, b.state(t))
	}
}

func TestMirrorThatIsIntact(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deliver(t, 1, 20)
	b.applied(t)
	copied := pgtest.Copy(t, b.project)
	elsewhere(t, b, copied) // moved with everything in it
	b.check(t)
	b.deliver(t, 21, 40)
	b.applied(t)
	pgtest.Copy(t, b.project) // all connections break
	b.deliver(t, 41, 60)
	b.applied(t)
	databases := tenantdb.New(tenantdb.Config{URL: b.database}) // another process takes part
	t.Cleanup(func() { require.NoError(t, databases.Close(context.Background())) })
	another := mirror.New(mirror.Config{Databases: databases, Ledger: b.ledger})
	require.NoError(t, another.Check(t.Context(), b.projectID))
	b.check(t)
	require.Zero(t, value[int](t, b.control, `SELECT count(*) FROM authsync.mirror_repairs`))
	require.NotContains(t, b.logged(), "level=ERROR")
	require.Equal(t, 60, value[int](t, b.project, `SELECT count(*) FROM capydb_auth.processed_events`))
}

func TestMirrorThatWasMadeAnew(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, b *testBundle){
		"BySomebodyWhoAsked": func(t *testing.T, b *testBundle) {
			t.Helper()
			exec(t, b.project, `DROP SCHEMA capydb_auth CASCADE`)
			require.NoError(t, b.mirrors.Install(t.Context(), pgtest.URL(t, b.project), b.projectID, false))
		},
		"ByItself": func(t *testing.T, b *testBundle) {
			t.Helper()
			exec(t, b.project, `DROP SCHEMA capydb_auth CASCADE`)
			waittest.Until(t, func() bool {
				_ = b.mirrors.Check(t.Context(), b.projectID)
				passed := time.Hour
				b.set(func() {
					before := b.now()
					b.now = func() time.Time { return before.Add(passed) }
				})
				return value[bool](t, b.project, `SELECT to_regnamespace('capydb_auth') IS NOT NULL`)
			})
		},
		"InAnotherDatabase": func(t *testing.T, b *testBundle) {
			t.Helper()
			empty := pgtest.Empty(t)
			require.NoError(t, b.mirrors.Install(t.Context(), pgtest.URL(t, empty), b.projectID, false))
			b.set(func() { b.url = pgtest.URL(t, empty) })
			b.project = empty
		},
		"OrLostItsProgress": func(t *testing.T, b *testBundle) {
			t.Helper()
			exec(t, b.project, `TRUNCATE capydb_auth.users, capydb_auth.processed_events, capydb_auth.mirror_progress`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.deliver(t, 1, 60)
			b.applied(t)
			before := b.state(t)
			lose(t, b)
			b.check(t)
			b.repaired(t, 1)
			require.Equal(t, before, b.state(t))
			require.Contains(t, b.logged(), "level=ERROR msg=mirror_recreated")
			require.Equal(t, "recreated", value[string](t, b.control, `SELECT cause FROM authsync.mirror_repairs`))
			b.deliver(t, 61, 70)
			b.applied(t)
			b.repaired(t, 1)
		})
	}
}

func TestRepair(t *testing.T) {
	t.Parallel()

	t.Run("IsFollowedByReconcilesWhereCredentialsAllow", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.deliver(t, 1, 10)
		b.applied(t)
		copied := pgtest.Copy(t, b.project)
		b.deliver(t, 11, 20)
		b.applied(t)
		b.set(func() { b.running = true })
		pgtest.Restore(t, b.project, copied)
		b.check(t)
		waittest.Until(t, func() bool {
			return value[bool](t, b.control, `SELECT EXISTS (SELECT FROM authsync.river_job
				WHERE kind = 'repair_mirror' AND metadata #>> '{output,wait_reason}' LIKE 'a backfill of Auth0 is at work%')`)
		})
		b.set(func() { b.running = false })
		jobstest.Retry(t, b.control, jobs.RepairMirror)
		b.repaired(t, 1)
		require.Equal(t, []string{"auth0 reconcile"}, b.started)
		repairs, err := repair.Of(t.Context(), b.control, b.projectID, 10)
		require.NoError(t, err)
		require.Len(t, repairs, 1)
		require.Equal(t, []string{"auth0"}, repairs[0].Reconciled)
		require.Equal(t, map[string]string{"clerk": "there is no secret_key"}, repairs[0].Unreconciled)
		require.Nil(t, repairs[0].NotInInboxUntil)
		require.EqualValues(t, 20, repairs[0].Messages, "some minutes more than were lost")
	})

	t.Run("NamesWhatTheInboxHasNoLonger", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		exec(t, b.control, `UPDATE authsync.projects SET created_at = now() - interval '40 days'`)
		b.deliver(t, 1, 10)
		b.applied(t)
		exec(t, b.project, `DROP SCHEMA capydb_auth CASCADE`)
		require.NoError(t, b.mirrors.Install(t.Context(), pgtest.URL(t, b.project), b.projectID, false))
		b.check(t)
		b.repaired(t, 1)
		require.Equal(t, time.Now().UTC().Format(time.DateOnly),
			value[time.Time](t, b.control, `SELECT not_in_inbox_until FROM authsync.mirror_repairs`).UTC().Format(time.DateOnly))
		require.Contains(t, b.logged(), "level=WARN msg=mirror_repaired_in_part")
	})

	t.Run("GoesOnWithoutItsJob", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.deliver(t, 1, 10)
		b.applied(t)
		b.set(func() { b.running = true })
		exec(t, b.project, `DROP SCHEMA capydb_auth CASCADE`)
		require.NoError(t, b.mirrors.Install(t.Context(), pgtest.URL(t, b.project), b.projectID, false))
		b.check(t)
		waittest.Until(t, func() bool {
			return value[bool](t, b.control, `WITH gone AS (DELETE FROM authsync.river_job WHERE kind = 'repair_mirror' AND state = 'scheduled' RETURNING id)
				SELECT EXISTS (SELECT FROM gone)`)
		})
		b.set(func() { b.running = false })
		b.repaired(t, 1)
	})
}
