package docstest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/localpg"
	"github.com/authsync/authsync/internal/testkit/docstest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const root = "../../.."

// stage is what all walks share: a copy of the project as a fresh clone has it, with
// bin/authsync built in it, and a PostgreSQL.
type stage struct {
	clone    string
	postgres *localpg.Server
}

// theStage is set by TestMain's tests on first use.
var theStage = sync.OnceValues(func() (*stage, error) { //nolint:gochecknoglobals // one for all walks
	clone, err := os.MkdirTemp("", "authsync-docs-")
	if err != nil {
		return nil, err
	}
	s := &stage{clone: clone}
	if err := os.Chmod(clone, 0o755); err != nil { // PostgreSQL's account passes through
		return s, err
	}
	if err := copyTree(root, clone); err != nil {
		return s, err
	}
	build := exec.Command("make", "build")
	build.Dir, build.Env = clone, environment()
	if out, err := build.CombinedOutput(); err != nil {
		return s, &os.PathError{Op: "make build: " + string(out), Path: clone, Err: err}
	}
	s.postgres, err = localpg.Start(context.Background(), localpg.Config{Throwaway: true, TCP: true})
	return s, err
})

func TestMain(m *testing.M) {
	status := m.Run()
	if s, _ := theStage(); s != nil {
		_ = os.RemoveAll(s.clone)
		if s.postgres != nil {
			_ = s.postgres.Stop(context.Background())
		}
	}
	os.Exit(status)
}

// copyTree copies what is under version control, or could be.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case slices.Contains([]string{".git", ".bin", ".cache", ".authsync", "bin", "coverage"}, name):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), text, info.Mode().Perm())
	})
}

// environment is that of the test, without what authsync or PostgreSQL would read.
func environment(more ...string) []string {
	return append(slices.DeleteFunc(os.Environ(), func(setting string) bool {
		return strings.HasPrefix(setting, "AUTHSYNC_") || strings.HasPrefix(setting, "PG") ||
			strings.HasPrefix(setting, "DATABASE_URL=") || strings.HasPrefix(setting, "MAKE")
	}), more...)
}

// scene is where one walk takes place: a server of its own and two databases, one for
// authsync and one of the customer.
type scene struct {
	t       *testing.T
	stage   *stage
	dir     string // where the reader is
	control string
	project string
	mirror  *pgxpool.Pool // of the project database
	shell   *docstest.Shell
	url     string // of the server
	server  *docstest.Program
	printed []string          // by the commands so far
	values  map[string]string // what a reader pastes for what a page leaves open
}

// newScene makes the databases and a shell in a directory.
func newScene(t *testing.T, dir string) *scene {
	t.Helper()
	stage, err := theStage()
	require.NoError(t, err)
	if dir == "" {
		dir = t.TempDir()
		require.NoError(t, os.CopyFS(filepath.Join(dir, "docs"), os.DirFS(filepath.Join(stage.clone, "docs"))))
	}
	s := &scene{t: t, stage: stage, dir: dir, values: make(map[string]string)}
	s.control, s.project = s.database("control"), s.database("shop")
	s.mirror, err = pgxpool.New(t.Context(), s.project)
	require.NoError(t, err)
	t.Cleanup(s.mirror.Close)
	t.Cleanup(func() { s.shell.Close() })
	s.newShell()
	return s
}

// newShell opens a terminal in which nothing is set.
func (s *scene) newShell() {
	s.t.Helper()
	if s.shell != nil {
		s.shell.Close()
	}
	var err error
	s.shell, err = docstest.NewShell(s.t.Context(), s.dir, s.env())
	require.NoError(s.t, err)
}

// env has authsync in its PATH.
func (s *scene) env(more ...string) []string {
	return environment(append(more, "PATH="+filepath.Join(s.stage.clone, "bin")+":"+config.Environment()("PATH"))...)
}

// database makes a database whose owner is no superuser, and returns its URL.
func (s *scene) database(purpose string) string {
	s.t.Helper()
	name, password := purpose+"_"+strings.ToLower(rand.Text()[:10]), rand.Text()
	conn, err := pgx.Connect(s.t.Context(), s.stage.postgres.URL("postgres"))
	require.NoError(s.t, err)
	defer conn.Close(context.WithoutCancel(s.t.Context()))
	for _, statement := range []string{
		`CREATE ROLE ` + name + ` LOGIN PASSWORD '` + password + `'`,
		`CREATE DATABASE ` + name + ` OWNER ` + name,
	} {
		_, err := conn.Exec(s.t.Context(), statement)
		require.NoError(s.t, err)
	}
	return strings.Replace(s.stage.postgres.URL(name), conn.Config().User+":"+conn.Config().Password+"@", name+":"+password+"@", 1)
}

