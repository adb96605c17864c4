package clientstest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/testkit/npmtest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/sitetest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const betterAuthSecret = "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAyLWxvbmdlcg=="

// betterAuthTools finds what builds and runs the package.
func betterAuthTools(t *testing.T) {
	t.Helper()
	_, err := os.Stat(filepath.Join(root, npmtest.Modules))
	tool(t, err == nil, "what npm installs for the package for Better Auth", "make test/clients")
}

// The package's own tests, on what is in its tarball.
func TestBetterAuthPackage(t *testing.T) {
	t.Parallel()
	betterAuthTools(t)
	dir := npmtest.Build(t, root)
	files, err := filepath.Glob(filepath.Join(dir, "test", "*.test.mjs"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	output(t, dir, nil, "node", append([]string{"--test"}, files...)...)
	packed := output(t, dir, nil, "tar", "-tzf", "package.tgz")
	for _, file := range []string{"package/dist/index.js", "package/dist/index.d.ts", "package/package.json", "package/README.md", "package/LICENSE"} {
		require.Contains(t, packed, file)
	}
	require.NotContains(t, packed, "test")
	require.NotContains(t, packed, "package/src")
}

func TestBetterAuthTypes(t *testing.T) {
	t.Parallel()
	output(t, betterAuthPrograms(t), nil, "node_modules/.bin/tsc", "--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--types", "node", "types.ts")
}

// What the libraries of Svix and Standard Webhooks sign is verified.
func TestSignaturesOfLibraries(t *testing.T) {
	t.Parallel()
	betterAuthTools(t)
	dir := workspaceOf(t, npmtest.Modules)
	text, err := programs.ReadFile("testdata/better-auth/sign.mjs")
	require.NoError(t, err)
	write(t, filepath.Join(dir, "sign.mjs"), string(text))
	body := `{"type": "user.created", "timestamp": "2026-03-04T05:06:07.089Z", "data": {"id": "u_1", "name": "Zoë ✓"}}`
	cmd := exec.CommandContext(t.Context(), "node", "sign.mjs")
	cmd.Dir, cmd.Env, cmd.Stdin = dir, append(os.Environ(), "AUTHSYNC_SECRET="+betterAuthSecret), strings.NewReader(body)
	out, err := cmd.Output()
	require.NoError(t, err)
	var signed []map[string]string
	require.NoError(t, json.Unmarshal(out, &signed))
	require.Len(t, signed, 2)
	verifier, err := betterauth.New().NewVerifier(provider.Credentials{WebhookSigningSecret: provider.Secrets{betterAuthSecret}}, provider.Options{})
	require.NoError(t, err)
	for _, headers := range signed {
		header := make(http.Header)
		for name, value := range headers {
			header.Set(name, value)
		}
		_, err := verifier.Verify(header, []byte(body), time.Now())
		require.NoError(t, err, headers)
		_, err = verifier.Verify(header, []byte(body+" "), time.Now())
		require.ErrorIs(t, err, provider.ErrNoMatch)
	}
}

// road is the way from a Better Auth server to authsync, on which a test can stand.
type road struct {
	to   string
	mu   sync.Mutex
	mode string        // passes, refuses, hangs, or loses the answers
	came chan struct{} // one for each request, as far as somebody waits
	left map[string]int
}

func newRoad(t *testing.T, to string) (r *road, url string) {
	t.Helper()
	r = &road{to: to, mode: "passes", came: make(chan struct{}, 1), left: make(map[string]int)}
	server := httptest.NewServer(r)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return r, server.URL
}

func (r *road) set(mode string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mode = mode
}

func (r *road) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	mode := r.mode
	r.left[mode]++
	turn := r.left[mode]
	r.mu.Unlock()
	select {
	case r.came <- struct{}{}:
	default:
	}
	switch {
	case mode == "hangs":
		<-request.Context().Done()
		return
	case mode == "refuses":
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case mode == "loses every other request" && turn%2 == 0:
		panic(http.ErrAbortHandler)
	}
	onward, err := http.NewRequestWithContext(request.Context(), request.Method, r.to, bytes.NewReader(body))
	if err != nil {
		return
	}
	onward.Header = request.Header.Clone()
	answer, err := http.DefaultClient.Do(onward)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	if mode == "loses every other answer" && turn%2 == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(answer.StatusCode)
}

// betterAuth is a Better Auth server with the package, whose database also has the mirror.
type betterAuth struct {
	dir  string
	env  []string
	road *road
	pool *pgxpool.Pool
	site *sitetest.Site
}

// betterAuthPrograms is a directory with the package and the programs of the tests.
func betterAuthPrograms(t *testing.T) (dir string) {
	t.Helper()
	betterAuthTools(t)
	dir = npmtest.Workspace(t, root, npmtest.Modules)
	files, err := fs.Sub(programs, "testdata/better-auth")
	require.NoError(t, err)
	require.NoError(t, os.CopyFS(dir, files))
	return dir
}

func newBetterAuth(t *testing.T, site *sitetest.Site, dir, name string, env ...string) *betterAuth {
	t.Helper()
	pool := pgtest.Project(t)
	shop, err := site.Store.CreateProject(t.Context(), strings.ToLower(name), pgtest.URL(t, pool), false)
	require.NoError(t, err)
	_, err = site.Store.PutIntegration(t.Context(), shop.ID, provider.BetterAuth,
		map[string]json.RawMessage{"webhook_signing_secret": json.RawMessage(`"` + betterAuthSecret + `"`)},
		json.RawMessage(`{"record_types": ["users", "organizations", "sessions"]}`))
	require.NoError(t, err)
	b := &betterAuth{dir: dir, pool: pool, site: site}
	var url string
	b.road, url = newRoad(t, site.URL+"/api/capydb/v1/integrations/better-auth/webhook/"+shop.ID.String())
	b.env = append([]string{"DATABASE_URL=" + pgtest.URL(t, pool), "AUTHSYNC_WEBHOOK_URL=" + url, "AUTHSYNC_SECRET=" + betterAuthSecret}, env...)
	output(t, b.dir, b.env, "node", "migrate.mjs")
	return b
}

func (b *betterAuth) run(t *testing.T, program string, env ...string) string {
	t.Helper()
	return output(t, b.dir, append(b.env, env...), "node", program)
}

func TestBetterAuthMirror(t *testing.T) {
	t.Parallel()
	dir, site := betterAuthPrograms(t), sitetest.Start(t)
	cases := []struct {
		name, mode string
		env        []string
	}{
		{"Answers", "passes", nil},
		{"WithoutOutbox", "passes", []string{"OUTBOX=off", "MAX_WAIT=600000"}},
		{"Refuses", "refuses", nil},
		{"Hangs", "hangs", []string{"MAX_WAIT=20", "TIMEOUT=500"}},
		{"LosesRequests", "loses every other request", nil},
		{"LosesAnswers", "loses every other answer", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBetterAuth(t, site, dir, c.name, c.env...)
			b.road.set(c.mode)
			b.run(t, "act.mjs")
			b.road.set("passes")
			if c.name != "WithoutOutbox" {
				b.run(t, "flush.mjs")
			}
			b.requireEqual(t)
			require.Equal(t, "10 users, 2 organizations, 4 members, 4 invitations, 5 deleted users, 1 deleted organization", b.counts(t))
		})
	}
}

