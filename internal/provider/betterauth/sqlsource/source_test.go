package sqlsource_test

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth/sqlsource"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const password = "hush-of-the-reader"

// testBundle is a database as its owner and as a role without any right sees it.
type testBundle struct {
	owner, reader *pgxpool.Pool
	role          string
}

func setup(tb testing.TB) *testBundle {
	tb.Helper()
	b := &testBundle{owner: pgtest.Empty(tb), role: "reader_" + strings.ToLower(provider.RandomID(10))}
	b.exec(tb, `CREATE ROLE `+b.role+` LOGIN PASSWORD '`+password+`'`)
	address, err := url.Parse(pgtest.URL(tb, b.owner))
	require.NoError(tb, err)
	address.User = url.UserPassword(b.role, password)
	b.reader, err = pgdb.Open(tb.Context(), address.String(), pgdb.Options{})
	require.NoError(tb, err)
	tb.Cleanup(func() {
		b.reader.Close()
		_, err := b.owner.Exec(context.WithoutCancel(tb.Context()), `DROP OWNED BY `+b.role+`; DROP ROLE `+b.role)
		require.NoError(tb, err)
	})
	return b
}

func (b *testBundle) exec(tb testing.TB, statement string, args ...any) {
	tb.Helper()
	_, err := b.owner.Exec(tb.Context(), statement, args...)
	require.NoError(tb, err)
}

func (b *testBundle) open(tables provider.UserTables) userapi.Source {
	return sqlsource.New(sqlsource.Config{Pool: b.reader, Tables: tables})
}

const betterAuthTables = `
	CREATE TABLE "user" (id text PRIMARY KEY, name text NOT NULL, email text, "emailVerified" boolean, image text,
		"createdAt" timestamptz, "updatedAt" timestamptz, "resetToken" text);
	CREATE TABLE session (id text PRIMARY KEY, "userId" text, token text, "createdAt" timestamptz);`

func TestSource(t *testing.T) {
	t.Parallel()
	userapitest.Conformance(t, func(tb testing.TB) *userapitest.Case {
		tb.Helper()
		b := setup(tb)
		b.exec(tb, betterAuthTables)
		b.exec(tb, `GRANT SELECT ON "user", session TO `+b.role)
		const users = 1700
		_, err := b.owner.CopyFrom(tb.Context(), pgx.Identifier{"user"}, []string{"id", "name"}, pgx.CopyFromSlice(users, func(i int) ([]any, error) {
			return []any{demoprovider.BetterAuthID(i), "Emmy"}, nil
		}))
		require.NoError(tb, err)
		account, clock := demoprovider.NewAccount(users), userapitest.NewClock()
		account.Changed = func(i int, exists bool) {
			if exists {
				b.exec(tb, `INSERT INTO "user" (id, name) VALUES ($1, 'Emmy')`, demoprovider.BetterAuthID(i))
				return
			}
			b.exec(tb, `DELETE FROM "user" WHERE id = $1`, demoprovider.BetterAuthID(i))
		}
		return &userapitest.Case{
			Account: account, Clock: clock, ID: demoprovider.BetterAuthID, Key: "id",
			Reject:     func() { b.exec(tb, `REVOKE SELECT ON "user", session FROM `+b.role) },
			Credential: "GRANT SELECT ON",
			Secrets:    []string{password},
			Open: func(d userapi.Deps) userapi.Source {
				return sqlsource.New(sqlsource.Config{Pool: b.reader, Now: d.Now})
			},
		}
	})
}

// object reads a user and returns its object.
func object(t *testing.T, source userapi.Source, id string) (user map[string]any, lastSignInAt *time.Time) {
	t.Helper()
	read, err := source.User(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(read.Object, &user))
	return user, read.LastSignInAt
}

func instant(t *testing.T, value any) time.Time {
	t.Helper()
	text, ok := value.(string)
	require.True(t, ok, "%v", value)
	at, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err, "an instant has a zone")
	return at
}

