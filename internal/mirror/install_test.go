package mirror_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// clocked is Mirrors of one project whose clock the test moves and whose log it reads.
type clocked struct {
	*mirror.Mirrors

	mu  sync.Mutex
	now time.Time
	log bytes.Buffer
}

func (c *clocked) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clocked) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clocked) Write(line []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(line)
}

func (c *clocked) logged() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

func newClocked(t *testing.T, pool *pgxpool.Pool) *clocked {
	t.Helper()
	url := pgtest.URL(t, pool)
	c := &clocked{now: time.Now()}
	c.Mirrors = mirrorsOf(t, tenantdb.Config{
		URL: func(context.Context, uuid.UUID) (string, error) { return url, nil },
		Now: c.Now,
	}, slog.New(slog.NewTextHandler(c, nil)))
	return c
}

// delays requires that a call applies nothing and blames no event, and gives its reason.
func (c *clocked) delays(t *testing.T, events []mirror.Event) error {
	t.Helper()
	_, err := c.Apply(t.Context(), projectID(), events)
	var delay *tenantdb.DelayError
	require.ErrorAs(t, err, &delay)
	return delay.Err
}

func (c *clocked) applies(t *testing.T, events []mirror.Event) {
	t.Helper()
	results, err := c.Apply(t.Context(), projectID(), events)
	require.NoError(t, err)
	for _, r := range results {
		require.NoError(t, r.Err)
		require.Equal(t, "applied", r.Outcome)
	}
}

// TestDamageThatHeals drops or changes what the mirror is made of while a worker is at work.
func TestDamageThatHeals(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"AFunctionDropped":       `DROP FUNCTION capydb_auth.apply_events(capydb_auth.event[])`,
		"AnInnerFunctionDropped": `DROP FUNCTION capydb_auth.apply_round(capydb_auth.event[])`,
		"AFunctionThatFails": `DROP FUNCTION capydb_auth.require_all_written(bigint, bigint);
			CREATE FUNCTION capydb_auth.require_all_written(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'edited by hand'; END $$`,
		"AFunctionThatAnswersNothing": `DROP FUNCTION capydb_auth.apply_events(capydb_auth.event[]);
			CREATE FUNCTION capydb_auth.apply_events(capydb_auth.event[], OUT ordinal int, OUT outcome text, OUT reason text)
			RETURNS SETOF record LANGUAGE sql AS 'SELECT 1, '''', '''' WHERE false'`,
		"AFunctionInAnotherSchema": `DROP FUNCTION IF EXISTS public.apply_events(capydb_auth.event[]); ALTER FUNCTION capydb_auth.apply_events(capydb_auth.event[]) SET SCHEMA public`,
		"TheVersionDropped":        `DROP TABLE capydb_auth.schema_migrations; DROP FUNCTION capydb_auth.apply_events(capydb_auth.event[])`,
		"TheRecordDropped":         `DROP TABLE capydb_auth.schema_objects; DROP FUNCTION capydb_auth.apply_events(capydb_auth.event[])`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Project(t)
			m := newClocked(t, pool)
			m.applies(t, []mirror.Event{update("e0", 1, "email", "first@example.com")})
			exec(t, pool, damage)
			_ = m.delays(t, users(40))
			require.Contains(t, m.logged(), "mirror_unusable")
			m.pass(time.Minute)
			m.applies(t, users(40))
			require.Equal(t, "40", one(t, pool, `SELECT count(*)::text FROM capydb_auth.users`))

			exec(t, pool, damage)
			another := newClocked(t, pool) // at its first use, a process finds it without a failing call
			another.applies(t, []mirror.Event{update("e9", 9, "email", "last@example.com")})
			require.Regexp(t, "schema_object_repaired|schema_record_rebuilt", another.logged())
			state, err := schema.Status(t.Context(), pgtest.URL(t, pool), schema.Project)
			require.NoError(t, err)
			require.Empty(t, state.Problems)
		})
	}

	t.Run("ForThoseWhoReadTheFeed", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		m := newClocked(t, pool)
		m.applies(t, []mirror.Event{update("e0", 1, "email", "first@example.com")})
		exec(t, pool, `DROP FUNCTION capydb_auth.read_changes(bigint, integer)`)
		var delay *tenantdb.DelayError
		_, err := m.ReadChanges(t.Context(), projectID(), 0, 10)
		require.ErrorAs(t, err, &delay)
		m.pass(time.Minute)
		changes, err := m.ReadChanges(t.Context(), projectID(), 0, 10)
		require.NoError(t, err)
		require.Len(t, changes, 1)
	})
}

