package mirror_test

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

const (
	planUsers   = 2500 // each has 5 changes and as many events in the ledger
	planChanges = 5
	planItems   = 20 // what a statement is asked about
)

// What many records have in common.
const (
	manyEmail        = "many@example.com"
	manyUser         = "user-many"
	manyOrganization = "org-many"
)

// loadUsers fills a mirror.
func loadUsers(t *testing.T, conn *pgx.Conn, users int) {
	t.Helper()
	for _, statement := range []string{
		// email, updated_at, deleted_at and raw are set.
		`INSERT INTO capydb_auth.users (id, email, first_name, last_name, updated_at, raw, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		SELECT format('user-%s', i), format('%s@example.com', i), 'Ada', 'Lovelace', '2026-01-01', '{}', 'auth0', '2026-01-01', '2026-01-01', format('evt-%s', i), 1 + 64 + 256 + 512
		FROM generate_series(0, $1::int - 1) AS i
		ON CONFLICT DO NOTHING`,
		`INSERT INTO capydb_auth.processed_events (provider, event_id, record_type, record_id, received_at, inbox_id, inbox_ordinal, outcome)
		SELECT 'auth0', format('evt-%s', i), 'user', format('user-%s', i % $1::int), '2026-01-01', i, 0, 'applied' FROM generate_series(0, 5 * $1::int - 1) AS i
		ON CONFLICT DO NOTHING`,
		`INSERT INTO capydb_auth.changes (record_type, record_id, kind, changed, before, after, provider, event_id, event_at)
		SELECT 'user', format('user-%s', i % $1::int), CASE WHEN i < $1::int THEN 'created' ELSE 'updated' END, '{email}',
			CASE WHEN i >= $1::int THEN jsonb_build_object('email', i) END, jsonb_build_object('email', i + $1::int), 'auth0', format('evt-%s', i), '2026-01-01'
		FROM generate_series(0, 5 * $1::int - 1) AS i`,
	} {
		_, err := conn.Exec(t.Context(), statement, users)
		require.NoError(t, err)
	}
	loadRecords(t, conn, users)
	loadMany(t, conn, users)
	loadRecordChanges(t, conn, users)
	_, err := conn.Exec(t.Context(), `
		INSERT INTO capydb_auth.reconcile_findings (provider, record_type, record_id, run_id, finding, state)
		SELECT 'auth0', 'user', format('user-%s', i), $2::uuid, CASE WHEN i % 2 = 0 THEN 'equal' ELSE 'differing' END,
			CASE WHEN i % 2 = 0 THEN 'none' ELSE 'open' END FROM generate_series(0, $1::int - 1) AS i
		UNION ALL SELECT 'auth0', '', '', $2::uuid, 'begun', 'none'
		ON CONFLICT DO NOTHING`, users, projectID())
	require.NoError(t, err)
}

// loadRecords gives each user an organization, a membership of it and an invitation to it. None of the
// organizations was met by the reconcile, so that each membership is looked at with its organization.
func loadRecords(t *testing.T, conn *pgx.Conn, users int) {
	t.Helper()
	for _, statement := range []string{
		`INSERT INTO capydb_auth.organizations (id, name, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		SELECT format('org-%s', i), 'name', 'auth0', '2026-01-01', '2026-01-01', 'evt', 256 + 1024 FROM generate_series(0, $1::int - 1) AS i
		ON CONFLICT DO NOTHING`,
		`INSERT INTO capydb_auth.memberships (organization_id, user_id, roles, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		SELECT format('org-%s', i), format('user-%s', i), '{admin}', 'auth0', '2026-01-01', '2026-01-01', 'evt', 256 + 16384 FROM generate_series(0, $1::int - 1) AS i
		ON CONFLICT DO NOTHING`,
		`INSERT INTO capydb_auth.invitations (id, organization_id, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		SELECT format('inv-%s', i), format('org-%s', i), 'auth0', '2026-01-01', '2026-01-01', 'evt', 256 FROM generate_series(0, $1::int - 1) AS i
		ON CONFLICT DO NOTHING`,
	} {
		_, err := conn.Exec(t.Context(), statement, users)
		require.NoError(t, err)
	}
}

