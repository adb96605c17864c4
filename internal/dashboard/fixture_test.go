package dashboard_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/dashboard"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait")) // pgtest's server
}

// testBundle is a dashboard as browsers see it, on a database of its own.
type testBundle struct {
	handler  http.Handler
	pool     *pgxpool.Pool
	store    *project.Store
	ring     *seal.Keyring
	audit    *audit.Log
	refusals *audit.Refusals // not running: Write writes
	now      time.Time
	log      lockedBuffer
	key      project.Key
	secret   string // of key, which is for all projects
	// beforeSignIn runs before a key is looked for; nil: nothing does.
	beforeSignIn func()
}

// Authenticate and FindKey are those of the store.
func (b *testBundle) Authenticate(ctx context.Context, secret string) (project.Key, error) {
	if b.beforeSignIn != nil {
		b.beforeSignIn()
	}
	return b.store.Authenticate(ctx, secret)
}

func (b *testBundle) FindKey(ctx context.Context, id uuid.UUID) (project.Key, error) {
	return b.store.FindKey(ctx, id)
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	return setupAt(t, "")
}

func setupAt(t *testing.T, publicURL string) *testBundle {
	t.Helper()
	return setupWith(t, publicURL, noAPI{})
}

func setupWith(t *testing.T, publicURL string, api dashboard.API) *testBundle {
	t.Helper()
	b := &testBundle{pool: pgtest.Control(t), now: time.Now()}
	var err error
	b.ring, err = seal.ParseKeys(seal.NewKey())
	require.NoError(t, err)
	log := slog.New(slog.NewJSONHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b.store, err = project.NewStore(project.Config{
		Pool: b.pool, Keyring: b.ring, Mirror: noMirror{}, Targets: egress.New(egress.Config{}), Log: log,
		Now: func() time.Time { return b.now },
	})
	require.NoError(t, err)
	b.audit = &audit.Log{Database: b.pool, Now: func() time.Time { return b.now }}
	b.refusals = audit.NewRefusals(b.audit, log)
	b.handler, err = dashboard.New(dashboard.Config{
		Audit: b.audit, Refusals: b.refusals,
		Keys: b, Keyring: b.ring, Pool: b.pool, Views: b.pool, API: api, Bearer: noBearer, PublicURL: publicURL, Log: log,
		Now: func() time.Time { return b.now },
	})
	require.NoError(t, err)
	b.key, b.secret, err = b.store.CreateKey(t.Context(), project.KeyInput{Name: "Ada's laptop", Test: true})
	require.NoError(t, err)
	return b
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// noMirror stands in for the project databases.
type noMirror struct{}

func (noMirror) Install(context.Context, string, uuid.UUID, bool) error { return nil }
func (noMirror) Release(context.Context, string, uuid.UUID) error       { return nil }

// noBearer refuses every key in a header; package app tests the real one.
func noBearer(func(http.ResponseWriter, *http.Request, project.Key)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
}

// noAPI finds nothing; the tests of the pages have a real one.
type noAPI struct{}

func (noAPI) ServeAs(w http.ResponseWriter, r *http.Request, _ project.Key) {
	problem.Write(w, r, http.StatusNotFound, "nothing is here")
}

// request is what a browser sends.
type request struct {
	method, path string
	form         url.Values
	body         string
	cookie       *http.Cookie
	header       map[string]string
	from         string // address and port; empty: some
}

// do answers a request, and checks what is true of every answer.
func (b *testBundle) do(t *testing.T, in request) *httptest.ResponseRecorder {
	t.Helper()
	if in.form != nil {
		in.body = in.form.Encode()
	}
	r := httptest.NewRequestWithContext(t.Context(), in.method, "http://sync.test:8080"+in.path, strings.NewReader(in.body))
	if in.form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range in.header {
		r.Header.Set(name, value)
	}
	if in.cookie != nil {
		r.AddCookie(in.cookie)
	}
	if in.from != "" {
		r.RemoteAddr = in.from
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'")
	require.NotContains(t, w.Header().Get("Content-Security-Policy"), "unsafe-eval")
	require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	require.Equal(t, "same-origin", w.Header().Get("Referrer-Policy"))
	require.NotEmpty(t, w.Header().Get("X-Request-Id"))
	return w
}

func (b *testBundle) get(t *testing.T, path string, cookie *http.Cookie) *httptest.ResponseRecorder {
	t.Helper()
	return b.do(t, request{method: http.MethodGet, path: path, cookie: cookie})
}

func (b *testBundle) post(t *testing.T, path, body string, cookie *http.Cookie) *httptest.ResponseRecorder {
	t.Helper()
	return b.do(t, request{method: http.MethodPost, path: path, body: body, cookie: cookie})
}

// enter sends the sign-in form.
func (b *testBundle) enter(t *testing.T, secret, next string) *httptest.ResponseRecorder {
	t.Helper()
	return b.do(t, request{method: http.MethodPost, path: dashboard.SignInPath, form: url.Values{"key": {secret}, "next": {next}}})
}

// session signs in and gives the cookie.
func (b *testBundle) session(t *testing.T) *http.Cookie {
	t.Helper()
	return b.sessionOf(t, b.secret)
}

// sessionOf signs in with another key.
func (b *testBundle) sessionOf(t *testing.T, secret string) *http.Cookie {
	t.Helper()
	w := b.enter(t, secret, "")
	require.Equal(t, http.StatusSeeOther, w.Code)
	require.Len(t, w.Result().Cookies(), 1)
	return w.Result().Cookies()[0]
}

// job inserts a job that nobody works.
func (b *testBundle) job(t *testing.T) int64 {
	t.Helper()
	jobs, err := inbox.NewJobs(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	var id int64
	require.NoError(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		inserted, err := jobs.InsertTx(t.Context(), tx, inbox.RetryEventArgs{ProjectID: uuid.New(), InboxID: 42, ReceivedAt: b.now}, nil)
		if err == nil {
			id = inserted.Job.ID
		}
		return err
	}))
	return id
}

// state is that of a job; empty: there is none.
func (b *testBundle) state(t *testing.T, id int64) string {
	t.Helper()
	var state string
	require.NoError(t, b.pool.QueryRow(t.Context(),
		`SELECT coalesce((SELECT state::text FROM authsync.river_job WHERE id = $1), '')`, id).Scan(&state))
	return state
}