// A server that is killed while authsync hangs loses nothing: two that start afterwards send at once what it left.
func TestBetterAuthKilled(t *testing.T) {
	t.Parallel()
	b := newBetterAuth(t, sitetest.Start(t), betterAuthPrograms(t), "shop", "MAX_WAIT=600000", "TIMEOUT=600000")
	for _, requests := range []int{1, 20, 60} {
		server := exec.CommandContext(t.Context(), "node", "act.mjs")
		server.Dir, server.Env = b.dir, append(os.Environ(), b.env...)
		require.NoError(t, server.Start())
		for range requests {
			waittest.Receive(t, b.road.came)
		}
		b.road.set("hangs")
		// The server waits for the answer to this one, so that all it did before is in its tables.
		waittest.Until(t, func() bool { b.road.mu.Lock(); defer b.road.mu.Unlock(); return b.road.left["hangs"] > 0 })
		require.NoError(t, server.Process.Signal(syscall.SIGKILL))
		var killed *exec.ExitError
		require.ErrorAs(t, server.Wait(), &killed)
		b.road.set("passes")
		// The time passes in which the dead process has what it was sending for itself.
		_, err := b.pool.Exec(t.Context(), `UPDATE "authsyncOutbox" SET "claimedUntil" = now()`)
		require.NoError(t, err)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { b.run(t, "flush.mjs") })
		}
		both.Wait()
		b.requireEqual(t)
		b.clear(t)
	}
}

