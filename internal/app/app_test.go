package app_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/localpg"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestMain(m *testing.M) {
	// pgtest's server ends with the process, and is waited for until then.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"))
}

const signingSecret = "whsec_YXBwLXRlc3Qtc2lnbmluZy1rZXk="

// installation is databases and settings that several servers can share.
type installation struct {
	settings  config.Config
	projectID string
	controlDB *pgxpool.Pool
	mirror    *pgxpool.Pool
	key       config.Secret
}

func install(t *testing.T) *installation {
	t.Helper()
	in := &installation{controlDB: pgtest.Control(t), mirror: pgtest.Project(t)}
	in.settings = settings(t, pgtest.URL(t, in.controlDB))
	control, err := app.OpenControl(t.Context(), in.settings.DatabaseURL, in.settings.EncryptionKey, 2, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, control.Close(context.WithoutCancel(t.Context()))) }()
	p, err := control.Store.CreateProject(t.Context(), "shop", pgtest.URL(t, in.mirror), false)
	require.NoError(t, err)
	in.projectID = p.ID.String()
	for _, name := range provider.Names() {
		given := map[string]json.RawMessage{"webhook_signing_secret": json.RawMessage(`"` + signingSecret + `"`)}
		_, err = control.Store.PutIntegration(t.Context(), p.ID, name, given, nil)
		require.NoError(t, err)
	}
	_, secret, err := control.Store.CreateKey(t.Context(), project.KeyInput{Name: "test", Test: true})
	require.NoError(t, err)
	in.key = config.Secret(secret)
	return in
}

func settings(t *testing.T, databaseURL string) config.Config {
	t.Helper()
	env := map[string]string{
		"DATABASE_URL": databaseURL, "AUTHSYNC_ENCRYPTION_KEY": seal.NewKey(), "AUTHSYNC_LISTEN": "127.0.0.1:0",
		"AUTHSYNC_ALLOW_DATABASE_TARGETS": "127.0.0.1", "AUTHSYNC_DATABASE_CONNECTIONS": pgtest.ServerConnections,
	}
	c, err := config.Load(func(name string) string { return env[name] })
	require.NoError(t, err)
	return c
}

// start starts a server with the roles; stop may be called at any time, once.
func (in *installation) start(t *testing.T, roles config.Roles) (*app.App, func()) {
	t.Helper()
	c := in.settings
	c.Roles = roles
	a, err := app.Start(t.Context(), app.Config{Settings: c, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			require.NoError(t, a.Stop(context.WithoutCancel(t.Context())))
		}
	}
	t.Cleanup(stop)
	return a, stop
}

func (in *installation) send(t *testing.T, url, providerName, user string) error {
	t.Helper()
	kind, err := registry.Lookup(providerName)
	require.NoError(t, err)
	credentials := provider.Credentials{WebhookSigningSecret: provider.Secrets{signingSecret}}
	header, body, err := kind.Sign(provider.Sample{Type: "user.created", UserID: user}, credentials, provider.Options{}, time.Now())
	require.NoError(t, err)
	c := client.New(url, "")
	defer c.Close()
	return c.Deliver(t.Context(), providerName, in.projectID, header, body)
}

func (in *installation) users(t *testing.T) int {
	t.Helper()
	var n int
	require.NoError(t, in.mirror.QueryRow(t.Context(), `SELECT count(*) FROM capydb_auth.users`).Scan(&n))
	return n
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	return getWith(t, url, "", "")
}

// metrics shows the installation's key.
func (in *installation) metrics(t *testing.T, url string) (int, string) {
	t.Helper()
	return getWith(t, url, in.key.Reveal(), "")
}

// openMetrics likewise, in the format that has exemplars.
func (in *installation) openMetrics(t *testing.T, url string) (int, string) {
	t.Helper()
	return getWith(t, url, in.key.Reveal(), "application/openmetrics-text")
}