// loadRecordChanges adds two changes of each record that is no user; their ids are above those of the users' changes.
func loadRecordChanges(t *testing.T, conn *pgx.Conn, users int) {
	t.Helper()
	_, err := conn.Exec(t.Context(), `
		INSERT INTO capydb_auth.changes (record_type, record_id, kind, changed, before, after, before_raw, provider, event_id, event_at)
		SELECT r.type, r.id, CASE c WHEN 0 THEN 'created' ELSE 'updated' END, '{raw}', CASE c WHEN 1 THEN '{}'::jsonb END,
			jsonb_build_object('organization_id', format('org-%s', i), 'user_id', format('user-%s', i)), CASE c WHEN 1 THEN '{}'::jsonb END, 'auth0', 'evt', '2026-01-01'
		FROM generate_series(0, $1::int - 1) AS i
		CROSS JOIN generate_series(0, 1) AS c
		CROSS JOIN LATERAL (VALUES ('organization', format('org-%s', i)), ('membership', format('org-%s/user-%s', i, i)), ('invitation', format('inv-%s', i)), ('session', format('session-%s', i)))
			AS r (type, id)
		ORDER BY c, i`, users)
	require.NoError(t, err)
}

// loadMany adds users, members, invitations and sessions that have something in common.
func loadMany(t *testing.T, conn *pgx.Conn, users int) {
	t.Helper()
	same := strings.NewReplacer("$2", "'"+manyEmail+"'", "$3", "'"+manyOrganization+"'", "$4", "'"+manyUser+"'")
	for _, statement := range []string{
		`INSERT INTO capydb_auth.users (id, email, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		SELECT format('same-%s', i), $2, 'clerk', '2026-01-01', '2026-01-01', 'evt', 256 FROM generate_series(0, $1::int - 1) AS i ON CONFLICT DO NOTHING`,
		`INSERT INTO capydb_auth.invitations (id, organization_id, email, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		SELECT format('same-%s', i), $3, $2, 'clerk', '2026-01-01', '2026-01-01', 'evt', 256 FROM generate_series(0, $1::int - 1) AS i ON CONFLICT DO NOTHING`,
		`INSERT INTO capydb_auth.memberships (organization_id, user_id, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		SELECT CASE s WHEN 0 THEN $3 ELSE format('org-%s', i) END, CASE s WHEN 1 THEN $4 ELSE format('user-%s', i) END, 'clerk', '2026-01-01', '2026-01-01', 'evt', 256
		FROM generate_series(0, $1::int - 1) AS i, generate_series(0, 1) AS s ON CONFLICT DO NOTHING`,
		`INSERT INTO capydb_auth.sessions (id, user_id, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		SELECT format('session-%s', i), $4, 'clerk', '2026-01-01', '2026-01-01', 'evt', 256 FROM generate_series(0, $1::int - 1) AS i ON CONFLICT DO NOTHING`,
	} {
		_, err := conn.Exec(t.Context(), same.Replace(statement), users)
		require.NoError(t, err)
	}
}

