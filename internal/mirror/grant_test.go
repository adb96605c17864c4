package mirror_test

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// newRole makes a role that may log in and nothing else, and returns a connection of it.
func newRole(t *testing.T, pool *pgxpool.Pool) (*pgx.Conn, string) {
	t.Helper()
	role := "Reader " + strings.ToLower(rand.Text()[:12]) // a name that needs quotes
	name := pgx.Identifier{role}.Sanitize()
	execute(t, pool, `CREATE ROLE `+name+` LOGIN PASSWORD 'secret'`)
	u, err := url.Parse(pgtest.URL(t, pool))
	require.NoError(t, err)
	u.User = url.UserPassword(role, "secret")
	conn, err := pgx.Connect(t.Context(), u.String())
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close(context.Background()))
	})
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), `DROP OWNED BY `+name+` CASCADE; DROP ROLE `+name)
		require.NoError(t, err)
	})
	return conn, role
}

func execute(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func readsAll(role string) mirror.Reader {
	return mirror.Reader{Role: role, Read: []string{mirror.ReadMirror, mirror.ReadFeed}, EnsureUser: true}
}

func TestGrant(t *testing.T) {
	t.Parallel()

	t.Run("AReaderReadsAndEnsuresAndNothingMore", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		conn, role := newRole(t, pool)
		m := newMirrors(t, pool)
		_, err := conn.Exec(t.Context(), `SELECT FROM capydb_auth.users`)
		require.Equal(t, pgerrcode.InsufficientPrivilege, pgdb.Code(err))
		execute(t, pool, `GRANT CREATE ON SCHEMA capydb_auth TO "`+role+`"; GRANT ALL ON capydb_auth.users TO "`+role+`"`)

		first, err := m.Grant(t.Context(), projectID(), readsAll(role))
		require.NoError(t, err)
		second, err := m.Grant(t.Context(), projectID(), readsAll(role))
		require.NoError(t, err)
		require.Equal(t, first, second, "it is repeatable")
		require.Contains(t, first.Rights, "SELECT ON capydb_auth.users")

		for _, allowed := range []string{
			`SELECT * FROM capydb_auth.users`, `SELECT * FROM capydb_auth.user_changes`, `SELECT * FROM capydb_auth.user_sources`,
			`SELECT * FROM capydb_auth.placeholders`, `SELECT capydb_auth.ensure_user('u1')`, `SELECT capydb_auth.ensure_organization('o1')`,
			`SELECT * FROM capydb_auth.active_memberships`, `SELECT * FROM capydb_auth.membership_sources`, `SELECT * FROM capydb_auth.user_emails`,
		} {
			_, err := conn.Exec(t.Context(), allowed)
			require.NoError(t, err, allowed)
		}
		for _, refused := range []string{
			`INSERT INTO capydb_auth.users (id) VALUES ('u2')`, `UPDATE capydb_auth.users SET email = 'x'`, `DELETE FROM capydb_auth.users`,
			`TRUNCATE capydb_auth.users`, `UPDATE capydb_auth.changes SET kind = 'created'`, `SELECT FROM capydb_auth.processed_events`,
			`SELECT FROM capydb_auth.schema_code`, `CREATE TRIGGER mine BEFORE UPDATE ON capydb_auth.users EXECUTE FUNCTION suppress_redundant_updates_trigger()`, `CREATE TABLE capydb_auth.mine (n int)`,
			`SELECT capydb_auth.apply_events('{}')`, `SELECT capydb_auth.apply_round('{}')`, `ALTER TABLE capydb_auth.users ADD n int`,
			`UPDATE capydb_auth.user_sources SET value = 'x'`, `DELETE FROM capydb_auth.placeholders`,
		} {
			_, err := conn.Exec(t.Context(), refused)
			require.Error(t, err, refused)
			require.Contains(t, []string{pgerrcode.InsufficientPrivilege, pgerrcode.ObjectNotInPrerequisiteState}, pgdb.Code(err), refused)
		}
	})

	t.Run("WhoMayWriteAnywayIsRefused", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		_, role := newRole(t, pool)
		m := newMirrors(t, pool)
		for name, says := range map[string]string{
			"nobody_of_that_name": "has no role", "public": "has no role", "": "has no role",
			pool.Config().ConnConfig.User: "owns the mirror",
		} {
			_, err := m.Grant(t.Context(), projectID(), readsAll(name))
			require.True(t, fault.Is(err, fault.Invalid), err)
			require.ErrorContains(t, err, says)
		}
		execute(t, pool, `GRANT UPDATE (email) ON capydb_auth.users TO PUBLIC`)
		_, err := m.Grant(t.Context(), projectID(), readsAll(role))
		require.True(t, fault.Is(err, fault.Invalid), err)
		require.ErrorContains(t, err, "UPDATE on capydb_auth.users, through PUBLIC")
		require.Equal(t, "false", one(t, pool, `SELECT has_table_privilege($1, 'capydb_auth.users', 'SELECT')::text`, role), "nothing was granted")
	})

	t.Run("TheMirrorAloneIsTheDefaultOfTheCommand", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		conn, role := newRole(t, pool)
		m := newMirrors(t, pool)
		_, err := m.Grant(t.Context(), projectID(), readsAll(role))
		require.NoError(t, err)
		granted, err := m.Grant(t.Context(), projectID(), mirror.Reader{Role: role, Read: []string{mirror.ReadMirror}})
		require.NoError(t, err)
		require.Equal(t, []string{
			"USAGE ON SCHEMA capydb_auth",
			"SELECT ON capydb_auth.organizations", "SELECT ON capydb_auth.active_organizations",
			"SELECT ON capydb_auth.users", "SELECT ON capydb_auth.active_users",
			"SELECT ON capydb_auth.memberships", "SELECT ON capydb_auth.active_memberships",
			"SELECT ON capydb_auth.invitations", "SELECT ON capydb_auth.sessions",
			"SELECT ON capydb_auth.user_emails", "SELECT ON capydb_auth.user_phones", "SELECT ON capydb_auth.user_identities",
		}, granted.Rights)
		_, err = conn.Exec(t.Context(), `SELECT * FROM capydb_auth.users`)
		require.NoError(t, err)
		for _, refused := range []string{
			`SELECT * FROM capydb_auth.user_changes`, `SELECT * FROM capydb_auth.user_sources`, `SELECT * FROM capydb_auth.changes`,
			`SELECT * FROM capydb_auth.placeholders`, `SELECT capydb_auth.ensure_user('u1')`, `SELECT capydb_auth.ensure_organization('o1')`,
		} {
			_, err := conn.Exec(t.Context(), refused)
			require.Equal(t, pgerrcode.InsufficientPrivilege, pgdb.Code(err), refused)
		}
	})

	t.Run("WhatIsNotToBeReadIsSaid", func(t *testing.T) {
		t.Parallel()
		m := newMirrors(t, pgtest.Project(t))
		_, err := m.Grant(t.Context(), projectID(), mirror.Reader{Role: "r", Read: []string{"everything"}})
		require.True(t, fault.Is(err, fault.Invalid), err)
		require.ErrorContains(t, err, "take mirror, feed or both")
		_, err = m.Grant(t.Context(), projectID(), mirror.Reader{Role: "r"})
		require.True(t, fault.Is(err, fault.Invalid), err)
	})

	t.Run("WhatOthersPutThereIsLeftAlone", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		_, role := newRole(t, pool)
		execute(t, pool, `CREATE TABLE capydb_auth.notes (n int); GRANT ALL ON capydb_auth.notes TO "`+role+`"`)
		_, err := newMirrors(t, pool).Grant(t.Context(), projectID(), readsAll(role))
		require.NoError(t, err)
		require.Equal(t, "true", one(t, pool, `SELECT has_table_privilege($1, 'capydb_auth.notes', 'INSERT')::text`, role))
	})
}