// TestDamageThatNeedsAPerson drops what only a backup has.
func TestDamageThatNeedsAPerson(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ damage, repair, says string }{
		"TheLedger": {
			`ALTER TABLE capydb_auth.processed_events SET SCHEMA public`, `ALTER TABLE public.processed_events SET SCHEMA capydb_auth`,
			"table capydb_auth.processed_events is missing",
		},
		"TheUsers": {
			`ALTER TABLE capydb_auth.users RENAME TO users_old`, `ALTER TABLE capydb_auth.users_old RENAME TO users`, "table capydb_auth.users is missing",
		},
		"TheOwner": {
			`ALTER TABLE capydb_auth.owner RENAME TO owner_old`, `ALTER TABLE capydb_auth.owner_old RENAME TO owner`, "table capydb_auth.owner is missing",
		},
		"AColumn": {
			`ALTER TABLE capydb_auth.users RENAME COLUMN username TO login`, `ALTER TABLE capydb_auth.users RENAME COLUMN login TO username`,
			"column capydb_auth.users.username is missing",
		},
		"AType": {
			`ALTER TYPE capydb_auth.version ADD ATTRIBUTE more text`, `ALTER TYPE capydb_auth.version DROP ATTRIBUTE more`,
			"type capydb_auth.version was changed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Project(t)
			m := newClocked(t, pool)
			m.applies(t, []mirror.Event{update("e0", 1, "email", "first@example.com")})
			exec(t, pool, c.damage)
			m.pass(time.Minute) // it looks from time to time whether the mirror is still its own
			_, _ = m.Apply(t.Context(), projectID(), []mirror.Event{update("e1", 2, "email", "second@example.com")})
			another := newClocked(t, pool)
			require.ErrorIs(t, another.delays(t, users(40)), schema.ErrDamaged, "at its first use")
			if name == "AType" {
				return // functions that are compiled go on with it
			}
			for range 2 {
				m.pass(time.Minute)
				err := m.delays(t, users(40))
				require.ErrorIs(t, err, schema.ErrDamaged)
				require.ErrorContains(t, err, c.says)
			}
			exec(t, pool, c.repair)
			m.pass(time.Minute)
			m.applies(t, users(40))
		})
	}
}

