package api_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/api"
	"github.com/authsync/authsync/internal/api/idempotency"
	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/clientaddr"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/erasure"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/rejections"
	"github.com/authsync/authsync/internal/ingest/usage"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/retention"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/sync/refresh"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/watch"
)

// testBundle is a server as its callers see it, on a database of its own.
type testBundle struct {
	handler    *api.API
	store      *project.Store
	inbox      *inbox.Inbox
	pool       *pgxpool.Pool
	mirror     *fakeMirror
	accounts   fakeAccounts
	repairs    fakeRefresher
	deliveries *fakeDeliveries
	webhooks   fakeWebhooks
	audit      *audit.Log
	refusals   *audit.Refusals // not running: Write writes
	// auditWith replaces the log that is written to; nil: it stays.
	auditWith func(*audit.Log) api.Audit
	clock     atomic.Int64 // how far the clock of keys and idempotency keys is ahead
	log       *strings.Builder
	key       string // a key for all projects
}

// fakeMirror stands in for the project databases.
type fakeMirror struct {
	mu      sync.Mutex
	err     error
	history mirror.History
	users   []mirror.Listed // by id
	reader  mirror.Reader
}

func (m *fakeMirror) Install(context.Context, string, uuid.UUID, bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *fakeMirror) Release(context.Context, string, uuid.UUID) error { return nil }

func (m *fakeMirror) History(_ context.Context, _ uuid.UUID, userID string, _ int64) (mirror.History, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil && userID != m.history.User.ID {
		return mirror.History{}, mirror.ErrNoRecord
	}
	return m.history, m.err
}

func (m *fakeMirror) RecordHistory(context.Context, uuid.UUID, record.Ref, int64, int) (mirror.RecordHistory, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return mirror.RecordHistory{Row: json.RawMessage(`{"role": "admin"}`), Sources: []mirror.Source{{Column: "role"}}}, m.err
}

func (m *fakeMirror) Records(context.Context, uuid.UUID, mirror.RecordFilter) ([]mirror.ListedRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []mirror.ListedRecord{{ID: "org_1/user_1", Row: json.RawMessage(`{"role": "admin"}`)}}, m.err
}

func (m *fakeMirror) List(_ context.Context, _ uuid.UUID, email, after string, limit int) (list []mirror.Listed, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.users {
		if u.ID > after && len(list) < limit && (email == "" || u.Email != nil && *u.Email == email) {
			list = append(list, u)
		}
	}
	return list, m.err
}

func (m *fakeMirror) Grant(_ context.Context, _ uuid.UUID, reader mirror.Reader) (mirror.Granted, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reader = reader
	if m.err == nil && reader.Role == "nobody" {
		return mirror.Granted{}, fault.At("role", "there is no role nobody")
	}
	return mirror.Granted{
		Rights: []string{"USAGE ON SCHEMA capydb_auth"},
		Sees:   []mirror.Visibility{{Relation: "capydb_auth.users", Rows: "every row", Policies: []string{}}},
	}, m.err
}

// fakeAccounts opens accounts with nothing in them, or with a source.
type fakeAccounts struct {
	mu     sync.Mutex
	err    error
	source userapi.Source
}

// fakeRefresher finds and does what it is told.
type fakeRefresher struct {
	before func() // nil: nothing
	asked  []string
	repair refresh.Repair
	err    error
}

func (f *fakeRefresher) Refresh(_ context.Context, _ uuid.UUID, ref record.Ref, providerName string) (refresh.Repair, error) {
	if f.before != nil {
		f.before()
	}
	f.asked = append(f.asked, string(ref.Type)+" "+ref.ID+" "+providerName)
	repair := f.repair
	repair.Record = ref
	return repair, f.err
}

func (a *fakeAccounts) Open(context.Context, uuid.UUID, string) (source.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return source.Account{Source: a.source}, a.err
}

func (a *fakeAccounts) failWith(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func (m *fakeMirror) failWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{pool: pgtest.Control(t), mirror: &fakeMirror{}, log: &strings.Builder{}}
	b.start(t, b.mirror, b.mirror, "https://sync.example.com/")
	return b
}

// reader reads the mirrors of projects.
type reader interface {
	api.Users
	api.Records
}

// start serves, and makes a key.
func (b *testBundle) start(t *testing.T, installer project.MirrorInstaller, mirrors reader, publicURL string) {
	t.Helper()
	b.serve(t, installer, mirrors, publicURL)
	var err error
	_, b.key, err = b.store.CreateKey(t.Context(), project.KeyInput{Name: "test"})
	require.NoError(t, err)
}

