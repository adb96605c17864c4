package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/rejections"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/sync/refresh"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// testBundle is a server as its callers see it, on a database of its own.
type testBundle struct {
	handler  *api.API
	store    *project.Store
	inbox    *inbox.Inbox
	pool     *pgxpool.Pool
	mirror   *fakeMirror
	accounts fakeAccounts
	repairs  fakeRefresher
	outbox   *fakeOutbox
	clock    atomic.Int64 // how far the clock of idempotency keys is ahead
	log      *strings.Builder
	key      string // a key for all projects
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
		return mirror.History{}, mirror.ErrNoUser
	}
	return m.history, m.err
}

func (m *fakeMirror) RecordHistory(context.Context, uuid.UUID, record.Ref, int64) (mirror.RecordHistory, error) {
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

func (f *fakeRefresher) Refresh(_ context.Context, _ uuid.UUID, userID, providerName string) (refresh.Repair, error) {
	if f.before != nil {
		f.before()
	}
	f.asked = append(f.asked, userID+" "+providerName)
	return f.repair, f.err
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
		Pool: b.pool, Keyring: ring, Mirror: installer, Targets: egress.New(egress.Config{}), Log: quiet, Destinations: fakeTypes{},
	})
	require.NoError(t, err)
	jobs, err := inbox.NewJobs(quiet)
	require.NoError(t, err)
	b.inbox = inbox.New(b.pool, jobs, inbox.Config{})
	t.Cleanup(func() { require.NoError(t, b.inbox.Close(context.WithoutCancel(t.Context()))) })
	b.outbox = &fakeOutbox{pool: b.pool}
	handler, err := api.New(api.Config{
		Store: b.store, Events: b.inbox, Users: mirrors, Records: mirrors, PublicURL: publicURL,
		Grants: b.mirror, Backfills: syncrun.NewStore(b.pool, &b.accounts), Refresher: &b.repairs, Accounts: &b.accounts, Outbox: b.outbox,
		Idempotency: &idempotency.Keys{Pool: b.pool, Keyring: ring, Now: b.now},
		Rejections:  rejections.Reader{Pool: b.pool},
		Log:         slog.New(slog.NewJSONHandler(&lockedWriter{w: b.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
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

func TestCallsNeedAKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	revoked, secret, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "revoked"})
	require.NoError(t, err)
	require.NoError(t, b.store.RevokeKey(t.Context(), revoked.ID))

	for name, tc := range map[string]struct{ header, want string }{
		"NoHeader":    {"", "send the header Authorization: Bearer"},
		"OtherScheme": {"Basic " + b.key, "must begin with Bearer"},
		"NoKey":       {"Bearer ", "unknown or was revoked"},
		"UnknownKey":  {"Bearer capy_live_0000000000000000000000000000000000000000000", "unknown or was revoked"},
		"RevokedKey":  {"Bearer " + secret, "unknown or was revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, api.Prefix+"/projects", http.NoBody)
			if tc.header != "" {
				r.Header.Set("Authorization", tc.header)
			}
			answer := b.send(t, r)
			answer.refused(t, http.StatusUnauthorized, tc.want)
			require.Equal(t, `Bearer realm="authsync"`, answer.header.Get("WWW-Authenticate"))
		})
	}
	t.Run("SchemeInSmallLettersIsFine", func(t *testing.T) {
		t.Parallel()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, api.Prefix+"/projects", http.NoBody)
		r.Header.Set("Authorization", "bearer "+b.key)
		require.Equal(t, http.StatusOK, b.send(t, r).status)
	})
}

func TestLimitedKeySeesItsProjectOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine, other := b.project(t, "mine"), b.project(t, "other")
	key := b.limitedKey(t, mine)

	list := b.callWith(t, key, http.MethodGet, "/projects", "").data(t)
	require.Len(t, list, 1)
	require.Equal(t, http.StatusOK, b.callWith(t, key, http.MethodGet, "/projects/mine", "").status)
	require.Equal(t, http.StatusOK, b.callWith(t, key, http.MethodPut, "/projects/mine/integrations/auth0", "{}").status)

	theirs := b.callWith(t, key, http.MethodGet, "/projects/other", "")
	nobodys := b.callWith(t, key, http.MethodGet, "/projects/other2", "")
	theirs.refused(t, http.StatusNotFound, "no project")
	require.Equal(t, strings.ReplaceAll(fmt.Sprint(nobodys.body["detail"]), "other2", "other"), theirs.body["detail"],
		"it cannot tell another's project from none")
	for _, path := range []string{"/integrations", "/integrations/auth0", "/events", "/events/1.0", "/users/1", "/records/user", "/records/membership/o%2Fu", "/destinations", "/destinations/x", "/deliveries", "/deliveries/1"} {
		b.callWith(t, key, http.MethodGet, "/projects/"+other.ID.String()+path, "").refused(t, http.StatusNotFound, "no project")
	}
	b.callWith(t, key, http.MethodPut, "/projects/other/integrations/auth0", "{}").refused(t, http.StatusNotFound, "no project")

	for _, call := range [][2]string{
		{http.MethodPost, "/projects"},
		{http.MethodPatch, "/projects/mine"},
		{http.MethodDelete, "/projects/mine"},
		{http.MethodPost, "/keys"},
		{http.MethodGet, "/keys"},
		{http.MethodDelete, "/keys/" + uuid.NewString()},
	} {
		b.callWith(t, key, call[0], call[1], "{}").refused(t, http.StatusForbidden, "limited to one project")
	}
}

func TestWhatIsNotThereIsAProblemToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.call(t, http.MethodGet, "/nothing", "").refused(t, http.StatusNotFound, "nothing at this path")
	b.call(t, http.MethodGet, "//projects", "").refused(t, http.StatusNotFound, "nothing at this path")
	answer := b.call(t, http.MethodPut, "/projects/x", "")
	answer.refused(t, http.StatusMethodNotAllowed, "it takes GET, PATCH, DELETE")
	require.Equal(t, "GET, PATCH, DELETE", answer.header.Get("Allow"))
}

func TestBodiesAreReadStrictly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, tc := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"Empty":          {"", http.StatusBadRequest, "must be a JSON object"},
		"NoJSON":         {`{"name": s3cret}`, http.StatusBadRequest, "not JSON: see byte 10"},
		"TwoObjects":     {`{} {}`, http.StatusBadRequest, "not JSON"},
		"Array":          {`[]`, http.StatusBadRequest, "must be a JSON object"},
		"Null":           {`null`, http.StatusBadRequest, "must be a JSON object"},
		"UnknownKey":     {`{"title": "s3cret"}`, http.StatusUnprocessableEntity, `unknown field "title": it takes name, database_url`},
		"CapitalLetters": {`{"Name": "s3cret"}`, http.StatusUnprocessableEntity, `"Name"`},
		"WrongType":      {`{"name": {"s3cret": 1}}`, http.StatusUnprocessableEntity, "name must be a string"},
		"WrongValue":     {`{"name": "-"}`, http.StatusUnprocessableEntity, "1 to 63"},
		"EmptyURL":       {`{"name": "x", "database_url": ""}`, http.StatusUnprocessableEntity, "leave it out"},
		"TooLarge":       {`{"name": "` + strings.Repeat("x", 64<<10) + `"}`, http.StatusRequestEntityTooLarge, "larger than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := b.call(t, http.MethodPost, "/projects", tc.body)
			answer.refused(t, tc.status, tc.want)
			require.NotContains(t, answer.text, "s3cret")
		})
	}
}

