package apply_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// hold runs statements in a transaction of the customer's, which stays open until it is released.
func (b *testBundle) hold(t *testing.T, statements ...string) (release func()) {
	t.Helper()
	tx, err := b.project.Begin(t.Context())
	require.NoError(t, err)
	for _, s := range statements {
		_, err := tx.Exec(t.Context(), s)
		require.NoError(t, err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) }) // a test that failed has not released it
	return func() { require.NoError(t, tx.Rollback(t.Context())) }
}

func (b *testBundle) run(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		_, err := b.project.Exec(t.Context(), s)
		require.NoError(t, err)
	}
}

// email is that of a user in the mirror; empty: there is none.
func (b *testBundle) email(t *testing.T, user string) string {
	t.Helper()
	rows, err := b.project.Query(t.Context(), `SELECT coalesce(email, '') FROM capydb_auth.users WHERE id = $1`, user)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return append(found, "")[0]
}

// updated is an event of a second of the 12th of May 2026.
func updated(event, user, email string, second int) string {
	return fmt.Sprintf(`{"id": %q, "type": "user.updated", "time": "2026-05-12T10:00:%02d.000Z", "data": {"object": {
		"user_id": %q, "email": %q, "created_at": "2026-05-12T09:00:00.000Z", "updated_at": "2026-05-12T10:00:%02d.000Z"}}}`,
		event, second, user, email, second)
}

const failures = `SELECT count(*) FROM authsync.event_outcomes WHERE outcome = 'failed'`

