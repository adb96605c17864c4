package pull_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/pull"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

// world is a control database, and tenants of Auth0 whose events are pulled.
type world struct {
	pool *pgxpool.Pool

	mu         sync.Mutex
	tenants    map[uuid.UUID]*tenant
	reconciles map[uuid.UUID]int
	running    bool // another run is under way
}

// tenant is the Auth0 of one project.
type tenant struct {
	*demoprovider.Auth0

	base    string
	project uuid.UUID
	opened  int // sources
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{pool: pgtest.Control(t), tenants: map[uuid.UUID]*tenant{}, reconciles: map[uuid.UUID]int{}}
}

// tenant makes a project with an Auth0 that is pulled.
func (w *world) tenant(t *testing.T) *tenant {
	t.Helper()
	server := demoprovider.NewAuth0(demoprovider.NewAccount(0), time.Now)
	server.Scope = demoprovider.Auth0EventScope
	server.Events.Connections = 8
	of := &tenant{Auth0: server, base: userapitest.Start(t, server), project: uuid.New()}
	t.Cleanup(server.Events.End)
	w.mu.Lock()
	w.tenants[of.project] = of
	w.mu.Unlock()
	w.exec(t, `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, $2, '')`, of.project, "p"+of.project.String()[:8])
	w.exec(t, `INSERT INTO authsync.integrations (project_id, provider, credentials_sealed, options) VALUES ($1, 'auth0', '', '{"pull": true}')`, of.project)
	return of
}

func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := w.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// LookupFresh implements pull.Directory.
func (w *world) LookupFresh(ctx context.Context, id uuid.UUID, name string) (project.Endpoint, error) {
	var options provider.Options
	if err := w.pool.QueryRow(ctx, `SELECT options FROM authsync.integrations WHERE project_id = $1 AND provider = $2`, id, name).Scan(&options); err != nil {
		return project.Endpoint{}, project.ErrNoIntegration
	}
	verifier, err := auth0.New().NewVerifier(credentials(), options)
	return project.Endpoint{ProjectID: id, Provider: auth0.New(), Verifier: verifier, Options: options}, err
}

func credentials() provider.Credentials {
	return provider.Credentials{Domain: demoprovider.Auth0Domain, ClientID: demoprovider.Auth0ClientID, ClientSecret: demoprovider.Auth0ClientSecret}
}

func (w *world) open(_ context.Context, id uuid.UUID, _ string) (userapi.EventSource, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.tenants[id]
	of.opened++
	return auth0.New().NewEventSource(credentials(), provider.Options{BaseURL: of.base, Pull: true}, userapi.Deps{Transport: userapitest.Transport()})
}

func (w *world) reconcile(_ context.Context, id uuid.UUID, _ string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		return errors.New("another run is under way")
	}
	w.reconciles[id]++
	return nil
}

func (w *world) reconciled(id uuid.UUID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reconciles[id]
}

// run runs a puller until stop is called or the test ends. change may change its configuration.
func (w *world) run(t *testing.T, change ...func(*pull.Config)) (stop func()) {
	t.Helper()
	jobs, err := inbox.NewJobs(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	in := inbox.New(w.pool, jobs, inbox.Config{})
	c := pull.Config{
		Pool: w.pool, Directory: w, Inbox: in, Log: slog.New(slog.DiscardHandler), Open: w.open, Reconcile: w.reconcile, Interval: 20 * time.Millisecond,
	}
	for _, one := range change {
		one(&c)
	}
	puller, err := pull.New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		puller.Run(ctx)
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			<-ended
			require.NoError(t, in.Close(context.Background()))
		})
	}
	t.Cleanup(stop)
	return stop
}

// pulled are the bodies in the inbox of a project, in the order in which they were stored.
func (w *world) pulled(t *testing.T, of *tenant) []string {
	t.Helper()
	rows, err := w.pool.Query(t.Context(), `SELECT convert_from(body, 'UTF8') FROM authsync.inbox WHERE project_id = $1 AND provider = 'auth0' ORDER BY id`, of.project)
	require.NoError(t, err)
	bodies := []string{}
	for rows.Next() { //nolint:forbidigo // err is looked at below
		var body string
		require.NoError(t, rows.Scan(&body))
		bodies = append(bodies, body)
	}
	require.NoError(t, rows.Err())
	return bodies
}

func (w *world) waitFor(t *testing.T, of *tenant, want ...string) {
	t.Helper()
	waittest.Until(t, func() bool { return len(w.pulled(t, of)) >= len(want) })
	require.Equal(t, want, w.pulled(t, of))
}

// ask reads one value of the project's row.
func ask[T any](t *testing.T, w *world, of *tenant, column string, args ...any) (value T) {
	t.Helper()
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT `+column+` FROM authsync.pulls WHERE project_id = $1`, append([]any{of.project}, args...)...).Scan(&value))
	return value
}

func event(n int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"evt_%022d","type":"user.created","time":"2026-05-03T10:00:00.000Z","data":{"object":{"user_id":"auth0|%d"}}}`, n, n)
}

// happen publishes events.
func (of *tenant) happen(numbers ...int) {
	for _, n := range numbers {
		of.Events.Publish(time.Now(), []byte(event(n)))
	}
}
