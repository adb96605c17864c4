package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// What a customer's database can do to us: settings, triggers, locks.

// users makes an event for each of n users, u0, u1, ...
func users(n int) []mirror.Event {
	events := make([]mirror.Event, n)
	for i := range events {
		events[i] = update(fmt.Sprintf("e%d", i), i, "email", fmt.Sprintf("%d@example.com", i))
		events[i].UserID = fmt.Sprintf("u%d", i)
	}
	return events
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// requireOnlyFails requires that one event failed with a code and the others were applied.
func requireOnlyFails(t *testing.T, results []mirror.Result, index int, code string) {
	t.Helper()
	for i, r := range results {
		if i != index {
			require.NoError(t, r.Err, "event %d", i)
			require.Equal(t, "applied", r.Outcome, "event %d", i)
			continue
		}
		var pg *pgconn.PgError
		require.ErrorAs(t, r.Err, &pg)
		require.Equal(t, code, pg.Code)
	}
}

func TestSettingsOfTheDatabaseChangeNothing(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	for setting, value := range pgtest.OddSettings() {
		exec(t, pool, fmt.Sprintf("ALTER DATABASE %s SET %s = '%s'", pgx.Identifier{pool.Config().ConnConfig.Database}.Sanitize(), setting, value))
	}
	exec(t, pool, `
		CREATE TABLE public.seen (sync text);
		CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
		CREATE TRIGGER look AFTER INSERT ON capydb_auth.users FOR EACH ROW EXECUTE FUNCTION public.look();
		ALTER TABLE capydb_auth.users ENABLE ALWAYS TRIGGER look`)

	e := update("e1", 1, "email", "zoë@example.com", "created_at", "2026-02-03T04:05:06Z")
	results, err := newMirrors(t, pool).Apply(t.Context(), projectID(), []mirror.Event{e})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	require.Equal(t, "zoë@example.com", one(t, pool, selectEmail))
	require.Equal(t, "2026-02-03 04:05", one(t, pool,
		`SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') FROM capydb_auth.users`))
	require.Equal(t, "on", one(t, pool, `SELECT sync FROM public.seen`))
}

// An ordinary error may carry the code of a lost connection: from a trigger that
// talks to another server, and then about one user only.
func TestErrorOfATriggerFailsItsEventOnly(t *testing.T) {
	t.Parallel()
	// Some of them are also those of a mirror that is gone, or that lost a function.
	for _, code := range []string{"08001", "28000", "57P01", "3D000", "P0001", "42P01", "42883", "42703", "3F000", "42501"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Project(t)
			exec(t, pool, fmt.Sprintf(`
				CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
					$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '%s'; END $$;
				CREATE TRIGGER refuse AFTER INSERT ON capydb_auth.users FOR EACH ROW
					WHEN (new.id = 'u3') EXECUTE FUNCTION public.refuse()`, code))
			results, err := newMirrors(t, pool).Apply(t.Context(), projectID(), users(8))
			require.NoError(t, err)
			requireOnlyFails(t, results, 3, code)
		})
	}
}

func TestRowThatATriggerSuppressesIsNoSuccess(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	exec(t, pool, `
		CREATE FUNCTION public.suppress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
		CREATE TRIGGER suppress BEFORE INSERT ON capydb_auth.users FOR EACH ROW
			WHEN (new.id = 'u3') EXECUTE FUNCTION public.suppress()`)
	results, err := newMirrors(t, pool).Apply(t.Context(), projectID(), users(8))
	require.NoError(t, err)
	requireOnlyFails(t, results, 3, mirror.CodeSuppressed)
	require.Equal(t, "0", one(t, pool, `SELECT count(*)::text FROM capydb_auth.processed_events WHERE record_id = 'u3'`))
}

func TestRowThatSomebodyHoldsPutsOffItsEventsAlone(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	m := newMirrors(t, pool)
	events := users(64)
	_, err := m.Apply(t.Context(), projectID(), events)
	require.NoError(t, err)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
	_, err = tx.Exec(t.Context(), `SELECT FROM capydb_auth.users WHERE id = 'u3' FOR UPDATE`)
	require.NoError(t, err)

	for i := range events {
		events[i].ID += "-again"
		events[i].At = events[i].At.Add(time.Hour)
	}
	// Of the one whose row is held: the second waits behind the first.
	again := events[3]
	again.ID += "-more"
	events = append(events, again)
	results, err := m.Apply(t.Context(), projectID(), events)
	require.NoError(t, err)
	for i, r := range results {
		require.NoError(t, r.Err)
		if i == 3 || i == len(events)-1 {
			require.Equal(t, mirror.OutcomeDeferred, r.Outcome)
			require.Equal(t, "the record is locked by another transaction in the project's database", r.Reason)
		} else {
			require.Equal(t, mirror.Applied, r.Outcome, "event %d", i)
		}
	}
	require.ErrorContains(t, mirror.Deferred(results), "locked by another transaction")
}

