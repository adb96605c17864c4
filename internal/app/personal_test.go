package app_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// lockedBuffer is a log that several goroutines write and a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// quoting is a customer's trigger that says in many ways whom it is about.
const quoting = `
	CREATE FUNCTION public.quote_user() RETURNS trigger LANGUAGE plpgsql AS $fn$
	BEGIN
	    CASE NEW.id
	    WHEN 'raise' THEN RAISE EXCEPTION 'no more of % please', NEW.email;
	    WHEN 'hint' THEN RAISE EXCEPTION 'no' USING HINT = 'delete ' || NEW.email, DETAIL = NEW.email;
	    WHEN 'rights' THEN RAISE EXCEPTION 'permission denied for %', NEW.email USING ERRCODE = 'insufficient_privilege';
	    WHEN 'cast' THEN PERFORM NEW.email::integer;
	    WHEN 'unique' THEN INSERT INTO public.addresses VALUES (NEW.email);
	    WHEN 'dynamic' THEN EXECUTE 'SELECT ' || NEW.email;
	    WHEN 'lines' THEN RAISE EXCEPTION E'first line\nsecond line of %', NEW.email;
	    WHEN 'full' THEN RAISE EXCEPTION 'no room for %', NEW.email USING ERRCODE = 'disk_full';
	    ELSE NULL;
	    END CASE;
	    RETURN NEW;
	END;
	$fn$;
	CREATE TABLE public.addresses (address text PRIMARY KEY);
	INSERT INTO public.addresses VALUES ('ada.7391@example.com');
	CREATE TRIGGER quote_user BEFORE INSERT OR UPDATE ON capydb_auth.users FOR EACH ROW EXECUTE FUNCTION public.quote_user()`

// What a project's database or a destination says of a user is in authsync.events and
// authsync.deliveries, and neither in the log nor in River's table, which River UI shows.
func TestPersonalDataIsNeitherInTheLogNorInJobs(t *testing.T) {
	t.Parallel()
	const person = "ada.7391"
	in := install(t)
	_, err := in.mirror.Exec(t.Context(), quoting)
	require.NoError(t, err)
	// A destination that quotes what it was sent.
	rude := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte(`{"message": "` + person + `@example.com is not welcome"}`))
	}))
	t.Cleanup(rude.Close)
	in.settings.AllowTargets = egress.Loopback()
	var log lockedBuffer
	c := in.settings
	c.Roles = config.Roles{Receiver: true, Worker: true, API: true}
	a, err := app.Start(t.Context(), app.Config{
		Settings: c, Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	stop := sync.OnceFunc(func() { require.NoError(t, a.Stop(t.Context())) })
	defer stop()
	api := client.New(a.URL(), in.key)
	defer api.Close()
	_, err = api.AddDestination(t.Context(), in.projectID, map[string]any{
		"name": "rude", "type": "webhook", "options": map[string]any{"url": rude.URL},
	})
	require.NoError(t, err)

	send := func(id string) {
		t.Helper()
		kind, err := registry.Lookup(provider.Clerk)
		require.NoError(t, err)
		header, body, err := kind.Sign(provider.Sample{
			Type: "user.created", UserID: id, Set: map[string]any{"email": person + "@example.com"},
		}, provider.Credentials{WebhookSigningSecret: provider.Secrets{signingSecret}}, provider.Options{}, time.Now())
		require.NoError(t, err)
		require.NoError(t, api.Deliver(t.Context(), provider.Clerk, in.projectID, header, body))
	}
	failing := []string{"raise", "hint", "rights", "cast", "unique", "dynamic", "lines"}
	for _, id := range failing {
		send(id)
	}
	send("full") // delays nobody but itself
	send("welcome")

	control, err := pgdb.Open(t.Context(), in.settings.DatabaseURL.Reveal(), pgdb.Options{MaxConns: 1})
	require.NoError(t, err)
	defer control.Close()
	count := func(query string) (n int) {
		require.NoError(t, control.QueryRow(t.Context(), query).Scan(&n))
		return n
	}
	waittest.Until(t, func() bool {
		return count(`SELECT count(*) FROM authsync.river_job WHERE kind = 'retry_event' AND cardinality(errors) > 0`) >= len(failing) &&
			count(`SELECT count(*) FROM authsync.river_job WHERE metadata -> 'output' ? 'wait_reason'`) > 0 &&
			count(`SELECT count(*) FROM authsync.deliveries WHERE attempts > 0`) > 0
	})
	stop() // so that all has been logged

	var jobs string
	require.NoError(t, control.QueryRow(t.Context(), `SELECT string_agg(to_jsonb(j)::text, E'\n') FROM authsync.river_job AS j`).Scan(&jobs))
	require.NotContains(t, jobs, person)
	require.Contains(t, jobs, "SQLSTATE P0001")
	require.Contains(t, jobs, "SQLSTATE 22P02")
	for line := range strings.Lines(log.String()) {
		require.NotContains(t, line, person)
	}
	require.Contains(t, log.String(), "SQLSTATE P0001")
	require.Positive(t, count(`SELECT count(*) FROM authsync.events WHERE reason LIKE '%ada.7391@example.com%'`), "the reason says all")
}