func TestObjectIsThatOfBetterAuth(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, betterAuthTables)
	b.exec(t, `GRANT SELECT ON "user" TO `+b.role)
	b.exec(t, `GRANT SELECT ("userId", "createdAt") ON session TO `+b.role) // the token is nobody's business
	b.exec(t, `INSERT INTO "user" VALUES ('u1', 'Emmy Noether', 'emmy@example.com', true, NULL, '2026-01-02 03:04:05.678+01', '2026-02-02Z', 's3cret')`)
	b.exec(t, `INSERT INTO session VALUES ('s1', 'u1', 't', '2026-03-01Z'), ('s2', 'u1', 't', '2026-03-09Z'), ('s3', 'u2', 't', '2026-04-01Z')`)
	user, at := object(t, b.open(provider.UserTables{}), "u1")
	created := instant(t, user["createdAt"])
	require.Equal(t, "2026-01-02T02:04:05.678Z", created.UTC().Format(time.RFC3339Nano))
	delete(user, "createdAt")
	delete(user, "updatedAt")
	require.Equal(t, map[string]any{"id": "u1", "name": "Emmy Noether", "email": "emmy@example.com", "emailVerified": true, "image": nil}, user)
	require.Equal(t, "2026-03-09", at.UTC().Format(time.DateOnly))

	b.exec(t, `DROP TABLE session`)
	_, at = object(t, b.open(provider.UserTables{}), "u1")
	require.Nil(t, at, "no session table, no last_sign_in_at")
	_, err := b.open(provider.UserTables{SessionTable: "session"}).User(t.Context(), "u1")
	require.ErrorContains(t, err, `no table "public"."session"`)
}

func TestNamesAndTypesAreTheCustomers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `CREATE SCHEMA "My App"; CREATE TABLE "My App"."people; --" ("user ""id" integer PRIMARY KEY, full_name varchar(20), mail text, email text, created timestamp(3));
		CREATE TABLE "My App".logins (owner text, at timestamp(3))`)
	b.exec(t, `GRANT USAGE ON SCHEMA "My App" TO `+b.role)
	b.exec(t, `GRANT SELECT ON ALL TABLES IN SCHEMA "My App" TO `+b.role)
	b.exec(t, `INSERT INTO "My App"."people; --" SELECT n, 'Emmy', n || '@example.com', 'old', '2026-01-02 03:04:05' FROM generate_series(1, 1200) AS n`)
	b.exec(t, `INSERT INTO "My App".logins VALUES ('1000', '2026-03-09 10:00')`)
	source := b.open(provider.UserTables{
		Schema: "My App", UserTable: "people; --", SessionTable: "logins",
		Columns:        map[string]string{"id": `user "id`, "name": "full_name", "email": "mail", "createdAt": "created"},
		SessionColumns: map[string]string{"userId": "owner", "createdAt": "at"},
	})
	user, at := object(t, source, "1000")
	require.Equal(t, map[string]any{"id": "1000", "name": "Emmy", "email": "1000@example.com", "createdAt": user["createdAt"]}, user)
	created := instant(t, user["createdAt"])
	require.Equal(t, "2026-01-02T03:04:05Z", created.UTC().Format(time.RFC3339))
	require.Equal(t, "2026-03-09T10:00:00Z", at.UTC().Format(time.RFC3339))

	cursor, got := "", []string{}
	for page := 0; page == 0 || cursor != ""; page++ { // by number: 2, 10, 100
		p, err := source.Page(t.Context(), cursor)
		require.NoError(t, err)
		for _, u := range p.Users {
			var o struct {
				ID string `json:"id"`
			}
			require.NoError(t, json.Unmarshal(u.Object, &o))
			got = append(got, o.ID)
		}
		cursor = p.Next
	}
	require.Len(t, got, 1200)
	require.Equal(t, []string{"1", "2", "1200"}, []string{got[0], got[1], got[1199]})

	_, err := source.User(t.Context(), "99999999999999")
	require.ErrorIs(t, err, userapi.ErrGone)
	_, err = source.Page(t.Context(), `{"mode":"sql","id":"x"}`)
	require.ErrorContains(t, err, "begin the walk anew")
}