// hot are the statements that run all day, each asked about planItems users.
func hot() map[string]func(t *testing.T, tx pgx.Tx) {
	at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	events := func(id string, change func(e *mirror.Event)) []any {
		all := make([]mirror.Event, planItems)
		for i := range all {
			all[i] = withRaw(update(fmt.Sprintf("new-%d", i), 1, "email", "new@example.com"), `{"n": 1}`)
			all[i].UserID = fmt.Sprintf(id, i*7)
			all[i].At, all[i].SentAt, all[i].ReceivedAt = at, at, at
			change(&all[i])
		}
		return mirror.EventArgs(all)
	}
	as := func(*mirror.Event) {}
	run := func(statement string, args ...any) func(t *testing.T, tx pgx.Tx) {
		return func(t *testing.T, tx pgx.Tx) {
			t.Helper()
			_, err := tx.Exec(t.Context(), statement, args...)
			require.NoError(t, err)
		}
	}
	const applyEvents = `SELECT * FROM capydb_auth.apply_events(` + mirror.EventArray + `)`
	const ids = `ARRAY(SELECT 7 * i FROM generate_series(1, 20) AS i)`
	const newest = `ARRAY(SELECT capydb_auth.change_cursor(NULL) - i FROM generate_series(0, 19) AS i)`
	const userIDs = `ARRAY(SELECT format('user-%s', 7 * i) FROM generate_series(0, 19) AS i)`
	users, _ := record.Of(record.User)
	organizations, _ := record.Of(record.Organization)
	inOrder := func(query string, args ...any) func(t *testing.T, tx pgx.Tx) {
		return func(t *testing.T, tx pgx.Tx) {
			t.Helper()
			for _, setting := range []string{pgdb.FromIndexes, pgdb.InOrder} {
				run(setting)(t, tx)
			}
			run(query, append([]any{mirror.Planned}, args...)...)(t, tx)
		}
	}
	named := func(d record.Definition, name string) func(t *testing.T, tx pgx.Tx) {
		query, args := mirror.SelectNamed(d, mirror.RecordFilter{Name: name, AfterName: name + "a", After: "x", Limit: planItems})
		return inOrder(query, args...)
	}
	listed := func(f mirror.RecordFilter) func(t *testing.T, tx pgx.Tx) {
		f.Limit = planItems
		query, args, err := mirror.SelectRecords(f)
		if err != nil {
			panic(err) // of the test's own filter
		}
		return inOrder(query, args...)
	}
	recordRow, recordSources := mirror.RecordStatements(users)
	statements := map[string]func(t *testing.T, tx pgx.Tx){
		"ApplyNewUsers": run(applyEvents, events("new-user-%d", as)...),
		"ApplyUpdates":  run(applyEvents, events("user-%d", as)...),
		"ApplyDuplicates": run(applyEvents, events("user-%d", func(e *mirror.Event) {
			var n int
			_, err := fmt.Sscanf(e.UserID, "user-%d", &n)
			if err == nil {
				e.ID = fmt.Sprintf("evt-%d", n)
			}
		})...),
		"ApplyDeletionsWithoutAClock": run(applyEvents, events("user-%d", func(e *mirror.Event) {
			text := at.Format(time.RFC3339)
			e.Raw, e.At, e.DeletedClock, e.DeletedClockIsReceipt = nil, time.Time{}, at, true
			e.Fields = provider.Fields{record.DeletedAt: &text}
		})...),
		"CompareUsers":   run(`SELECT * FROM capydb_auth.compare_users(`+mirror.EventArray+`, '{}', true)`, events("user-%d", as)...),
		"ReconcilePage":  run(`SELECT * FROM capydb_auth.reconcile_page($42, 'auth0', 'user', `+mirror.EventArray+`, '{}', true)`, append(events("user-%d", as), projectID())...),
		"ClocksOfUsers":  run(`SELECT * FROM capydb_auth.clocks_of_users(` + userIDs + `)`),
		"ReadChanges":    run(`SELECT * FROM capydb_auth.read_changes(2000, 20)`),
		"ReadNewest":     run(`SELECT * FROM capydb_auth.read_changes(capydb_auth.change_cursor(NULL) - 20, 20)`),
		"NewestStates":   run(`SELECT * FROM capydb_auth.record_states(` + newest + `, ` + newest + `, ` + newest + `)`),
		"ChangesByID":    run(`SELECT * FROM capydb_auth.changes_by_id(` + ids + `)`),
		"RecordStates":   run(`SELECT * FROM capydb_auth.record_states(` + ids + `, ` + ids + `, array_fill(2400::bigint, ARRAY[20]))`),
		"CloseChanges":   run(`SELECT * FROM capydb_auth.close_changes(` + userIDs + `, ` + userIDs + `, array_fill(timestamptz '2026-01-01', ARRAY[20]), '1 second')`),
		"ChangeCursor":   run(`SELECT capydb_auth.change_cursor(NULL)`),
		"LatestChange":   run(mirror.LatestChange, "user", "user-7"),
		"Record":         run(recordRow, mirror.Planned, "user-7"),
		"Sources":        run(recordSources, mirror.Planned, "user-7"),
		"Records":        listed(mirror.RecordFilter{Type: record.User, After: "user-7"}),
		"Named users":    named(users, "Ada"),
		"Named by last":  named(users, "Love"),
		"Named orgs":     named(organizations, "na"),
		"List":           inOrder(mirror.SelectUsers, "user-3", planItems),
		"ListByEmail":    inOrder(mirror.SelectByEmail, "", planItems, "7@example.com"),
		"OpenFindings":   run(mirror.SelectOpen, mirror.Planned, projectID(), "auth0", "user", true, true, planItems),
		"History":        inOrder(mirror.SelectChanges, "user", "user-7", int64(1<<62), 20),
		"History of one": inOrder(mirror.SelectChanges, "membership", "org-7/user-7", int64(1<<62), 20),
		"EnsureUser":     run(`SELECT capydb_auth.ensure_user('user-7'), capydb_auth.ensure_user('another')`),
		"SkipChangeIDs":  run(`SELECT capydb_auth.skip_change_ids(1)`),
		"LookForSurplus": run(`SELECT * FROM capydb_auth.reconcile_orphaned_users($1, 'auth0', now(), true, 'user-3', 20)`, projectID()),
		"Settle": run(`SELECT capydb_auth.reconcile_settle($1, 'auth0', 'user', (
			SELECT jsonb_agg(jsonb_build_object('record_id', format('user-%s', 7 * i), 'state', 'none', 'finding', 'equal')) FROM generate_series(0, 19) AS i))`, projectID()),
	}
	for name, f := range map[string]mirror.RecordFilter{
		"one":      {Type: record.User, Email: "7@example.com"},
		"none":     {Type: record.User, Email: "nobody@example.com"},
		"of many":  {Type: record.User, Email: manyEmail},
		"after":    {Type: record.User, Email: manyEmail, After: "user-1"},
		"invited":  {Type: record.Invitation, Email: manyEmail, After: "inv-1"},
		"invited*": {Type: record.Invitation, Email: "7@example.com", OrganizationID: manyOrganization},
		"inviting": {Type: record.Invitation, OrganizationID: manyOrganization, After: "inv-1"},
		"member":   {Type: record.Membership, UserID: "user-7"},
		"members":  {Type: record.Membership, OrganizationID: manyOrganization, After: manyOrganization + "/user-1"},
		"joined":   {Type: record.Membership, UserID: manyUser, After: "org-1/" + manyUser},
		"joined 1": {Type: record.Membership, UserID: manyUser, OrganizationID: manyOrganization},
		"signed":   {Type: record.Session, UserID: manyUser, After: "session-1"},
		"signed 0": {Type: record.Session, UserID: "nobody"},
	} {
		statements["Records by filter: "+name] = listed(f)
	}
	some := make([]string, planItems)
	for i := range some {
		some[i] = fmt.Sprintf("user-%d", 7*i)
	}
	statements["LatestRows"] = run(mirror.LatestRows, "user", some)
	statements["OrganizationsOf"] = run(mirror.OrganizationsOf, mirror.Planned, some, 100)
	for _, d := range record.Listed() {
		id := map[record.Type]string{record.Organization: "org-%d", record.Membership: "org-%d/user-%[1]d", record.Invitation: "inv-%d"}[d.Type]
		args := events("%d", func(e *mirror.Event) {
			var n int
			_, err := fmt.Sscanf(e.UserID, "%d", &n)
			if err != nil {
				return
			}
			e.UserID = ""
			e.SetRecord(record.Ref{Type: d.Type, ID: fmt.Sprintf(id, n)})
			e.Fields = provider.Fields{record.DeletedAt: nil, record.UpdatedAt: textOf(at)}
		})
		after, key := []any{fmt.Sprintf(id, 3)}, []any{[]string{fmt.Sprintf(id, 7), fmt.Sprintf(id, 14)}}
		if d.Type == record.Membership {
			after, key = []any{"org-3", "user-3"}, []any{[]string{"org-7", "org-14"}, []string{"user-7", "user-14"}}
		}
		placeholders := map[bool]string{true: "true, "}[d.Placeholders]
		numbered := map[int]string{1: "$2", 2: "$2, $3"}[len(after)]
		statements["Compare "+d.Table] = run(`SELECT * FROM capydb_auth.compare_`+d.Table+`(`+mirror.EventArray+`, '{}', true)`, args...)
		statements["ReconcilePage "+d.Table] = run(`SELECT * FROM capydb_auth.reconcile_page($42, 'auth0', $43, `+mirror.EventArray+`, '{}', true)`, append(args, projectID(), d.Type)...)
		statements["Orphaned "+d.Table] = run(`SELECT * FROM capydb_auth.reconcile_orphaned_`+d.Table+`($1, 'auth0', now(), `+placeholders+numbered+`, 20)`, append([]any{projectID()}, after...)...)
		statements["Clocks "+d.Table] = run(`SELECT * FROM capydb_auth.clocks_of_`+d.Table+`(`+strings.NewReplacer("$2", "$1", "$3", "$2").Replace(numbered)+`)`, key...)
	}
	return statements
}