// execute runs statements in a database.
func (s *scene) execute(url, statements string) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), url)
	require.NoError(s.t, err)
	defer conn.Close(context.WithoutCancel(s.t.Context()))
	_, err = conn.PgConn().Exec(s.t.Context(), statements).ReadAll()
	require.NoError(s.t, err, "%s", statements)
}

// count asks the project database until the answer is n.
func (s *scene) count(n int, query string, args ...any) {
	s.t.Helper()
	var got int
	waittest.Until(s.t, func() bool {
		require.NoError(s.t, s.mirror.QueryRow(s.t.Context(), query, args...).Scan(&got))
		return got == n
	}, "%s: %d is wanted, the last answer is in %p", query, n, &got)
}

// serve starts `authsync serve` as the text asks for, and makes the shell its client.
func (s *scene) serve() {
	s.t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	env := s.env("DATABASE_URL="+s.control, "AUTHSYNC_ENCRYPTION_KEY="+base64.StdEncoding.EncodeToString(key),
		"AUTHSYNC_LISTEN=127.0.0.1:0", "AUTHSYNC_ALLOW_TARGETS=127.0.0.1", "AUTHSYNC_ALLOW_DATABASE_TARGETS=127.0.0.1", "AUTHSYNC_LOG_LEVEL=debug")
	s.hidden("export DATABASE_URL='" + s.control + "' AUTHSYNC_ENCRYPTION_KEY='" + base64.StdEncoding.EncodeToString(key) + "'")
	s.hidden("authsync migrate up")
	server, err := docstest.Start(s.t.Context(), s.dir, "authsync serve", env)
	require.NoError(s.t, err)
	s.server = server
	s.t.Cleanup(func() {
		server.Interrupt()
		waittest.Receive(s.t, server.Done())
		if s.t.Failed() {
			lines := strings.Split(server.Output(), "\n")
			s.t.Logf("the end of the server's log:\n%s", strings.Join(lines[max(0, len(lines)-15):], "\n"))
		}
	})
	waittest.Until(s.t, func() bool {
		select {
		case <-server.Done():
			require.FailNow(s.t, "the server ended", server.Output())
		default:
		}
		s.url = listens(server.Output())
		return s.url != ""
	})
}

// listens finds the address in the server's log.
func listens(log string) string {
	for line := range strings.Lines(log) {
		var entry struct {
			Message string `json:"msg"`
			URL     string `json:"url"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Message == "server_started" {
			return entry.URL
		}
	}
	return ""
}

// hidden runs what a page takes for granted.
func (s *scene) hidden(command string) string {
	s.t.Helper()
	out, status, err := s.shell.Run(command, "")
	require.NoError(s.t, err)
	require.Zero(s.t, status, "%s\n%s", command, out)
	return strings.TrimSpace(out)
}

// shop makes what most pages begin with: a server, a key and a project.
func (s *scene) shop() {
	s.t.Helper()
	s.serve()
	key := s.hidden("authsync keys create docs --json | jq -r .key")
	s.hidden("export AUTHSYNC_URL='" + s.url + "' AUTHSYNC_API_KEY='" + key + "'")
	out, status, err := s.shell.Run("authsync projects create shop --database-url-file - --json", s.project+"\n")
	require.NoError(s.t, err)
	require.Zero(s.t, status, out)
	s.hidden("unset DATABASE_URL AUTHSYNC_ENCRYPTION_KEY")
	s.values["the API key"] = key
}

// put sets up an integration, and returns the URL of its receiver.
func (s *scene) put(provider string, body any) string {
	s.t.Helper()
	text, err := json.Marshal(body)
	require.NoError(s.t, err)
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPut,
		s.url+"/api/capydb/v1/projects/shop/integrations/"+provider, bytes.NewReader(text))
	require.NoError(s.t, err)
	request.Header.Set("Authorization", "Bearer "+s.values["the API key"])
	request.Header.Set("Content-Type", "application/json")
	status, answer := s.do(request)
	require.Less(s.t, status, 300, answer)
	var config struct {
		Config struct {
			Receiver string `json:"webhook_receiver"`
		} `json:"config"`
	}
	require.NoError(s.t, json.Unmarshal([]byte(answer), &config))
	require.NotEmpty(s.t, config.Config.Receiver, answer)
	return config.Config.Receiver
}

// deliver posts a webhook with a bearer token, as Auth0 does.
func (s *scene) deliver(url, token, body string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(s.t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	status, answer := s.do(request)
	require.Equal(s.t, http.StatusNoContent, status, answer)
}

func (s *scene) do(request *http.Request) (status int, answer string) {
	s.t.Helper()
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return response.StatusCode, string(text)
}

// receiver is a server of the reader's that takes everything.
func (s *scene) receiver() *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	s.t.Cleanup(server.Close)
	return server
}