// scanned is how many rows sequential scans of the user table have read, once
// the reader's statistics have arrived.
func (b *testBundle) scanned(t *testing.T) (rows int64) {
	t.Helper()
	b.reader.Reset() // a session that ends reports what it did
	waittest.Until(t, func() bool {
		var sessions int
		err := b.owner.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE usename = $1`, b.role).Scan(&sessions)
		return err == nil && sessions == 0
	})
	require.NoError(t, b.owner.QueryRow(t.Context(), `SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'user'`).Scan(&rows))
	return rows
}

func TestWalkUsesThePrimaryKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `CREATE TABLE "user" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text)`)
	b.exec(t, `INSERT INTO "user" (name) SELECT 'Emmy' FROM generate_series(1, 20000)`)
	b.exec(t, `GRANT SELECT ON "user" TO `+b.role)
	b.exec(t, `ANALYZE "user"`)
	source := b.open(provider.UserTables{})
	first, err := source.Page(t.Context(), "")
	require.NoError(t, err)
	before := b.scanned(t)
	_, err = source.Page(t.Context(), first.Next)
	require.NoError(t, err)
	require.Equal(t, before, b.scanned(t), "sequential scans of the table")
}

// A view may stand in for the table, and need not behave as one.
func TestViewsThatDoNotGetOn(t *testing.T) {
	t.Parallel()
	t.Run("TheSameRowsForEver", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, betterAuthTables)
		b.exec(t, `INSERT INTO "user" (id, name) SELECT i, 'Emmy' FROM generate_series(1, 600) AS i`)
		// An operator of the customer's own, before that of PostgreSQL.
		b.exec(t, `CREATE FUNCTION always(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
			CREATE OPERATOR > (LEFTARG = text, RIGHTARG = text, FUNCTION = always);
			GRANT SELECT ON "user" TO `+b.role+`; ALTER ROLE `+b.role+` SET search_path = public, pg_catalog`)
		b.reader.Reset()
		source := b.open(provider.UserTables{})
		first, err := source.Page(t.Context(), "")
		require.NoError(t, err)
		_, err = source.Page(t.Context(), first.Next)
		require.True(t, fault.Is(err, fault.ProviderError), err)
		require.ErrorContains(t, err, "500 records were read so far")
	})
	t.Run("RowsWithoutAnID", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `CREATE VIEW "user" AS SELECT CASE WHEN i % 2 = 0 THEN i END AS id, 'Emmy'::text AS name FROM generate_series(1, 1600) AS i`)
		b.exec(t, `GRANT SELECT ON "user" TO `+b.role)
		source := b.open(provider.UserTables{})
		n, _, err := source.Count(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 800, n)
		first, err := source.Page(t.Context(), "")
		require.NoError(t, err)
		require.Len(t, first.Users, 500)
		second, err := source.Page(t.Context(), first.Next)
		require.NoError(t, err)
		require.Len(t, second.Users, 300)
		require.Empty(t, second.Next)
	})
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	b := setup(t)

	_, err := b.open(provider.UserTables{}).Page(t.Context(), "")
	require.True(t, fault.Is(err, fault.ProviderError), err)
	require.ErrorContains(t, err, `the database has no table "public"."user": name the tables of your Better Auth server in options.source`)

	b.exec(t, betterAuthTables)
	_, err = b.open(provider.UserTables{}).Page(t.Context(), "")
	require.True(t, fault.Is(err, fault.CredentialsRefused), err)
	require.ErrorContains(t, err, `may not read "public"."user". As its owner, run: GRANT USAGE ON SCHEMA "public" TO "`+b.role+`"; GRANT SELECT ON "public"."user" TO "`+b.role+`"`)

	b.exec(t, `GRANT SELECT (name) ON "user" TO `+b.role)
	_, err = b.open(provider.UserTables{}).Page(t.Context(), "")
	require.ErrorContains(t, err, `no column "id" that may be read`)

	b.exec(t, `GRANT SELECT ON "user" TO `+b.role)
	_, err = b.open(provider.UserTables{Columns: map[string]string{"email": "mail"}}).Page(t.Context(), "")
	require.ErrorContains(t, err, `no column "mail" that may be read, for email`)

	b.exec(t, `INSERT INTO "user" (id, name) VALUES ('u1', 'Emmy')`)
	b.exec(t, `ALTER TABLE "user" ENABLE ROW LEVEL SECURITY`)
	_, err = b.open(provider.UserTables{}).User(t.Context(), "u1")
	require.True(t, fault.Is(err, fault.CredentialsRefused), "a hidden user is not a deleted one: %v", err)
	require.ErrorContains(t, err, "row level security hides rows")
}

func TestChangedTablesAreLookedAtAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, betterAuthTables)
	b.exec(t, `GRANT SELECT ON "user" TO `+b.role)
	source := b.open(provider.UserTables{})
	_, err := source.Page(t.Context(), "")
	require.NoError(t, err)
	b.exec(t, `ALTER TABLE "user" DROP COLUMN image`)
	_, err = source.Page(t.Context(), "")
	require.True(t, fault.Is(err, fault.ProviderUnavailable), err)
	_, err = source.Page(t.Context(), "")
	require.NoError(t, err)
}

func TestUnreachableDatabaseIsTemporary(t *testing.T) {
	t.Parallel()
	pool, err := pgdb.Open(t.Context(), "postgres://u:"+password+"@127.0.0.1:1/x", pgdb.Options{})
	require.NoError(t, err)
	source := sqlsource.New(sqlsource.Config{Pool: pool, Owned: true})
	_, err = source.Page(t.Context(), "")
	require.True(t, fault.Is(err, fault.ProviderUnavailable), err)
	require.NotContains(t, err.Error(), password)
	closer, ok := source.(io.Closer)
	require.True(t, ok)
	require.NoError(t, closer.Close())
	require.ErrorContains(t, pool.Ping(t.Context()), "closed pool")
}

func TestWrongPasswordIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `ALTER ROLE `+b.role+` PASSWORD 'another'`)
	_, _, err := b.open(provider.UserTables{}).Count(t.Context())
	require.True(t, fault.Is(err, fault.CredentialsRefused), err)
	require.ErrorContains(t, err, "credentials.database_url")
	require.NotContains(t, err.Error(), password)
}

// A session table that cannot be looked at because the login fails is not one that does not exist.
func TestWrongPasswordIsNoMissingSessionTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, betterAuthTables)
	b.exec(t, `GRANT SELECT ON "user", session TO `+b.role)
	config := b.reader.Config()
	var connects atomic.Int32
	config.AfterRelease = func(*pgx.Conn) bool { return false } // each statement has a connection of its own
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		if connects.Add(1) == 3 { // two statements look at the user table
			c.Password = "another"
		}
		return nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, _, err = sqlsource.New(sqlsource.Config{Pool: pool}).Count(t.Context())
	require.True(t, fault.Is(err, fault.CredentialsRefused), "%v", err)
	require.ErrorContains(t, err, "credentials.database_url")
}

// A row of a view may hold what an expression of the view cannot take. That says nothing of the id.
func TestRowThatCannotBeReadIsNoMissingUser(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `CREATE TABLE users (id uuid PRIMARY KEY, name text, metadata text);
		CREATE VIEW "user" AS SELECT id, name, metadata::jsonb AS metadata FROM users;
		INSERT INTO users VALUES ('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'Emmy', 'no json')`)
	b.exec(t, `GRANT SELECT ON "user" TO `+b.role)
	source := b.open(provider.UserTables{})
	const refused = "the database refuses the query (SQLSTATE 22P02)"

	_, err := source.User(t.Context(), "6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	require.NotErrorIs(t, err, userapi.ErrGone)
	require.ErrorContains(t, err, refused)
	_, err = source.User(t.Context(), "no uuid")
	require.ErrorIs(t, err, userapi.ErrGone)

	_, err = source.Page(t.Context(), "")
	require.ErrorContains(t, err, refused)
	_, err = source.Page(t.Context(), `{"mode":"sql","id":"00000000-0000-0000-0000-000000000000"}`)
	require.ErrorContains(t, err, refused)
	_, err = source.Page(t.Context(), `{"mode":"sql","id":"no uuid"}`)
	require.ErrorContains(t, err, "the walk's place cannot be read")
}
