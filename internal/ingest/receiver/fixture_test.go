package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/receiver"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/authsync/authsync/internal/localpg.(*Server).runOnce.func1"))
}

// directory is a Directory of a few integrations. fresh, if set, is what LookupFresh knows beyond it.
type directory struct {
	mu       sync.Mutex
	err      error
	freshErr error
	known    map[string]project.Endpoint
	fresh    map[string]project.Endpoint
}

func (d *directory) Lookup(_ context.Context, id uuid.UUID, name string) (project.Endpoint, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return project.Endpoint{}, d.err
	}
	if e, ok := d.known[id.String()+name]; ok {
		return e, nil
	}
	for _, e := range d.known {
		if e.ProjectID == id {
			return project.Endpoint{}, project.ErrNoIntegration
		}
	}
	return project.Endpoint{}, project.ErrNoProject
}

// Others are those of the same project.
func (d *directory) Others(id uuid.UUID, name string) (others []project.Endpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.known {
		if e.ProjectID == id && e.Provider.Name() != name {
			others = append(others, e)
		}
	}
	return others
}

func (d *directory) LookupFresh(ctx context.Context, id uuid.UUID, name string) (project.Endpoint, error) {
	d.mu.Lock()
	if d.freshErr != nil {
		defer d.mu.Unlock()
		return project.Endpoint{}, d.freshErr
	}
	if d.fresh != nil {
		d.known = d.fresh
	}
	d.mu.Unlock()
	return d.Lookup(ctx, id, name)
}

func endpoint(t *testing.T, id uuid.UUID, name string, c provider.Credentials) project.Endpoint {
	t.Helper()
	kind, err := registry.Lookup(name)
	require.NoError(t, err)
	verifier, err := kind.NewVerifier(c, provider.Options{})
	require.NoError(t, err)
	return project.Endpoint{ProjectID: id, Provider: kind, Verifier: verifier}
}

type bundle struct {
	pool      *pgxpool.Pool
	inbox     *inbox.Inbox
	directory *directory
	registry  *prometheus.Registry
	project   uuid.UUID
	url       string // of the server
	log       *lockedBuffer
}

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

func setup(t *testing.T, pool *pgxpool.Pool, change ...func(*receiver.Config)) *bundle {
	t.Helper()
	b := &bundle{pool: pool, project: uuid.New(), registry: prometheus.NewRegistry(), log: &lockedBuffer{}}
	secret := provider.Credentials{WebhookSigningSecret: provider.Secrets{token}}
	b.directory = &directory{known: map[string]project.Endpoint{}}
	b.add(endpoint(t, b.project, "auth0", secret))
	b.add(endpoint(t, b.project, "clerk", provider.Credentials{WebhookSigningSecret: provider.Secrets{clerkSecret}}))
	b.add(endpoint(t, b.project, "better_auth", provider.Credentials{WebhookSigningSecret: provider.Secrets{token}}))

	log := slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	jobs, err := inbox.NewJobs(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	b.inbox = inbox.New(pool, jobs, inbox.Config{Registry: b.registry})
	config := receiver.Config{Directory: b.directory, Inbox: b.inbox, Log: log, Registry: b.registry}
	for _, c := range change {
		c(&config)
	}
	routes := mux.NewRouter().UseEncodedPath().SkipClean(true) // as the server does
	routes.MatcherFunc(receiver.Match).Handler(receiver.New(config))
	server := httptest.NewServer(routes)
	b.url = server.URL
	t.Cleanup(func() {
		server.Close()
		_ = b.inbox.Close(context.Background())
	})
	return b
}

func (b *bundle) add(e project.Endpoint) {
	b.directory.known[e.ProjectID.String()+e.Provider.Name()] = e
}

// auth0 makes a request as Auth0 sends it.
func (b *bundle) auth0(t *testing.T, body io.Reader, change ...func(*http.Request)) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.path("auth0"), body)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	for _, c := range change {
		c(r)
	}
	return r
}

func (b *bundle) path(name string) string {
	return b.url + "/api/capydb/v1/integrations/" + name + "/webhook/" + b.project.String()
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	detail string
	code   string
	closes bool // the connection
}

func send(t *testing.T, r *http.Request) reply {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	got := reply{status: response.StatusCode, header: response.Header}
	if response.StatusCode == http.StatusNoContent {
		require.Empty(t, body)
		return got
	}
	require.Equal(t, "application/problem+json", response.Header.Get("Content-Type"), "%s", body)
	var document struct {
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Code   string `json:"code"`
	}
	require.NoError(t, json.Unmarshal(body, &document), "%s", body)
	require.Equal(t, response.StatusCode, document.Status)
	require.NotEmpty(t, document.Detail)
	require.NotEqual(t, "internal_error", document.Code, "no refusal is an error in here")
	got.detail, got.code = document.Detail, document.Code
	return got
}

func (b *bundle) rows(t *testing.T) int {
	t.Helper()
	var n int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.inbox`).Scan(&n))
	return n
}

// count reads authsync_messages_total.
func (b *bundle) count(t *testing.T, name, result string) float64 {
	t.Helper()
	families, err := b.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != "authsync_messages_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == name && m.GetLabel()[1].GetValue() == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func requireRetryAfter(t *testing.T, got reply) {
	t.Helper()
	require.Equal(t, http.StatusServiceUnavailable, got.status, got.detail)
	seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
	require.NoError(t, err)
	require.True(t, seconds >= 1 && seconds <= 10, seconds)
}