// With every event failing slowly, halving must end before the job's time does.
func TestTakingApartEndsInTime(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	exec(t, pool, `
		CREATE SEQUENCE public.tries;
		CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN PERFORM nextval('public.tries'); RAISE EXCEPTION 'no'; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON capydb_auth.users FOR EACH ROW EXECUTE FUNCTION public.refuse()`)
	// Each look at the clock takes a while: no machine is slow enough or fast enough to matter.
	var looks atomic.Int64
	start := time.Now()
	url := pgtest.URL(t, pool)
	m := mirror.New(mirror.Config{
		Databases: databasesOf(t, tenantdb.Config{URL: func(context.Context, uuid.UUID) (string, error) { return url, nil }}),
		Now:       func() time.Time { return start.Add(time.Duration(looks.Add(1)) * 100 * time.Millisecond) },
	})
	results, err := m.Apply(t.Context(), projectID(), users(200))
	require.NoError(t, err)
	var tries int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT last_value FROM public.tries`).Scan(&tries))
	require.Less(t, tries, 100, "the rest is not tried one by one")
	failed := 0
	for i, r := range results {
		if _, isServers := errors.AsType[*pgconn.PgError](r.Err); isServers {
			failed++
			continue
		}
		require.Equal(t, mirror.OutcomeDeferred, r.Outcome, "event %d was not tried alone: it is not known to fail", i)
	}
	require.NotZero(t, failed)
}

func TestADatabaseThatMovedIsOpenedAgain(t *testing.T) {
	t.Parallel()
	first, second := pgtest.Project(t), pgtest.Project(t)
	urls := make(chan string, 2)
	urls <- pgtest.URL(t, first)
	urls <- pgtest.URL(t, second)
	databases := databasesOf(t, tenantdb.Config{URL: func(context.Context, uuid.UUID) (string, error) { return <-urls, nil }})
	m := mirror.New(mirror.Config{Databases: databases})
	for i, pool := range []*pgxpool.Pool{first, second} {
		_, err := m.Apply(t.Context(), projectID(), []mirror.Event{update(fmt.Sprintf("e%d", i), 1, "email", "a@example.com")})
		require.NoError(t, err, "database %d", i)
		require.Equal(t, "a@example.com", one(t, pool, selectEmail))
	}
	urls <- pgtest.URL(t, first)
	_, err := m.Apply(t.Context(), projectID(), []mirror.Event{update("2", 1)})
	require.NoError(t, err, "it is opened again")
	require.NoError(t, databases.Close(t.Context()))
	urls <- pgtest.URL(t, first)
	_, err = m.Apply(t.Context(), projectID(), []mirror.Event{update("3", 1)})
	require.ErrorIs(t, err, tenantdb.ErrClosed)
}

func TestAnUnavailableDatabaseIsTriedAgain(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	databases := databasesOf(t, tenantdb.Config{
		URL: func(context.Context, uuid.UUID) (string, error) { return "postgres://nobody@127.0.0.1:1/nowhere", nil },
		Now: func() time.Time { return now },
	})
	m := mirror.New(mirror.Config{Databases: databases})
	_, err := m.Apply(t.Context(), projectID(), []mirror.Event{update("e1", 1)})
	require.Error(t, err)
	_, err = databases.Acquire(t.Context(), projectID())
	require.ErrorContains(t, err, "connect", "the breaker is open")

	now = now.Add(time.Minute)
	_, err = databases.Acquire(t.Context(), projectID())
	require.ErrorContains(t, err, "connect", "it was tried, and is still unavailable")
}

// A publication of all tables refuses changes of rows that have no key to know them by.
func TestAPublicationOfAllTablesChangesNothing(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	exec(t, pool, `CREATE PUBLICATION everything FOR ALL TABLES`)
	m := newMirrors(t, pool)
	for n := range 2 { // rows that are new, and rows that are changed
		e := update(fmt.Sprintf("e%d", n), n, "email", fmt.Sprintf("%d@example.com", n))
		results, err := m.Apply(t.Context(), projectID(), []mirror.Event{e})
		require.NoError(t, err)
		require.NoError(t, results[0].Err)
		require.Equal(t, "applied", results[0].Outcome)
	}
	_, err := m.Grant(t.Context(), projectID(), mirror.Reader{Role: "pg_monitor", EnsureUser: true})
	require.NoError(t, err)
}

// Whoever owns the database may put anything in place of the function. It is not believed, nor kept at any length.
func TestFunctionThatAnswersOddlyIsNotBelieved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ answer, says string }{
		"AnOutcomeOfItsOwn": {`SELECT 0, 'fine', '' UNION ALL SELECT 1, 'applied', ''`, `event 0 is "fine"`},
		"AHugeOutcome":      {`SELECT 0, repeat('x', 1000000), '' UNION ALL SELECT 1, 'applied', ''`, `event 0 is "xxxxxxxxxxxxxxxxxxxx"`},
		"OneEventTwice":     {`SELECT 0, 'applied', '' UNION ALL SELECT 0, 'stale', ''`, `event 0 is "stale"`},
		"NoSuchEvent":       {`SELECT 0, 'applied', '' UNION ALL SELECT 7, 'applied', ''`, "for event 7 of 2"},
		"Null":              {`SELECT NULL::integer, 'applied', ''`, "cannot scan NULL"},
		"OneTooFew":         {`SELECT 0, 'applied', ''`, "for 1 of 2 events"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Project(t)
			m := newMirrors(t, pool)
			_, err := m.Apply(t.Context(), projectID(), users(2))
			require.NoError(t, err)
			exec(t, pool, answers(c.answer))
			_, err = m.Apply(t.Context(), projectID(), users(2))
			var delay *tenantdb.DelayError
			require.ErrorAs(t, err, &delay, "no event's fault")
			require.ErrorContains(t, err, c.says)
			require.Less(t, len(err.Error()), 1000)
			waittest.Until(t, func() bool { // it is put right by itself, after the wait that the error asks for
				_, err := m.Apply(t.Context(), projectID(), users(2))
				return err == nil
			})
		})
	}
	t.Run("AHugeReason", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		m := newMirrors(t, pool)
		_, err := m.Apply(t.Context(), projectID(), users(2))
		require.NoError(t, err)
		exec(t, pool, answers(`SELECT g, 'stale', repeat('x', 1000000) FROM generate_series(0, 1) AS g`))
		results, err := m.Apply(t.Context(), projectID(), users(2))
		require.NoError(t, err)
		require.Less(t, len(results[1].Reason), 1100)
	})
}

func answers(query string) string {
	return `CREATE OR REPLACE FUNCTION capydb_auth.apply_events(p_events capydb_auth.event[]) RETURNS TABLE (ordinal integer, outcome text, reason text)
		LANGUAGE sql AS $$ ` + query + ` $$`
}

// A trigger that says so of one event is believed of that one; a database that says so of all is waited for.
func TestLackOfSpaceForOneEventDelaysNoOther(t *testing.T) {
	t.Parallel()
	lacking := func(t *testing.T, when string) ([]mirror.Result, error) {
		t.Helper()
		pool := pgtest.Project(t)
		exec(t, pool, `
			CREATE FUNCTION public.no_space() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
			CREATE TRIGGER no_space BEFORE INSERT ON capydb_auth.users FOR EACH ROW WHEN (`+when+`) EXECUTE FUNCTION public.no_space()`)
		return newMirrors(t, pool).Apply(t.Context(), projectID(), users(32))
	}
	for name, c := range map[string]struct {
		when string
		of   []int
	}{
		"First":   {`new.id = 'u0'`, []int{0}},
		"Last":    {`new.id = 'u31'`, []int{31}},
		"Several": {`new.id IN ('u1', 'u7', 'u8', 'u30')`, []int{1, 7, 8, 30}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			results, err := lacking(t, c.when)
			require.NoError(t, err)
			for i, r := range results {
				require.NoError(t, r.Err)
				if slices.Contains(c.of, i) {
					require.Equal(t, mirror.OutcomeDeferred, r.Outcome, "event %d", i)
					require.Contains(t, r.Reason, "53100")
				} else {
					require.Equal(t, mirror.Applied, r.Outcome, "event %d", i)
				}
			}
		})
	}
	t.Run("All", func(t *testing.T) {
		t.Parallel()
		_, err := lacking(t, `true`)
		var delay *tenantdb.DelayError
		require.ErrorAs(t, err, &delay)
		require.ErrorContains(t, err, "could not extend file")
	})
}

// Who reads a user while somebody has locked the table is told so, and to come back.
func TestReadingALockedTableIsADelay(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	m := newMirrors(t, pool)
	_, err := m.Apply(t.Context(), projectID(), users(1))
	require.NoError(t, err)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE capydb_auth.users IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	_, err = m.History(t.Context(), projectID(), "u0", 0)
	var delay *tenantdb.DelayError
	require.ErrorAs(t, err, &delay)
	require.Contains(t, pgdb.Describe(delay.Err), "another transaction holds a lock on a table or row that is needed")
	require.NoError(t, tx.Rollback(t.Context()))
	_, err = m.History(t.Context(), projectID(), "u0", 0)
	require.NoError(t, err)
}

// A customer's transaction that updates the row of a user while an event about the user is applied delays the event
// at most: the row is found anew where it is then.
func TestARowThatIsUpdatedMeanwhileFailsNoEvent(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	m := newMirrors(t, pool)
	apply(t, pool, []mirror.Event{update("e0", 0, "email", "first@example.com")})
	waited := 0
	for n := 1; n <= 20; n++ {
		tx, err := pool.Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), `UPDATE capydb_auth.users SET placeholder_since = NULL WHERE id = 'u1'`)
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			results, err := m.Apply(context.Background(), projectID(), []mirror.Event{update(fmt.Sprint("e", n), n, "email", "next@example.com")})
			if err == nil {
				err = results[0].Err
			}
			done <- err
		}()
		waittest.Until(t, func() bool {
			isWaiting := one(t, pool, `SELECT (count(*) > 0)::text FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'
				AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`) == "true"
			if isWaiting {
				waited++
			}
			return isWaiting || len(done) > 0 // it waits for a tenth of a second, and then the event is deferred
		})
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, <-done)
	}
	t.Logf("%d of 20 met the lock", waited)
}
