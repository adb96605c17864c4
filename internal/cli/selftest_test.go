package cli

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

// requireUnseen looks for what a self-test may have let others see.
func requireUnseen(t *testing.T, b *testBundle) {
	t.Helper()
	for query, pool := range map[string]*pgxpool.Pool{
		`SELECT count(*) FROM capydb_auth.users WHERE id LIKE '%selftest%'`:                   b.project,
		`SELECT count(*) FROM capydb_auth.user_changes`:                                       b.project,
		`SELECT count(*) FROM capydb_auth.processed_events WHERE record_id LIKE '%selftest%'`: b.project,
		`SELECT count(*) FROM authsync.deliveries`:                                            b.control,
		`SELECT count(*) FROM authsync.event_outcomes WHERE outcome <> 'ignored'`:             b.control,
	} {
		found, err := collectColumn[int](t.Context(), pool, query)
		require.NoError(t, err)
		require.Zero(t, found[0], query)
	}
}

func TestSelfTestIsSeenByNobody(t *testing.T) {
	t.Parallel()

	t.Run("NoDestinationNoReaderOfTheFeedAndNoListener", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		var requests atomic.Int64
		app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
		defer app.Close()
		b.must(t, "destinations", "create", "shop", "app", "--type", "webhook", "--url", app.URL)
		listener, err := b.project.Acquire(t.Context())
		require.NoError(t, err)
		defer listener.Release()
		_, err = listener.Exec(t.Context(), `LISTEN capydb_auth_changes`)
		require.NoError(t, err)

		for _, name := range []string{"auth0", "clerk", "better_auth"} {
			require.Contains(t, b.must(t, "self-test", "shop", name), "6 of 6 checks passed.")
		}
		requireUnseen(t, b)

		// What comes after it is the first that anybody hears of.
		b.must(t, "send", "shop", "auth0", "user.created", "--user", "auth0|real", "--wait")
		_, err = listener.Conn().WaitForNotification(t.Context())
		require.NoError(t, err)
		waittest.Until(t, func() bool { return requests.Load() == 1 })
		users, err := collectColumn[string](t.Context(), b.project, `SELECT user_id FROM capydb_auth.user_changes`)
		require.NoError(t, err)
		require.Equal(t, []string{"auth0|real"}, users)
		users, err = collectColumn[string](t.Context(), b.control, `SELECT DISTINCT user_id FROM authsync.deliveries`)
		require.NoError(t, err)
		require.Equal(t, []string{"auth0|real"}, users)
		require.Contains(t, b.must(t, "explain", "shop", "auth0|real"), "applied", "others' events stay")
	})

	t.Run("NoTableThatATriggerFills", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := b.project.Exec(t.Context(), `
			CREATE TABLE public.crm_queue (user_id text);
			CREATE FUNCTION public.enqueue() RETURNS trigger LANGUAGE plpgsql AS
				$fn$ BEGIN INSERT INTO public.crm_queue VALUES (NEW.id); RETURN NEW; END $fn$;
			CREATE TRIGGER enqueue AFTER INSERT OR UPDATE ON capydb_auth.users
				FOR EACH ROW EXECUTE FUNCTION public.enqueue()`)
		require.NoError(t, err)
		require.Contains(t, b.must(t, "self-test", "shop", "clerk"), "6 of 6 checks passed.")
		requireUnseen(t, b)
		queued, err := collectColumn[int](t.Context(), b.project, `SELECT count(*) FROM public.crm_queue`)
		require.NoError(t, err)
		require.Zero(t, queued[0])
	})

	t.Run("WhenACheckFails", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := b.project.Exec(t.Context(), `
			CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS
				$fn$ BEGIN NEW.first_name := 'somebody else'; RETURN NEW; END $fn$;
			CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON capydb_auth.users
				FOR EACH ROW EXECUTE FUNCTION public.meddle()`)
		require.NoError(t, err)
		r := b.run(t, "self-test", "shop", "clerk")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.out, "not ok  created: the row is there: expected applied, email ada@example.com, first_name Ada, deleted no, got ")
		require.Contains(t, r.out, "first_name somebody else")
		require.Contains(t, r.out, "0 of 6 checks passed.")
		requireUnseen(t, b)
	})

	t.Run("WhenTheEventFails", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := b.project.Exec(t.Context(), `ALTER TABLE capydb_auth.users ADD CONSTRAINT no_ada CHECK (first_name <> 'Ada')`)
		require.NoError(t, err)
		r := b.run(t, "self-test", "shop", "clerk")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.out, "got failed (the database reports: ")
		require.Contains(t, r.out, "no_ada")
		require.Contains(t, r.out, "ok      updated: the row has the new values", "an event that fails takes nothing else along")
		requireUnseen(t, b)
		retries, err := collectColumn[int](t.Context(), b.control, `SELECT count(*) FROM authsync.river_job WHERE kind = 'retry_event'`)
		require.NoError(t, err)
		require.Zero(t, retries[0], "nothing is tried again")
	})

	t.Run("WhenOnlyACommitWouldFail", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := b.project.Exec(t.Context(), `
			CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
				$fn$ BEGIN RAISE EXCEPTION 'no more users'; END $fn$;
			CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON capydb_auth.users DEFERRABLE INITIALLY DEFERRED
				FOR EACH ROW EXECUTE FUNCTION public.refuse()`)
		require.NoError(t, err)
		r := b.run(t, "self-test", "shop", "auth0")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.out, "no more users")
		requireUnseen(t, b)
	})

	t.Run("OnCtrlC", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ctx, interrupt := context.WithCancel(t.Context())
		var errs bytes.Buffer
		status := Main(ctx, Process{
			Args: []string{"self-test", "shop", "clerk"}, Out: writerFunc(func(p []byte) {
				if strings.HasPrefix(string(p), "ok") {
					interrupt()
				}
			}), Err: &errs, Lookup: func(name string) string { return b.env[name] }, Now: time.Now,
		})
		require.Equal(t, 1, status)
		require.Error(t, ctx.Err(), "a check passed before")
		requireUnseen(t, b)
	})
}