func getWith(t *testing.T, url, key, accept string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	req.Close = true
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestEventsOfAllProvidersBecomeRows(t *testing.T) {
	t.Parallel()
	in := install(t)
	a, _ := in.start(t, config.Roles{Receiver: true, Worker: true, API: true})
	for _, name := range provider.Names() {
		require.NoError(t, in.send(t, a.URL(), name, "user-of-"+name))
	}
	waittest.Until(t, func() bool { return in.users(t) == 3 })

	status, text := get(t, a.URL()+"/")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, "This is authsync")
	status, _ = get(t, a.URL()+"/healthz")
	require.Equal(t, http.StatusOK, status)
	status, text = get(t, a.URL()+"/readyz")
	require.Equal(t, http.StatusOK, status)
	var ready client.Readiness
	require.NoError(t, json.Unmarshal([]byte(text), &ready))
	parts := []string{"control_database", "directory", "encryption_key", "inbox", "jobs", "schema"}
	require.Equal(t, parts, slices.Sorted(maps.Keys(ready.Parts)), text)
	require.NotNil(t, ready.LagSeconds)
	status, text = get(t, a.URL()+"/nothing/here")
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, text, "GET / lists what there is")

	status, text = in.metrics(t, a.URL()+"/metrics")
	require.Equal(t, http.StatusOK, status)
	for _, line := range []string{
		`authsync_http_requests_total{area="webhook",code="204",method="post"} 3`,
		`authsync_messages_total{provider="clerk",result="accepted"} 1`,
		`authsync_control_connections{pool="receiver",state="max"} 4`,
		`authsync_inbox_commit_messages_count`,
		`go_goroutines`,
	} {
		require.Contains(t, text, line)
	}
	require.NotContains(t, text, "shop", "projects have their ids only")
	require.NotContains(t, text, "user_")
}

func TestRiverUIAnswersBehindItsSignIn(t *testing.T) {
	t.Parallel()
	in := install(t)
	a, stop := in.start(t, config.Roles{API: true, Receiver: true})
	require.NoError(t, in.send(t, a.URL(), provider.Clerk, "user_1"))

	ask := func(path, key string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL()+path, http.NoBody)
		require.NoError(t, err)
		req.Close = true
		if key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		resp, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	status, text := ask("/river/api/jobs?state=available", in.key.Reveal())
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, `"kind":"apply_inbox"`)
	require.Contains(t, text, in.projectID)
	require.NotContains(t, text, "user_1", "jobs hold ids of ours only")
	status, text = ask("/river/", in.key.Reveal())
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, `src="/river/assets/`)

	status, _ = ask("/river/", "")
	require.Equal(t, http.StatusSeeOther, status)
	status, text = ask("/sign-in", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, "<form")
	status, _ = ask("/river/api/jobs", "")
	require.Equal(t, http.StatusUnauthorized, status)
	status, text = ask("/river/api/jobs", in.key.Reveal()+"0")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Contains(t, text, "unknown or was revoked")
	management := client.New(a.URL(), in.key)
	defer management.Close()
	limited, err := management.CreateKey(t.Context(), client.KeyOrder{Name: "limited", ProjectID: &in.projectID})
	require.NoError(t, err)
	status, text = ask("/river/api/jobs", limited.Key)
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, text, "limited to one project")

	expired, err := management.CreateKey(t.Context(), client.KeyOrder{Name: "expired"})
	require.NoError(t, err)
	_, err = in.controlDB.Exec(t.Context(), `UPDATE authsync.api_keys SET expires_at = '2026-01-31 12:00Z' WHERE id = $1`, expired.ID)
	require.NoError(t, err)
	for _, path := range []string{"/river/api/jobs", "/metrics"} {
		status, text = ask(path, expired.Key)
		require.Equal(t, http.StatusUnauthorized, status)
		require.Contains(t, text, "this key expired at 2026-01-31T12:00:00Z: ")
	}

	_, text = in.metrics(t, a.URL()+"/metrics")
	require.Contains(t, text, `authsync_http_requests_total{area="dashboard",code="303",method="get"} 1`)
	require.Contains(t, text, `authsync_control_connections{pool="river_ui",state="max"} 3`)
	stop()
	worker, _ := in.start(t, config.Roles{Worker: true})
	status, _ = get(t, worker.URL()+"/river/")
	require.Equal(t, http.StatusNotFound, status, "a worker has no pages")
}

