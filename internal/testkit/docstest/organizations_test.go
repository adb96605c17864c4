package docstest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

const (
	byClaims  = "CREATE FUNCTION current_user_id()"
	bySetting = "CREATE OR REPLACE FUNCTION current_user_id()"
	helper    = "CREATE FUNCTION current_user_orgs(p_roles text[] DEFAULT NULL)"
	policies  = "ALTER TABLE projects ENABLE ROW LEVEL SECURITY;"
	grants    = "GRANT SELECT, INSERT, UPDATE, DELETE ON projects TO authenticated;"
)

func TestOrganizations(t *testing.T) {
	t.Parallel()
	var recipe []string
	keep := step{instead: func(_ *scene, text string) { recipe = append(recipe, text) }}
	walk{
		file:  "docs/organizations.md",
		begin: withShop,
		blocks: map[string]step{
			"SELECT u.email, o.name AS organization, t.name AS team": {before: func(s *scene) {
				s.execute(s.project, `
					CREATE TABLE team (id text PRIMARY KEY, name text NOT NULL, "organizationId" text NOT NULL);
					CREATE TABLE "teamMember" (id text PRIMARY KEY, "teamId" text NOT NULL, "userId" text NOT NULL)`)
			}},
			byClaims: keep, bySetting: keep, helper: keep, policies: keep,
			grants: {instead: func(s *scene, text string) {
				recipe = append(recipe, text)
				require.Len(s.t, recipe, 5)
				p := newPostgREST(s)
				for _, part := range []string{recipe[0], recipe[2], recipe[3], text} {
					s.execute(s.project, part)
				}
				p.requireByClaims()
				s.execute(s.project, recipe[1])
				p.requireRows(`SELECT set_config('app.user_id', 'user_1', true)`, 1, 1)
				p.requireRows(`SELECT set_config('app.user_id', '', true)`, 0, 0)
				p.requireRows(`SELECT set_config('request.jwt.claims', '{"sub": "user_1"}', true)`, 0, 0)
			}},
		},
	}.run(t)
}

// postgREST is a connection as PostgREST has it: a role that logs in and takes on another one in each transaction.
type postgREST struct {
	*scene
	conn *pgx.Conn
}

// newPostgREST makes the roles, and memberships of all sorts.
func newPostgREST(s *scene) *postgREST {
	s.t.Helper()
	s.execute(s.stage.postgres.URL("postgres"), `
		CREATE ROLE anon NOLOGIN; CREATE ROLE authenticated NOLOGIN;
		CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD 'of-this-test'; GRANT anon, authenticated TO authenticator`)
	s.execute(s.project, `
		INSERT INTO capydb_auth.memberships (organization_id, user_id, roles, provider, last_event_processed, deleted_at) VALUES
			('org_1', 'user_1', '{org:admin}', 'clerk', now(), NULL), ('org_1', 'user_2', '{org:member}', 'clerk', now(), NULL),
			('org_1', 'user_4', '{org:admin}', 'clerk', now(), now()), ('org_2', 'user_5', NULL, 'clerk', now(), NULL),
			('org_1', 'user_6', '{org:admin}', 'clerk', NULL, NULL);
		INSERT INTO capydb_auth.memberships (organization_id, user_id, provider, last_event_processed)
		SELECT 'org_' || i % 500, 'other_' || i, 'clerk', now() FROM generate_series(3, 5000) AS i;
		INSERT INTO capydb_auth.organizations (id, last_event_processed) SELECT 'org_' || i, now() FROM generate_series(0, 499) AS i ON CONFLICT DO NOTHING;
		INSERT INTO projects (organization_id, name) SELECT 'org_' || i % 497 + 3, 'Beacon' FROM generate_series(1, 20000) AS i;
		INSERT INTO projects (organization_id, name) VALUES ('org_2', 'Beacon');
		ANALYZE projects; ANALYZE capydb_auth.memberships`)
	config, err := pgx.ParseConfig(s.project)
	require.NoError(s.t, err)
	config.User, config.Password = "authenticator", "of-this-test"
	conn, err := pgx.ConnectConfig(s.t.Context(), config)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, conn.Close(context.WithoutCancel(s.t.Context()))) })
	return &postgREST{scene: s, conn: conn}
}

