package provision_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/sync/provision"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestMain(m *testing.M) {
	// pgtest's server ends with the process, and is waited for until then.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"))
}

type installer struct{}

func (installer) Install(context.Context, string, uuid.UUID, bool) error { return nil }
func (installer) Release(context.Context, string, uuid.UUID) error       { return nil }

// publicBase is the server as providers see it.
const publicBase = "https://sync.example.com"

// testBundle is a project, an Auth0 tenant, and a receiver that the tenant's events reach.
type testBundle struct {
	pool      *pgxpool.Pool
	store     *project.Store
	projectID uuid.UUID
	server    *demoprovider.Auth0
	api       string // of the tenant

	mu   sync.Mutex
	log  bytes.Buffer
	down bool // the receiver answers 503
	now  time.Time
}

func (b *testBundle) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

func (b *testBundle) logged() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{pool: pgtest.Control(t), now: time.Now()}
	ring, err := seal.ParseKeys(seal.NewKey())
	require.NoError(t, err)
	b.store, err = project.NewStore(project.Config{
		Pool: b.pool, Keyring: ring, Mirror: installer{}, Targets: egress.New(egress.Config{Allow: egress.Loopback()}), Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	p, err := b.store.CreateProject(t.Context(), "shop", "postgres://shop@db.example.com/shop", false)
	require.NoError(t, err)
	b.projectID = p.ID
	b.server = demoprovider.NewAuth0(demoprovider.NewAccount(1), time.Now)
	b.server.Scope = demoprovider.Auth0StreamScopes + " " + demoprovider.Auth0ManageScopes
	b.server.Streams.To = userapitest.Serve(t, http.HandlerFunc(b.receive))
	b.api = userapitest.Start(t, b.server)
	t.Cleanup(func() { b.server.Streams.Posted() })
	return b
}

// receive stands in for the receiver and what applies its messages.
func (b *testBundle) receive(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	down := b.down
	b.mu.Unlock()
	credentials, options, err := b.store.Credentials(r.Context(), b.projectID, provider.Auth0)
	if err == nil && !down && r.URL.Path == path(provider.Auth0, b.projectID) {
		var verifier provider.Verifier
		if verifier, err = auth0.New().NewVerifier(credentials, options); err == nil {
			_, err = verifier.Verify(r.Header, nil, time.Now())
		}
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var event struct {
			ID string `json:"id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, err = b.pool.Exec(context.WithoutCancel(r.Context()), `
			INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, outcome)
			VALUES ((random() * 1e9)::bigint, 0, clock_timestamp(), $1, $2, 'ignored')`, b.projectID, event.ID)
	}
	if err != nil || down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func path(name string, id uuid.UUID) string {
	return "/api/capydb/v1/integrations/" + name + "/webhook/" + id.String()
}

func (b *testBundle) url() string { return publicBase + path(provider.Auth0, b.projectID) }

func (b *testBundle) config() provision.Config {
	return provision.Config{
		Pool: b.pool, Credentials: b.store.Credentials, AddSecret: b.store.AddSigningSecret, Path: path, Base: publicBase, Configured: true,
		Deps: userapi.Deps{Transport: userapitest.Transport(), Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }},
		Log:  slog.New(slog.NewJSONHandler(b, nil)), Retry: func(time.Duration) time.Duration { return time.Millisecond },
		Now: func() time.Time {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.now
		},
	}
}

// start starts a process that works the jobs, until the test or stop ends it.
func (b *testBundle) start(t *testing.T, c provision.Config) (w *provision.Webhooks, stop func()) {
	t.Helper()
	w = provision.New(c)
	client, err := jobs.New(jobs.Config{Pool: b.pool, Log: slog.New(slog.DiscardHandler), Workers: []jobs.Register{w.Register}})
	require.NoError(t, err)
	require.NoError(t, client.Start(context.Background()))
	stop = sync.OnceFunc(func() { _ = client.StopAndCancel(context.Background()) })
	t.Cleanup(stop)
	return w, stop
}

// put stores the integration with option provision, and others.
func (b *testBundle) put(t *testing.T, options string) {
	t.Helper()
	require.NoError(t, b.tryPut(t.Context(), options))
}

func (b *testBundle) tryPut(ctx context.Context, options string) error {
	credentials := map[string]json.RawMessage{}
	for name, value := range map[string]string{
		"domain": demoprovider.Auth0Domain, "client_id": demoprovider.Auth0ClientID, "client_secret": demoprovider.Auth0ClientSecret,
	} {
		credentials[name] = json.RawMessage(fmt.Sprintf("%q", value))
	}
	_, err := b.store.PutIntegration(ctx, b.projectID, provider.Auth0, credentials,
		json.RawMessage(fmt.Sprintf(`{"provision": true, "base_url": %q%s}`, b.api, options)))
	return err
}

func (b *testBundle) status(t *testing.T, w *provision.Webhooks) *provision.Status {
	t.Helper()
	s, err := w.Status(t.Context(), b.projectID, provider.Auth0, false)
	require.NoError(t, err)
	require.NotNil(t, s)
	return s
}

// reaches waits until the webhook has a state.
func (b *testBundle) reaches(t *testing.T, w *provision.Webhooks, state string) *provision.Status {
	t.Helper()
	var s *provision.Status
	waittest.Until(t, func() bool {
		s = b.status(t, w)
		return s.State == state
	}, "the webhook does not become %s: %s", state, b.logged())
	return s
}

// retried waits as reaches does, and lets jobs that wait go on.
func (b *testBundle) retried(t *testing.T, w *provision.Webhooks, state string) *provision.Status {
	t.Helper()
	var s *provision.Status
	waittest.Until(t, func() bool {
		jobstest.Retry(t, b.pool, jobs.ProvisionWebhook)
		s = b.status(t, w)
		return s.State == state
	}, "the webhook does not become %s: %s", state, b.logged())
	return s
}

// stream requires that there is one stream, and returns it.
func (b *testBundle) stream(t *testing.T) demoprovider.Auth0Stream {
	t.Helper()
	all := b.server.Streams.All()
	require.Len(t, all, 1)
	return all[0]
}

// ends waits until no job is left.
func (b *testBundle) ends(t *testing.T) {
	t.Helper()
	waittest.Until(t, func() bool {
		var busy bool
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM authsync.job_requests WHERE job_id IS NOT NULL)`).Scan(&busy))
		return !busy
	}, "the job does not end: %s", b.logged())
}