// What another transaction in the project's database holds delays the events that need it, and nothing else.
func TestALockHoldsUpOnlyTheEventsThatNeedIt(t *testing.T) {
	t.Parallel()
	// A trigger of the customer's that writes of one user into a table of theirs.
	notes := []string{
		`CREATE TABLE public.notes (id integer PRIMARY KEY, note text)`, `INSERT INTO public.notes VALUES (1, '')`,
		`CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN UPDATE public.notes SET note = NEW.id WHERE id = 1; RETURN NEW; END $$`,
		`CREATE TRIGGER note BEFORE INSERT OR UPDATE ON capydb_auth.users FOR EACH ROW WHEN (NEW.id = 'auth0|1') EXECUTE FUNCTION public.note()`,
	}
	// One that raises a code as PostgreSQL would, as long as a row says so.
	raises := func(code, kind string) []string {
		return []string{
			`CREATE TABLE public.trouble (id integer)`, `INSERT INTO public.trouble VALUES (1)`,
			`CREATE FUNCTION public.trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF NEW.id = 'auth0|1' AND EXISTS (SELECT FROM public.trouble) THEN RAISE EXCEPTION 'no' USING ERRCODE = '` + code + `'; END IF;
				RETURN NEW; END $$`,
			`CREATE ` + kind + ` FOR EACH ROW EXECUTE FUNCTION public.trouble()`,
		}
	}
	const before = `TRIGGER trouble BEFORE INSERT OR UPDATE ON capydb_auth.users`
	const atCommit = `CONSTRAINT TRIGGER trouble AFTER INSERT OR UPDATE ON capydb_auth.users DEFERRABLE INITIALLY DEFERRED`
	for name, c := range map[string]struct {
		isKnown bool     // the mirror has the user before
		made    []string // in the project's database, committed
		held    string
		ended   string // beside the transaction's end
	}{
		"TheUsersRow":            {isKnown: true, held: `SELECT FROM capydb_auth.users WHERE id = 'auth0|1' FOR UPDATE`},
		"AnUpdateOfTheUsersRow":  {isKnown: true, held: `UPDATE capydb_auth.users SET email = 'mine@example.com' WHERE id = 'auth0|1'`},
		"APlaceholderInTheMake":  {held: `SELECT capydb_auth.ensure_user('auth0|1')`},
		"ARowThatATriggerWrites": {made: notes, held: `UPDATE public.notes SET note = 'mine'`},
		"ADeadlockInATrigger":    {made: raises("40P01", before), held: `SELECT 1`, ended: `DELETE FROM public.trouble`},
		"ASerializationFailureAtTheCommit": {
			made: raises("40001", atCommit), held: `SELECT 1`, ended: `DELETE FROM public.trouble`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			if c.isKnown {
				b.eventually(t, b.deliver(t, b.projectID, created("evt_0", "auth0|1", "old@example.com")), 0, inbox.Applied)
			}
			b.run(t, c.made...)
			release := b.hold(t, c.held)
			first := b.deliver(t, b.projectID, "["+updated("evt_2", "auth0|2", "two@example.com", 1)+","+
				updated("evt_1", "auth0|1", "one@example.com", 1)+","+updated("evt_3", "auth0|3", "three@example.com", 1)+"]")
			b.eventually(t, first, 0, inbox.Applied)
			b.eventually(t, first, 2, inbox.Applied)
			next := b.deliver(t, b.projectID, updated("evt_4", "auth0|1", "newer@example.com", 2))
			b.eventually(t, b.deliver(t, b.projectID, updated("evt_5", "auth0|2", "again@example.com", 2)), 0, inbox.Applied)

			b.settled(t)
			waittest.Until(t, func() bool { // it has been tried again, and waits longer
				return value[bool](t, b, `SELECT bool_or((metadata #>> '{output,consecutive_failures}')::integer >= 2) IS TRUE
					FROM authsync.river_job WHERE kind = 'retry_event'`)
			})
			for id, ordinal := range map[int64]int{first: 1, next: 0} {
				outcome, reason := b.outcome(t, id, ordinal)
				require.Equal(t, inbox.Pending, outcome)
				require.Contains(t, reason, "another transaction in the project's database")
				require.Contains(t, reason, "trying again at 20")
			}
			require.Zero(t, value[int](t, b, failures))
			require.Zero(t, value[int](t, b, `SELECT count(*) FROM authsync.river_job WHERE errors IS NOT NULL OR attempt > 1`))
			page, _, err := b.inbox.Events(t.Context(), inbox.Filter{ProjectID: b.projectID, Outcome: inbox.Pending}, "", 20)
			require.NoError(t, err)
			require.Len(t, page, 2)

			release()
			if c.ended != "" {
				b.run(t, c.ended)
			}
			waittest.Until(t, func() bool {
				return value[int](t, b, `SELECT count(*) FROM authsync.event_outcomes WHERE outcome IN ('applied', 'stale')`) ==
					value[int](t, b, `SELECT count(*) FROM authsync.event_outcomes`)
			})
			require.Equal(t, "newer@example.com", b.email(t, "auth0|1"))
			require.Zero(t, value[int](t, b, failures))
		})
	}

	t.Run("AReferenceToTheUserHoldsUpNothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t, nil)
		b.eventually(t, b.deliver(t, b.projectID, created("evt_0", "auth0|1", "old@example.com")), 0, inbox.Applied)
		b.run(t, `CREATE TABLE public.orders (user_id text REFERENCES capydb_auth.users)`)
		release := b.hold(t, `INSERT INTO public.orders VALUES ('auth0|1')`)
		defer release()
		b.eventually(t, b.deliver(t, b.projectID, updated("evt_1", "auth0|1", "one@example.com", 1)), 0, inbox.Applied)
	})

	for mode, table := range map[string]string{"SHARE": "users", "ACCESS EXCLUSIVE": "processed_events"} {
		t.Run("AWholeTableHoldsUpTheProject/"+mode, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			b.eventually(t, b.deliver(t, b.projectID, created("evt_0", "auth0|9", "nine@example.com")), 0, inbox.Applied)
			release := b.hold(t, `LOCK TABLE capydb_auth.`+table+` IN `+mode+` MODE`)
			id := b.deliver(t, b.projectID, "["+updated("evt_1", "auth0|1", "one@example.com", 1)+","+updated("evt_2", "auth0|2", "two@example.com", 1)+"]")
			waittest.Until(t, func() bool {
				return value[bool](t, b, `SELECT bool_or(wait_reason LIKE '%locked a table%') IS TRUE FROM authsync.project_lag`) ||
					value[bool](t, b, `SELECT bool_or(metadata #>> '{output,wait_reason}' LIKE '%US001%') IS TRUE FROM authsync.river_job`)
			})
			require.Zero(t, value[int](t, b, failures))
			release()
			b.eventually(t, id, 0, inbox.Applied)
			b.eventually(t, id, 1, inbox.Applied)
		})
	}

	// That is the event's fault: it says what the customer's table does not allow.
	t.Run("AConstraintOfTheCustomersFailsTheEvent", func(t *testing.T) {
		t.Parallel()
		b := setup(t, nil)
		b.run(t, `CREATE TABLE public.known (email text PRIMARY KEY)`,
			`ALTER TABLE capydb_auth.users ADD CONSTRAINT known FOREIGN KEY (email) REFERENCES public.known`)
		id := b.deliver(t, b.projectID, created("evt_1", "auth0|1", "unknown@example.com"))
		require.Contains(t, b.eventually(t, id, 0, inbox.Failed), "known")
	})
}