func TestMirrorThatWasDropped(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*pgxpool.Pool, *clocked) {
		t.Helper()
		pool := pgtest.Project(t)
		m := newClocked(t, pool)
		m.applies(t, []mirror.Event{update("e0", 1, "email", "first@example.com")})
		return pool, m
	}

	t.Run("IsNotMadeAnewWithoutAWord", func(t *testing.T) {
		t.Parallel()
		pool, m := setup(t)
		exec(t, pool, `DROP SCHEMA capydb_auth CASCADE`)
		_ = m.delays(t, users(40)) // the call that finds it out
		m.pass(time.Minute)
		require.ErrorContains(t, m.delays(t, users(40)), "the project's database has no mirror (schema capydb_auth): restore it from a backup")
		require.Contains(t, m.logged(), "level=ERROR msg=mirror_missing")
		_, err := m.ReadChanges(t.Context(), projectID(), 0, 10)
		require.Error(t, err, "whoever reads does not make it either")
		require.Equal(t, "true", one(t, pool, `SELECT (to_regnamespace('capydb_auth') IS NULL)::text`))

		m.pass(2 * time.Minute)
		m.applies(t, users(40))
		require.Contains(t, m.logged(), "level=ERROR msg=mirror_reinstalled")
		require.Contains(t, m.logged(), "what the inbox has is applied again")
	})

	t.Run("IsLeftToWhoeverRestoresIt", func(t *testing.T) {
		t.Parallel()
		pool, m := setup(t)
		exec(t, pool, `ALTER SCHEMA capydb_auth RENAME TO elsewhere`)
		_ = m.delays(t, users(40))
		m.pass(time.Minute)
		_ = m.delays(t, users(40))
		exec(t, pool, `ALTER SCHEMA elsewhere RENAME TO capydb_auth`)
		m.pass(time.Minute)
		m.applies(t, users(40))
		require.Equal(t, "40", one(t, pool, `SELECT count(*)::text FROM capydb_auth.users`))
		require.NotContains(t, m.logged(), "mirror_reinstalled")
	})

	t.Run("IsNotInstalledAmidARestore", func(t *testing.T) {
		t.Parallel()
		pool, m := setup(t)
		exec(t, pool, `
			CREATE SCHEMA copy;
			CREATE TABLE copy.objects AS TABLE capydb_auth.schema_objects; CREATE TABLE copy.code AS TABLE capydb_auth.schema_code;
			CREATE TABLE copy.versions AS TABLE capydb_auth.schema_migrations; CREATE TABLE copy.owner AS TABLE capydb_auth.owner;
			TRUNCATE capydb_auth.schema_objects, capydb_auth.schema_code, capydb_auth.schema_migrations, capydb_auth.owner;
			DROP FUNCTION capydb_auth.apply_events(capydb_auth.event[])`) // tables are there, their rows are still to come
		for range 4 {
			_ = m.delays(t, users(40))
			m.pass(time.Minute)
		}
		require.ErrorIs(t, m.delays(t, users(40)), schema.ErrForeign, "its tables are taken for somebody else's")
		exec(t, pool, `
			INSERT INTO capydb_auth.schema_objects TABLE copy.objects; INSERT INTO capydb_auth.schema_code TABLE copy.code;
			INSERT INTO capydb_auth.schema_migrations TABLE copy.versions; INSERT INTO capydb_auth.owner TABLE copy.owner`)
		m.pass(time.Minute)
		m.applies(t, users(40))
	})

	t.Run("IsMadeAtOnceIfSomebodyAsks", func(t *testing.T) {
		t.Parallel()
		pool, m := setup(t)
		exec(t, pool, `DROP SCHEMA capydb_auth CASCADE`)
		_ = m.delays(t, users(40))
		require.NoError(t, m.Install(t.Context(), pgtest.URL(t, pool), projectID(), false))
		m.pass(time.Minute)
		m.applies(t, users(40))
	})
}

func TestOtherEncodingsAreRefused(t *testing.T) {
	t.Parallel()
	for encoding, text := range map[string]string{"LATIN1": "LATIN1", "WIN1252": "WIN1252", "EUC_JP": "EUC_JP", "SQL_ASCII": "SQL_ASCII"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Encoded(t, encoding)
			m := newMirrors(t, pool)
			err := m.Install(t.Context(), pgtest.URL(t, pool), projectID(), false)
			require.ErrorIs(t, err, schema.ErrEncoding)
			require.ErrorContains(t, err, "is encoded in "+text)
			require.ErrorContains(t, err, "ENCODING 'UTF8'")
			require.Equal(t, "true", one(t, pool, `SELECT (to_regnamespace('capydb_auth') IS NULL)::text`), "nothing was made")
			_, err = schema.Up(t.Context(), pgtest.URL(t, pool), schema.Control, schema.Options{})
			require.ErrorIs(t, err, schema.ErrEncoding)
		})
	}
}