func textOf(t time.Time) *string {
	text := t.Format(time.RFC3339)
	return &text
}

// read runs a statement in a transaction that is rolled back, and counts the rows and the blocks of indexes.
func read(t *testing.T, conn *pgx.Conn, statement func(t *testing.T, tx pgx.Tx)) (rows, blocks int64) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
	rowsBefore, blocksBefore := pgtest.RowsRead(t, tx, "capydb_auth"), pgtest.IndexBlocksRead(t, tx, "capydb_auth")
	statement(t, tx)
	return pgtest.RowsRead(t, tx, "capydb_auth") - rowsBefore, pgtest.IndexBlocksRead(t, tx, "capydb_auth") - blocksBefore
}

// A plan is made by what the planner believes of a table, and kept while the table becomes another one. What a
// statement reads must depend on what it is asked about alone, whatever the planner believes. An index that is read from end to end
// for a column that it does not begin with is seen by its blocks, not by rows.
func TestNoPlanReadsMoreThanWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	analyze := func(t *testing.T, conn *pgx.Conn) {
		t.Helper()
		_, err := conn.Exec(t.Context(), `ANALYZE`)
		require.NoError(t, err)
	}
	for statistics, prepare := range map[string]func(t *testing.T, conn *pgx.Conn){
		"None": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			loadUsers(t, conn, planUsers)
		},
		"OfTheTables": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			loadUsers(t, conn, planUsers)
			analyze(t, conn)
		},
		// As an autovacuum after a TRUNCATE does. The plans are made then, and kept.
		"OfEmptyTables": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			analyze(t, conn)
			_, err := conn.Exec(t.Context(), `INSERT INTO capydb_auth.reconcile_findings (provider, record_type, record_id, run_id, finding, state) VALUES ('auth0', '', '', $1, 'begun', 'none')`, projectID())
			require.NoError(t, err)
			for range 7 { // a plan is generic from the sixth time on
				for _, statement := range hot() {
					read(t, conn, statement)
				}
			}
			loadUsers(t, conn, planUsers)
		},
		// One user has all that there is, and the tables seem to be tiny.
		"ThatLie": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			loadUsers(t, conn, 1)
			analyze(t, conn)
			loadUsers(t, conn, planUsers)
			_, err := conn.Exec(t.Context(), `
				UPDATE pg_class SET reltuples = 1, relpages = 1000000
				WHERE relnamespace = 'capydb_auth'::regnamespace AND relkind = 'r'`)
			require.NoError(t, err)
		},
		// What nearly all records had in common, few have now.
		"OfOtherValues": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			loadMany(t, conn, planUsers)
			analyze(t, conn)
			for _, change := range []string{
				`users SET email = id`, `invitations SET email = id, organization_id = id`, `sessions SET user_id = id`,
				`memberships SET organization_id = organization_id || user_id, user_id = organization_id || user_id`,
			} {
				table, _, _ := strings.Cut(change, " ")
				key := map[string]string{"memberships": "organization_id || user_id"}[table]
				_, err := conn.Exec(t.Context(), fmt.Sprintf(`UPDATE capydb_auth.%s WHERE (%s) < (SELECT max(%[2]s) FROM capydb_auth.%s)`, change, cmp.Or(key, "id"), table))
				require.NoError(t, err)
			}
			loadUsers(t, conn, planUsers)
		},
	} {
		t.Run(statistics, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Project(t)
			conn := session(t, pool)
			withoutAutovacuum(t, conn)
			prepare(t, conn)
			for name, statement := range hot() {
				for range 7 {
					rows, blocks := read(t, conn, statement)
					require.LessOrEqual(t, rows, int64(20*planItems), "rows read by %s", name)
					require.LessOrEqual(t, blocks, int64(60*planItems), "blocks of indexes read by %s", name)
				}
			}
		})
	}
}

// withoutAutovacuum leaves the statistics to the test.
func withoutAutovacuum(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for _, table := range []string{"users", "organizations", "memberships", "invitations", "sessions", "processed_events", "changes", "reconcile_findings"} {
		_, err := conn.Exec(t.Context(), `ALTER TABLE capydb_auth.`+table+` SET (autovacuum_enabled = false)`)
		require.NoError(t, err)
	}
}

// session gives a connection of its own, for plans and counters belong to a session.
func session(t *testing.T, pool *pgxpool.Pool) *pgx.Conn {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	t.Cleanup(conn.Release)
	return conn.Conn()
}