func TestRolesShareTheWorkOfAnInstallation(t *testing.T) {
	t.Parallel()
	in := install(t)
	receiver, stopReceiver := in.start(t, config.Roles{Receiver: true})
	require.NoError(t, in.send(t, receiver.URL(), provider.Clerk, "user_1"))
	management := client.New(receiver.URL(), in.key)
	defer management.Close()
	_, err := management.Projects(t.Context())
	require.Equal(t, http.StatusNotFound, client.Status(err), "a receiver manages nothing")

	api, _ := in.start(t, config.Roles{API: true})
	require.Equal(t, http.StatusServiceUnavailable, client.Status(in.send(t, api.URL(), provider.Clerk, "user_2")),
		"a webhook in the wrong place must be sent again, not given up")
	asked := client.New(api.URL(), in.key)
	defer asked.Close()
	events, err := asked.Events(t.Context(), "shop", client.EventFilter{}, 0)
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, "pending", events[0].Outcome)

	// What was received before anybody worked outlives its receiver.
	stopReceiver()
	worker, _ := in.start(t, config.Roles{Worker: true})
	waittest.Until(t, func() bool { return in.users(t) == 1 })
	status, _ := get(t, worker.URL()+"/readyz")
	require.Equal(t, http.StatusOK, status, "a worker answers probes")
}

func TestReadinessFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	database, err := localpg.Start(t.Context(), localpg.Config{Throwaway: true, TCP: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, database.Stop(context.WithoutCancel(t.Context()))) })
	_, err = schema.Up(t.Context(), database.URL("postgres"), schema.Control, schema.Options{})
	require.NoError(t, err)
	in := &installation{settings: settings(t, database.URL("postgres"))}
	a, _ := in.start(t, config.Roles{Receiver: true, API: true})
	ready := func() int { status, _ := get(t, a.URL()+"/readyz"); return status }
	require.Equal(t, http.StatusOK, ready())

	database.Kill()
	status, text := get(t, a.URL()+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, text, `"control_database":"cannot be reached`)
	require.NotContains(t, text, "postgres://")
	status, _ = get(t, a.URL()+"/healthz")
	require.Equal(t, http.StatusOK, status, "the process lives")

	require.NoError(t, database.Restart(t.Context()))
	waittest.Until(t, func() bool { return ready() == http.StatusOK })

	// Somebody takes the schema back.
	_, err = schema.Down(t.Context(), database.URL("postgres"), schema.Control, 1, schema.Options{})
	require.NoError(t, err)
	status, text = get(t, a.URL()+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, text, "authsync migrate up")
}

func TestStartRefusesAWrongKeyByItsForm(t *testing.T) {
	t.Parallel()
	c := settings(t, "postgres://127.0.0.1:1/none")
	c.EncryptionKey = "too short"
	_, err := app.Start(t.Context(), app.Config{Settings: c, Log: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "AUTHSYNC_ENCRYPTION_KEY")
	require.NotContains(t, err.Error(), "too short")
}

// A database that answers and takes nothing: who balances load is told, and nobody gets a 2xx.
func TestReadyzSaysThatNothingIsStored(t *testing.T) {
	t.Parallel()
	in := install(t)
	a, _ := in.start(t, config.Roles{Receiver: true})
	_, err := in.controlDB.Exec(t.Context(), `
		CREATE FUNCTION authsync.no_room() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
		CREATE TRIGGER no_room BEFORE INSERT ON authsync.inbox EXECUTE FUNCTION authsync.no_room()`)
	require.NoError(t, err)
	waittest.Until(t, func() bool { // it counts for some seconds, which a busy machine may let pass
		require.Equal(t, http.StatusServiceUnavailable, client.Status(in.send(t, a.URL(), provider.Clerk, "user_1")))
		status, text := get(t, a.URL()+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, `"inbox":"takes no messages; the log of this process has the reason"`)
	})
	_, err = in.controlDB.Exec(t.Context(), `DROP TRIGGER no_room ON authsync.inbox`)
	require.NoError(t, err)
	require.NoError(t, in.send(t, a.URL(), provider.Clerk, "user_1"))
	status, text := get(t, a.URL()+"/readyz")
	require.Equal(t, http.StatusOK, status, text)
}