// as runs a request of a role, after what says who is asking, and rolls it back.
func (p *postgREST) as(role, who string, do func(pgx.Tx) error) error {
	tx, err := p.conn.Begin(p.t.Context())
	require.NoError(p.t, err)
	defer func() { require.NoError(p.t, tx.Rollback(p.t.Context())) }()
	for _, statement := range []string{"SET LOCAL ROLE " + role, who} {
		_, err := tx.Exec(p.t.Context(), statement)
		require.NoError(p.t, err, statement)
	}
	return do(tx)
}

func claims(text string) string {
	return `SELECT set_config('request.jwt.claims', '` + text + `', true)`
}

// requireRows requires how many rows somebody sees, and may change.
func (p *postgREST) requireRows(who string, visible, writable int64) {
	p.t.Helper()
	require.NoError(p.t, p.as("authenticated", who, func(tx pgx.Tx) error {
		var seen int64
		if err := tx.QueryRow(p.t.Context(), `SELECT count(*) FROM projects`).Scan(&seen); err != nil {
			return err
		}
		require.Equal(p.t, visible, seen, who)
		for _, statement := range []string{`UPDATE projects SET name = name`, `DELETE FROM projects`} {
			tag, err := tx.Exec(p.t.Context(), statement)
			if err != nil {
				return err
			}
			require.Equal(p.t, writable, tag.RowsAffected(), who+": "+statement)
		}
		return nil
	}))
}

func (p *postgREST) requireByClaims() {
	p.t.Helper()
	for who, want := range map[string][2]int64{
		"user_1": {1, 1}, // an admin
		"user_2": {1, 0}, // a member
		"user_3": {0, 0}, // of nothing
		"user_4": {0, 0}, // whose membership was deleted
		"user_5": {1, 0}, // without a role
		"user_6": {0, 0}, // of whom no event has come
	} {
		p.requireRows(claims(`{"sub": "`+who+`"}`), want[0], want[1])
	}
	for _, nobody := range []string{``, `null`, `{}`, `{"sub": null}`, `[]`, `"user_1"`} {
		p.requireRows(claims(nobody), 0, 0)
	}
	p.requireRows(`SELECT 1`, 0, 0) // no claims at all

	insert := func(organization string) error {
		return p.as("authenticated", claims(`{"sub": "user_1"}`), func(tx pgx.Tx) error {
			_, err := tx.Exec(p.t.Context(), `INSERT INTO projects (organization_id, name) VALUES ($1, 'Pier')`, organization)
			return err
		})
	}
	require.NoError(p.t, insert("org_1"))
	require.ErrorContains(p.t, insert("org_2"), "row-level security")
	for _, refused := range []struct{ role, who, statement string }{
		{"authenticated", claims(`{"sub": "user_1"}`), `UPDATE projects SET organization_id = 'org_2'`},
		{"authenticated", claims(`{"sub": "user_1"}`), `SELECT FROM capydb_auth.memberships`},
		{"authenticated", claims(`not JSON`), `SELECT FROM projects`},
		{"anon", claims(`{"sub": "user_1"}`), `SELECT FROM projects`},
		{"anon", claims(`{"sub": "user_1"}`), `SELECT current_user_orgs()`},
	} {
		require.Error(p.t, p.as(refused.role, refused.who, func(tx pgx.Tx) error {
			_, err := tx.Exec(p.t.Context(), refused.statement)
			return err
		}), refused.statement)
	}

	require.NoError(p.t, p.as("authenticated", claims(`{"sub": "user_1"}`), func(tx pgx.Tx) error {
		rows, err := tx.Query(p.t.Context(), `EXPLAIN SELECT * FROM projects`)
		if err != nil {
			return err
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.Contains(p.t, strings.Join(plan, "\n"), "Index Cond: (organization_id = ANY (")
		return err
	}))
}