func TestSelfTestIsRefusedWhereARollbackDoesNotUndoAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, body := range map[string]string{
		"dblink":  `PERFORM public.dblink_exec('dbname=crm', 'INSERT INTO contacts DEFAULT VALUES')`,
		"http":    `PERFORM public.http_post('https://crm.example.com/', '{}', 'application/json')`,
		"program": `COPY (SELECT NEW.id) TO PROGRAM 'mail crm@example.com'`,
	} {
		_, err := b.project.Exec(t.Context(), `
			CREATE OR REPLACE FUNCTION public.tell_crm() RETURNS trigger LANGUAGE plpgsql AS
				$fn$ BEGIN `+body+`; RETURN NEW; END $fn$;
			CREATE OR REPLACE TRIGGER tell_crm AFTER INSERT ON capydb_auth.users
				FOR EACH ROW EXECUTE FUNCTION public.tell_crm()`)
		require.NoError(t, err, name)
		r := b.run(t, "self-test", "shop", "clerk")
		require.Equal(t, 1, r.status, name)
		require.Contains(t, r.err, "trigger tell_crm of table capydb_auth.users", name)
		require.Contains(t, r.err, "DISABLE TRIGGER", name)
		sent, err := collectColumn[int](t.Context(), b.control, `SELECT count(*) FROM authsync.inbox`)
		require.NoError(t, err)
		require.Zero(t, sent[0], "nothing was sent")
	}
	_, err := b.project.Exec(t.Context(), `ALTER TABLE capydb_auth.users DISABLE TRIGGER tell_crm`)
	require.NoError(t, err)
	require.Contains(t, b.must(t, "self-test", "shop", "clerk"), "6 of 6 checks passed.")
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestFollowingEventsGoesOnUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, interrupt := context.WithCancel(t.Context())
	lines := make(chan string, 100)
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, Process{
			Args: []string{"events", "list", "shop", "--follow", "--limit", "0", "--type", "user.created"},
			Out:  writerFunc(func(p []byte) { lines <- string(p) }), Err: &bytes.Buffer{},
			Lookup: func(name string) string { return b.env[name] }, Now: time.Now,
		})
	}()
	require.Contains(t, <-lines, "RECEIVED")
	for _, user := range []string{"u1", "u2"} {
		b.must(t, "send", "shop", "clerk", "user.created", "--user", user)
		b.must(t, "send", "shop", "clerk", "user.updated", "--user", user)
		require.Contains(t, <-lines, " "+user+" ")
	}
	interrupt()
	require.Zero(t, <-ended)
	require.Empty(t, lines, "each event is shown once, and no other type")
}