// TestGrantHeedsRowLevelSecurity reads as a role for whom the customer has made policies.
func TestGrantHeedsRowLevelSecurity(t *testing.T) {
	t.Parallel()
	const secured = `ALTER TABLE capydb_auth.users ENABLE ROW LEVEL SECURITY; `
	for name, c := range map[string]struct {
		policies string   // %s is the role
		users    []string // whom it sees
		says     string
	}{
		"Without":         {`SELECT 1`, []string{"u1", "u2"}, "every row: there is no row-level security"},
		"WithoutAPolicy":  {secured, nil, "no row: row-level security is on, and no policy for SELECT holds for the role"},
		"WithAPolicy":     {secured + `CREATE POLICY own ON capydb_auth.users FOR SELECT TO %s USING (id = 'u1')`, []string{"u1"}, "the rows that policy own allows"},
		"ForAnotherRole":  {secured + `CREATE POLICY own ON capydb_auth.users FOR SELECT TO pg_monitor USING (true)`, nil, "no row"},
		"ForEverybody":    {secured + `CREATE POLICY own ON capydb_auth.users USING (id = 'u2')`, []string{"u2"}, "the rows that policy own allows"},
		"ForWritersOnly":  {secured + `CREATE POLICY own ON capydb_auth.users FOR UPDATE USING (true)`, nil, "no row"},
		"ThroughAnother":  {secured + `GRANT pg_monitor TO %s; CREATE POLICY own ON capydb_auth.users TO pg_monitor USING (id = 'u1')`, []string{"u1"}, "the rows that policy own allows"},
		"Bypassed":        {secured + `ALTER ROLE %s BYPASSRLS`, []string{"u1", "u2"}, "every row: the role has BYPASSRLS"},
		"OnlyRestricting": {secured + `CREATE POLICY no ON capydb_auth.users AS RESTRICTIVE USING (true)`, nil, "no row"},
		"AlsoRestricting": {
			secured + `CREATE POLICY a ON capydb_auth.users USING (true); CREATE POLICY no ON capydb_auth.users AS RESTRICTIVE USING (id <> 'u1')`,
			[]string{"u2"},
			"the rows that policy a allows and policy no does not forbid",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Project(t)
			conn, role := newRole(t, pool)
			m := newMirrors(t, pool)
			events := []mirror.Event{update("e1", 1, "email", "1@example.com"), update("e2", 2, "email", "2@example.com")}
			events[1].UserID = "u2"
			_, err := m.Apply(t.Context(), projectID(), events)
			require.NoError(t, err)
			execute(t, pool, `INSERT INTO capydb_auth.users (id, placeholder_since) VALUES ('u3', now())`)
			execute(t, pool, strings.ReplaceAll(c.policies, "%s", pgx.Identifier{role}.Sanitize()))

			granted, err := m.Grant(t.Context(), projectID(), readsAll(role))
			require.NoError(t, err)
			sees := map[string]mirror.Visibility{}
			for _, s := range granted.Sees {
				sees[s.Relation] = s
			}
			for _, relation := range []string{"users", "user_sources"} {
				require.Contains(t, sees["capydb_auth."+relation].Rows, c.says, relation)
			}
			if c.policies == `SELECT 1` {
				require.Equal(t, c.says, sees["capydb_auth.placeholders"].Rows)
			} else {
				require.Contains(t, sees["capydb_auth.placeholders"].Rows, "of capydb_auth.users "+c.says)
				require.Contains(t, sees["capydb_auth.placeholders"].Rows, "of capydb_auth.organizations every row: there is no row-level security")
			}
			for _, query := range []string{
				`SELECT id FROM capydb_auth.users WHERE id <> 'u3' ORDER BY 1`,
				`SELECT DISTINCT user_id FROM capydb_auth.user_sources WHERE user_id <> 'u3' ORDER BY 1`,
			} {
				rows, err := conn.Query(t.Context(), query)
				require.NoError(t, err)
				got, err := pgx.CollectRows(rows, pgx.RowTo[string])
				require.NoError(t, err)
				require.ElementsMatch(t, c.users, got, query)
			}
			var placeholders, changes int
			require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM capydb_auth.placeholders`).Scan(&placeholders))
			require.Equal(t, len(c.users) == 2 || name == "AlsoRestricting", placeholders == 1)
			require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM capydb_auth.user_changes`).Scan(&changes))
			require.Equal(t, 2, changes)
			if c.policies != `SELECT 1` {
				require.Equal(t, "every row: row-level security of capydb_auth.users does not hold here", sees["capydb_auth.user_changes"].Rows)
			}
			_, err = m.Apply(t.Context(), projectID(), []mirror.Event{update("e3", 3, "email", "3@example.com")})
			require.NoError(t, err, "authsync writes as before")
			require.Equal(t, "3@example.com", one(t, pool, selectEmail))
		})
	}
}