func stepsOf(s *provision.Status) string {
	var list []string
	for _, step := range s.Steps {
		list = append(list, step.Name+" "+step.State)
	}
	return strings.Join(list, ", ")
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func raw(name, value string) map[string]json.RawMessage {
	return map[string]json.RawMessage{name: json.RawMessage(value)}
}

// instance is a Clerk instance, and the options of an integration with it.
func (b *testBundle) instance(t *testing.T) (server *demoprovider.Clerk, put func(secrets string)) {
	t.Helper()
	server = demoprovider.NewClerk(demoprovider.NewAccount(1), time.Now)
	server.Svix.To = userapitest.Serve(t, http.HandlerFunc(b.receiveClerk))
	api := userapitest.Start(t, server)
	t.Cleanup(server.Svix.Posted)
	return server, func(secrets string) {
		t.Helper()
		given := raw("secret_key", `"`+demoprovider.ClerkKey+`"`)
		if secrets != "" {
			given["webhook_signing_secret"] = json.RawMessage(secrets)
		}
		_, err := b.store.PutIntegration(t.Context(), b.projectID, provider.Clerk, given, json.RawMessage(fmt.Sprintf(`{"provision": true, "base_url": %q}`, api)))
		require.NoError(t, err)
	}
}

// receiveClerk is receive for Clerk, whose messages have their id in a header.
func (b *testBundle) receiveClerk(w http.ResponseWriter, r *http.Request) {
	credentials, options, err := b.store.Credentials(r.Context(), b.projectID, provider.Clerk)
	if err == nil {
		var verifier provider.Verifier
		if verifier, err = clerk.New().NewVerifier(credentials, options); err == nil {
			body, readErr := io.ReadAll(r.Body)
			if _, err = verifier.Verify(r.Header, body, time.Now()); readErr != nil {
				err = readErr
			}
		}
	}
	if err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, err = b.pool.Exec(context.WithoutCancel(r.Context()), `
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, outcome)
		VALUES ((random() * 1e9)::bigint, 0, clock_timestamp(), $1, $2, 'ignored')`, b.projectID, r.Header.Get("Svix-Id"))
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// clerkReaches is reaches for Clerk.
func (b *testBundle) clerkReaches(t *testing.T, w *provision.Webhooks, state string) *provision.Status {
	t.Helper()
	var s *provision.Status
	waittest.Until(t, func() bool {
		jobstest.Retry(t, b.pool, jobs.ProvisionWebhook)
		var err error
		s, err = w.Status(t.Context(), b.projectID, provider.Clerk, false)
		require.NoError(t, err)
		return s != nil && s.State == state
	}, "the webhook does not become %s: %s", state, b.logged())
	return s
}