func (b *testBundle) serve(t *testing.T, installer project.MirrorInstaller, mirrors reader, publicURL string) {
	t.Helper()
	ring, err := seal.ParseKeys(seal.NewKey())
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	b.store, err = project.NewStore(project.Config{
		Pool: b.pool, Keyring: ring, Mirror: installer, Targets: egress.New(egress.Config{}), Log: quiet, Destinations: fakeTypes{}, Now: b.now,
		Retention: retention.Defaults{Inbox: 720 * time.Hour, Ledger: 720 * time.Hour, Changes: 36 * time.Hour},
	})
	require.NoError(t, err)
	jobs, err := inbox.NewJobs(quiet)
	require.NoError(t, err)
	b.inbox = inbox.New(b.pool, jobs, inbox.Config{})
	t.Cleanup(func() { require.NoError(t, b.inbox.Close(context.WithoutCancel(t.Context()))) })
	b.deliveries = &fakeDeliveries{pool: b.pool}
	b.audit = &audit.Log{Database: b.pool, Now: b.now}
	b.refusals = audit.NewRefusals(b.audit, quiet)
	var actions api.Audit = b.audit
	if b.auditWith != nil {
		actions = b.auditWith(b.audit)
	}
	handler, err := api.New(api.Config{
		Store: b.store, Events: b.inbox, Users: mirrors, Records: mirrors, PublicURL: publicURL,
		Grants: b.mirror, Backfills: syncrun.NewStore(b.pool, &b.accounts), Refresher: &b.repairs,
		Erasures: &erasure.Store{Pool: b.pool, Vault: b.store, Now: time.Now}, Accounts: &b.accounts, Deliveries: b.deliveries,
		Idempotency: &idempotency.Keys{Pool: b.pool, Keyring: ring, Now: b.now},
		Rejections:  rejections.Reader{Pool: b.pool},
		Problems:    watch.Reader{Pool: b.pool},
		Counts:      usage.Reader{Pool: b.pool, Now: b.now},
		Webhooks:    &b.webhooks,
		Audit:       actions, Refusals: b.refusals, Digester: ring, Address: clientaddr.Proxies(nil).Of,
		Log: slog.New(slog.NewJSONHandler(&lockedWriter{w: b.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	b.handler = handler
}

func (b *testBundle) now() time.Time { return time.Now().Add(time.Duration(b.clock.Load())) }

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

const someURL = "postgres://shop:s3cret@db.example.com:5433/shop"

func (b *testBundle) project(t *testing.T, name string) project.Project {
	t.Helper()
	p, err := b.store.CreateProject(t.Context(), name, someURL, false)
	require.NoError(t, err)
	return p
}

func (b *testBundle) limitedKey(t *testing.T, p project.Project) string {
	t.Helper()
	_, secret, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "limited", ProjectID: &p.ID})
	require.NoError(t, err)
	return secret
}

// reply is an answer of the server.
type reply struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// call makes a request with the key for all projects; path begins behind the prefix.
func (b *testBundle) call(t *testing.T, method, path, body string) reply {
	t.Helper()
	return b.callWith(t, b.key, method, path, body)
}

func (b *testBundle) callWith(t *testing.T, key, method, path, body string) reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, api.Prefix+path, strings.NewReader(body))
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return b.send(t, r)
}

func (b *testBundle) send(t *testing.T, r *http.Request) reply {
	t.Helper()
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	answer := reply{status: w.Code, header: w.Header(), text: w.Body.String()}
	require.NotEmpty(t, w.Header().Get("X-Request-Id"))
	if !strings.HasPrefix(r.URL.Path, api.Prefix+"/openapi.") { // the one thing that says nothing of anybody
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"), "no proxy or browser keeps what it says of people")
	}
	if w.Code == http.StatusNoContent {
		require.Empty(t, answer.text)
		return answer
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer.body), "%s", answer.text)
	if w.Code >= http.StatusBadRequest {
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		require.InDelta(t, w.Code, answer.body["status"], 0)
		require.NotEmpty(t, answer.body["detail"])
		require.NotEmpty(t, answer.body["code"])
		if answer.body["code"] == "invalid_request" {
			require.NotEmpty(t, answer.body["errors"], answer.text)
		}
		require.Equal(t, "urn:authsync:request:"+w.Header().Get("X-Request-Id"), answer.body["instance"])
	} else {
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	}
	return answer
}

// refused asserts a problem whose detail contains the words.
func (a reply) refused(t *testing.T, status int, words string) {
	t.Helper()
	require.Equal(t, status, a.status, "%s", a.text)
	require.Contains(t, a.body["detail"], words)
}

func (a reply) data(t *testing.T) []any {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, "%s", a.text)
	list, ok := a.body["data"].([]any)
	require.True(t, ok, "%s", a.text)
	return list
}

func (a reply) next(t *testing.T) string {
	t.Helper()
	require.Contains(t, a.body, "next_cursor")
	next, _ := a.body["next_cursor"].(string)
	return next
}