// TestGrantTellsTheTablesApart secures memberships and organizations, and not users.
func TestGrantTellsTheTablesApart(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	conn, role := newRole(t, pool)
	m := newMirrors(t, pool)
	joined := update("e1", 1, "role", "admin")
	joined.RecordType, joined.OrganizationID, joined.UserID = record.Membership, "o1", "u1"
	_, err := m.Apply(t.Context(), projectID(), []mirror.Event{joined})
	require.NoError(t, err)
	execute(t, pool, `ALTER TABLE capydb_auth.memberships ENABLE ROW LEVEL SECURITY; ALTER TABLE capydb_auth.organizations ENABLE ROW LEVEL SECURITY`)

	granted, err := m.Grant(t.Context(), projectID(), readsAll(role))
	require.NoError(t, err)
	const (
		all   = "every row: there is no row-level security"
		none  = "no row: row-level security is on, and no policy for SELECT holds for the role; CREATE POLICY … ON capydb_auth.%s FOR SELECT TO … USING (…)"
		aside = "every row: row-level security of capydb_auth.organizations and capydb_auth.memberships does not hold here"
	)
	of := func(table string) string { return strings.Replace(none, "%s", table, 1) }
	sees, secured := map[string]string{}, []string{}
	for _, s := range granted.Sees {
		sees[strings.TrimPrefix(s.Relation, "capydb_auth.")] = s.Rows
		if s.RowSecurity {
			secured = append(secured, s.Relation)
		}
	}
	require.Equal(t, map[string]string{
		"organizations": of("organizations"), "users": all, "memberships": of("memberships"), "invitations": all, "sessions": all,
		"organization_sources": of("organizations"), "user_sources": all, "membership_sources": of("memberships"),
		"invitation_sources": all, "session_sources": all,
		"changes": aside, "record_changes": aside, "user_changes": all,
		"placeholders": "of capydb_auth.users " + all + "; of capydb_auth.organizations " + of("organizations"),
	}, sees)
	require.ElementsMatch(t, []string{
		"capydb_auth.organizations", "capydb_auth.memberships", "capydb_auth.organization_sources", "capydb_auth.membership_sources",
		"capydb_auth.placeholders",
	}, secured)
	for query, want := range map[string]int{
		`SELECT count(*) FROM capydb_auth.memberships`:                                     0,
		`SELECT count(*) FROM capydb_auth.membership_sources`:                              0,
		`SELECT count(*) FROM capydb_auth.record_changes`:                                  1,
		`SELECT count(*) FROM capydb_auth.record_changes WHERE after ->> 'role' = 'admin'`: 1,
	} {
		var got int
		require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&got))
		require.Equal(t, want, got, query)
	}
}