// What PostgreSQL cannot hold, and a query that cannot be read, are the caller's mistakes.
func TestOddCharactersAreTheCallersMistake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "demo")
	for path, status := range map[string]int{
		"/projects/%00":                                  http.StatusNotFound,
		"/projects/%ff":                                  http.StatusNotFound,
		"/projects/demo/users/a%00b":                     http.StatusNotFound,
		"/projects/demo/events/1.99999999999":            http.StatusNotFound,
		"/projects/demo/events?user_id=%00":              http.StatusUnprocessableEntity,
		"/projects/demo/events?user_id=%ff":              http.StatusUnprocessableEntity,
		"/projects/demo/events?user_id=%zz":              http.StatusBadRequest,
		"/projects/demo/events?user_id=a;outcome=failed": http.StatusBadRequest,
		"/projects/demo/events?cursor=1-99999999999":     http.StatusUnprocessableEntity,
		"/projects?cursor=" + "cHJvamVjdHM6AA":           http.StatusUnprocessableEntity,
	} {
		require.Equal(t, status, b.call(t, http.MethodGet, path, "").status, path)
	}
	require.Equal(t, http.StatusUnprocessableEntity, b.call(t, http.MethodPost, "/keys", `{"name": "a\u0000"}`).status)
	require.Equal(t, http.StatusCreated, b.call(t, http.MethodPost, "/keys", `{"name": "a\\u0000"}`).status, "a backslash, u and zeros")
	require.Equal(t, http.StatusBadRequest, b.call(t, http.MethodPost, "/keys", "{\"name\": \"a\xff\"}").status)
}

func TestOurOwnTroubleIsNotTheCallers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")

	b.mirror.failWith(errors.New("the secret cause"))
	answer := b.call(t, http.MethodGet, "/projects/shop/users/1", "")
	answer.refused(t, http.StatusInternalServerError, "under the id of this request")
	require.NotContains(t, answer.text, "secret cause")
	require.Contains(t, b.log.String(), "the secret cause")
	require.Contains(t, b.log.String(), answer.header.Get("X-Request-Id"))

	away, err := pgdb.Open(t.Context(), "postgres://nobody@127.0.0.1:1/nowhere", pgdb.Options{})
	require.NoError(t, err)
	t.Cleanup(away.Close)
	b.pool = away
	b.serve(t, b.mirror, b.mirror, "")
	answer = b.call(t, http.MethodGet, "/projects", "")
	answer.refused(t, http.StatusServiceUnavailable, "database cannot be reached now")
	require.Equal(t, "5", answer.header.Get("Retry-After"))
}

// A command that gives up waiting, or a browser that goes on, is no trouble of the server's.
func TestCallerWhoIsGoneIsNoWarning(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, http.StatusCreated, b.call(t, http.MethodPost, "/projects", `{"name": "shop", "database_url": "`+someURL+`"}`).status)
	for _, call := range []struct{ method, path, body string }{
		{http.MethodGet, "/projects/shop/events", ""},
		{http.MethodGet, "/projects/shop/users/u1", ""},
		{http.MethodGet, "/projects/shop/deliveries", ""},
		{http.MethodPatch, "/projects/shop", `{"name": "store"}`},
	} {
		ctx, leave := context.WithCancel(t.Context())
		leave()
		r := httptest.NewRequestWithContext(ctx, call.method, api.Prefix+call.path, strings.NewReader(call.body))
		r.Header.Set("Authorization", "Bearer "+b.key)
		r.Header.Set("Content-Type", "application/json")
		b.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	require.Equal(t, 4, strings.Count(b.log.String(), `"status":503`), b.log.String())
	require.NotContains(t, b.log.String(), `"level":"WARN"`)
	require.NotContains(t, b.log.String(), `"level":"ERROR"`)
}

func TestChangesAreLoggedWithoutSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, http.StatusCreated, b.call(t, http.MethodPost, "/projects", `{"name": "shop", "database_url": "`+someURL+`"}`).status)
	require.Equal(t, http.StatusOK, b.call(t, http.MethodPut, "/projects/shop/integrations/auth0",
		`{"credentials": {"webhook_signing_secret": "s3cret-of-auth0-51ac"}}`).status)
	require.Contains(t, b.log.String(), `"msg":"management_call","method":"PUT","route":"/projects/{project}/integrations/{provider}","status":200`)
	require.Contains(t, b.log.String(), `"project":"shop"`)
	require.NotContains(t, b.log.String(), "s3cret")
	require.NotContains(t, b.log.String(), b.key)
}