// clear makes room for the same actions a second time, as deletions by SQL, which no hook sees.
func (b *betterAuth) clear(t *testing.T) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), `TRUNCATE "user", organization CASCADE;
		TRUNCATE capydb_auth.users, capydb_auth.organizations, capydb_auth.memberships, capydb_auth.invitations, capydb_auth.sessions`)
	require.NoError(t, err)
	b.road.mu.Lock()
	defer b.road.mu.Unlock()
	clear(b.road.left)
}

// requireEqual requires that the mirror has the rows of Better Auth's tables, column by column, and no others that
// exist.
func (b *betterAuth) requireEqual(t *testing.T) {
	t.Helper()
	waittest.Until(t, func() bool {
		var pending int
		require.NoError(t, b.site.Control.QueryRow(t.Context(), `
			SELECT count(*) FROM authsync.events WHERE outcome = 'pending'`).Scan(&pending))
		return pending == 0
	})
	rows, err := b.pool.Query(context.WithoutCancel(t.Context()), differences)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, found)
}

// counts is what all of act.mjs leaves.
func (b *betterAuth) counts(t *testing.T) (text string) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(t.Context(), `
		SELECT format('%s users, %s organizations, %s members, %s invitations, %s deleted users, %s deleted organization',
			(SELECT count(*) FROM "user"), (SELECT count(*) FROM organization), (SELECT count(*) FROM member), (SELECT count(*) FROM invitation),
			(SELECT count(*) FROM capydb_auth.users WHERE deleted_at IS NOT NULL),
			(SELECT count(*) FROM capydb_auth.organizations WHERE deleted_at IS NOT NULL))`).Scan(&text))
	return text
}

// differences are the rows and columns in which the mirror and Better Auth's tables differ.
const differences = `
	WITH own (record, row, hidden) AS (
		SELECT 'user/' || id, to_jsonb(t), '{note}'::text[] FROM "user" AS t
		UNION ALL SELECT 'organization/' || id, to_jsonb(t), '{}' FROM organization AS t
		UNION ALL SELECT 'member/' || "organizationId" || '/' || "userId", to_jsonb(t), '{}' FROM member AS t
		UNION ALL SELECT 'invitation/' || id, to_jsonb(t), '{}' FROM invitation AS t
		UNION ALL SELECT 'session/' || id, to_jsonb(t), '{token}' FROM session AS t
	), mirror (record, raw) AS (
		SELECT 'user/' || id, raw FROM capydb_auth.users WHERE deleted_at IS NULL
		UNION ALL SELECT 'organization/' || id, raw FROM capydb_auth.organizations WHERE deleted_at IS NULL
		UNION ALL SELECT 'member/' || organization_id || '/' || user_id, raw FROM capydb_auth.memberships WHERE deleted_at IS NULL
		UNION ALL SELECT 'invitation/' || id, raw FROM capydb_auth.invitations WHERE deleted_at IS NULL
		UNION ALL SELECT 'session/' || id, raw FROM capydb_auth.sessions WHERE ended_at IS NULL
	)
	SELECT CASE WHEN own.record IS NULL THEN 'only in the mirror: ' || mirror.record
		WHEN mirror.record IS NULL THEN 'not in the mirror: ' || own.record
		ELSE own.record || ' ' || key || ': ' || value::text || ' is ' || coalesce(mirror.raw -> key, '"missing"')::text END
	FROM own FULL JOIN mirror USING (record)
	LEFT JOIN LATERAL jsonb_each(own.row) AS field ON true
	WHERE own.record IS NULL OR mirror.record IS NULL
	   OR CASE WHEN key = ANY (own.hidden) THEN mirror.raw ? key
	       WHEN key LIKE '%At' OR key = 'banExpires' THEN (value #>> '{}')::timestamptz IS DISTINCT FROM (mirror.raw ->> key)::timestamptz
	       ELSE value IS DISTINCT FROM coalesce(mirror.raw -> key, 'null') END
	ORDER BY 1`
