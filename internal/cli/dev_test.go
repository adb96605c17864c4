package cli

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// patience bounds each wait for a process on a busy machine.
const patience = waittest.Bound

// process is authsync in a process of its own.
type process struct {
	cmd      *exec.Cmd
	out, err output
	done     chan struct{}
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startProcess runs this test binary as authsync, with an environment that has
// nothing in it but what is given and what finds programs.
func startProcess(t *testing.T, env map[string]string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := &process{cmd: exec.CommandContext(t.Context(), self), done: make(chan struct{})}
	p.cmd.Args = append([]string{programName}, args...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		p.cmd.Env = append(p.cmd.Env, name+"="+config.Environment()(name))
	}
	for name, value := range env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the state says it all
	}()
	return p
}

// says waits until the process has printed the text.
func (p *process) says(t *testing.T, text string) {
	t.Helper()
	for end := time.After(patience); !strings.Contains(p.out.String(), text); {
		select {
		case <-p.done:
			require.Contains(t, p.out.String(), text, "it ended: %s", p.err.String())
		case <-end:
			require.Contains(t, p.out.String(), text, "it has said so far: %s", p.err.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// ends waits for the end of the process and returns its exit status.
func (p *process) ends(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		require.Fail(t, "it does not end", p.err.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// postgres is the process id of the dev server's PostgreSQL, as it tells it.
func (p *process) postgres(t *testing.T) int {
	t.Helper()
	match := regexp.MustCompile(`PostgreSQL \S+ runs \(process (\d+)\)`).FindStringSubmatch(p.err.String())
	require.NotNil(t, match, p.err.String())
	pid, err := strconv.Atoi(match[1])
	require.NoError(t, err)
	return pid
}

// alive reports whether the process runs. One that has ended but has not been
// waited for (a zombie: its parent was killed) does not.
func alive(t *testing.T, pid int) bool {
	t.Helper()
	state, err := exec.CommandContext(t.Context(), "ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return false
	}
	require.NoError(t, err)
	return !strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
}

const greeted = "Ctrl-C stops it"

func users(t *testing.T, url string) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	var n int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM capydb_auth.users`).Scan(&n))
	return n
}

// One story, told in order: each step needs what the one before it left.
func TestDevServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data's dir")
	env := map[string]string{"AUTHSYNC_DATA_DIR": dir, "AUTHSYNC_LISTEN": "127.0.0.1:0", "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}
	t.Cleanup(func() { // as root, PostgreSQL's data lies where its account can reach it
		if moved, err := os.ReadFile(filepath.Join(dir, "postgres", "moved-to")); err == nil {
			require.NoError(t, os.RemoveAll(strings.TrimSpace(string(moved))))
		}
	})

	// The first start makes everything and shows rows.
	first := startProcess(t, env, "dev")
	first.says(t, greeted)
	for _, word := range []string{"ada.lovelace@example.com", "katherine@example.com", "mary@example.com", "/integrations/better-auth/webhook/"} {
		require.Contains(t, first.out.String(), word)
	}
	connection, err := config.ReadConnection(dir)
	require.NoError(t, err)
	require.Equal(t, 4, users(t, connection.DemoDatabaseURL.Reveal()))
	for _, file := range []string{config.ConnectionFile, config.KeyFile, "demo-secrets.env", "authsync.log"} {
		info, err := os.Stat(filepath.Join(dir, file))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
	}

	// The lines it tells to copy work in a shell that has nothing but them.
	curl := regexp.MustCompile(`(?s)  set -a; .*?"2026-01-31T12:00:00Z"}}}'`).FindString(first.out.String())
	require.NotEmpty(t, curl)
	shell := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(curl, "curl -i", "curl -s -w '%{http_code}'", 1))
	answer, err := shell.CombinedOutput()
	require.NoError(t, err, string(answer))
	require.Equal(t, "204", string(answer))
	waittest.Until(t, func() bool { return users(t, connection.DemoDatabaseURL.Reveal()) == 5 })

	// Each message is a line, accepted or not, as it comes.
	first.says(t, "auth0        user.created evt_curl_1: applied")
	refused := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(strings.Replace(curl, "curl -i", "curl -s -o /dev/null -w '%{http_code}'", 1),
		"Bearer $DEMO_AUTH0_SECRET", "Bearer wrong", 1))
	answer, err = refused.CombinedOutput()
	require.NoError(t, err, string(answer))
	require.Equal(t, "401", string(answer))
	first.says(t, "auth0        401 signature_mismatch: The request could not be verified")

	// So is one that belongs to no project: its URL is wrong.
	for path, says := range map[string]string{
		"/api/capydb/v1/integrations/auth0/webhook/shop": "404 project_unknown at /api/capydb/v1/integrations/auth0/webhook/shop: ",
		"/hooks/webhook": "404 path_unknown at /hooks/webhook: ",
	} {
		waittest.Until(t, func() bool { // one a second is shown
			require.Equal(t, http.StatusNotFound, post(t, connection.URL+path))
			return strings.Contains(first.out.String(), says)
		})
	}
	require.Contains(t, first.out.String(), "authsync integrations list PROJECT prints the right URLs")

	// The other commands find it through its directory.
	elsewhere := map[string]string{"AUTHSYNC_DATA_DIR": dir}
	r := run(t.Context(), elsewhere, "", "self-test", "demo", "clerk")
	require.Zero(t, r.status, r.out+r.err)
	r = run(t.Context(), elsewhere, "", "doctor")
	require.Zero(t, r.status, r.out+r.err)

	// What a developer runs beside it can be given as a target, here and on no other network.
	r = run(t.Context(), elsewhere, "", "integrations", "set", "demo", "better-auth", "--option", "base_url=http://localhost:3000")
	require.Zero(t, r.status, r.out+r.err)
	r = run(t.Context(), elsewhere, "", "integrations", "set", "demo", "better-auth", "--option", "base_url=https://10.0.0.5")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "let the operator add it to AUTHSYNC_ALLOW_TARGETS")

	// The address of the dashboard is true, and the key it names lets in.
	page := regexp.MustCompile(`In a browser: (\S+)`).FindStringSubmatch(first.out.String())
	require.NotNil(t, page)
	require.Contains(t, first.out.String(), "Sign in with AUTHSYNC_API_KEY of "+filepath.Join(dir, config.ConnectionFile))
	form := url.Values{"key": {connection.APIKey.Reveal()}}
	signIn, err := http.NewRequestWithContext(t.Context(), http.MethodPost, connection.URL+"/sign-in", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	signIn.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	signedIn, err := http.DefaultTransport.RoundTrip(signIn) // follows no redirect
	require.NoError(t, err)
	require.NoError(t, signedIn.Body.Close())
	require.Equal(t, http.StatusSeeOther, signedIn.StatusCode)
	require.Equal(t, page[1], connection.URL+signedIn.Header.Get("Location"))

	// A second one in the same directory, or on the same port, leaves it alone.
	second := startProcess(t, env, "dev")
	require.Equal(t, 1, second.ends(t))
	require.Contains(t, second.err.String(), "process "+strconv.Itoa(first.cmd.Process.Pid))
	require.Contains(t, second.err.String(), "AUTHSYNC_DATA_DIR")
	other := filepath.Join(t.TempDir(), "other")
	port := strings.TrimPrefix(connection.URL, "http://")
	third := startProcess(t, map[string]string{"AUTHSYNC_DATA_DIR": other, "AUTHSYNC_LISTEN": port}, "dev")
	require.Equal(t, 1, third.ends(t))
	require.Contains(t, third.err.String(), port)
	require.Contains(t, third.err.String(), "AUTHSYNC_LISTEN")
	require.NoDirExists(t, filepath.Join(other, "postgres"), "it looked at the port first")
	requireHealthy(t, connection.URL)

	// Ctrl-C stops all of it.
	database := first.postgres(t)
	require.True(t, alive(t, database))
	require.NoError(t, first.cmd.Process.Signal(os.Interrupt))
	require.Zero(t, first.ends(t), first.err.String())
	require.False(t, alive(t, database))
	r = run(t.Context(), elsewhere, "", "projects", "list")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "authsync dev")

	// The next start has everything, and sends nothing again; also when somebody
	// else has taken PostgreSQL's port meanwhile.
	place, err := url.Parse(connection.DatabaseURL.Reveal())
	require.NoError(t, err)
	squatter, err := new(net.ListenConfig).Listen(t.Context(), "tcp", place.Host)
	require.NoError(t, err)
	defer squatter.Close()
	again := startProcess(t, env, "dev")
	again.says(t, greeted)
	require.NotContains(t, again.out.String(), "ada.lovelace@example.com")
	kept, err := config.ReadConnection(dir)
	require.NoError(t, err)
	require.Equal(t, connection.DemoProjectID, kept.DemoProjectID)
	require.Equal(t, connection.APIKey, kept.APIKey)
	require.NotContains(t, kept.DatabaseURL.Reveal(), place.Host)
	require.Zero(t, run(t.Context(), elsewhere, "", "self-test", "demo", "better-auth").status)
	require.Equal(t, 5, users(t, kept.DemoDatabaseURL.Reveal()))

	// Killed, it leaves PostgreSQL behind; the next start takes care of that.
	orphan := again.postgres(t)
	require.NoError(t, again.cmd.Process.Kill())
	again.ends(t)
	require.True(t, alive(t, orphan))
	healed := startProcess(t, env, "dev")
	healed.says(t, greeted)
	require.False(t, alive(t, orphan))
	require.Zero(t, run(t.Context(), elsewhere, "", "self-test", "demo", "auth0").status)
	require.Equal(t, 5, users(t, kept.DemoDatabaseURL.Reveal()))

	// If PostgreSQL goes by itself, the server says so and ends.
	require.NoError(t, syscall.Kill(healed.postgres(t), syscall.SIGKILL))
	require.Equal(t, 1, healed.ends(t))
	require.Contains(t, healed.err.String(), "PostgreSQL ended by itself")
}

func requireHealthy(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/readyz", http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func post(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}
