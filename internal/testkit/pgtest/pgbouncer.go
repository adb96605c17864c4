package pgtest

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

// pgBouncer is the configuration of a pooler as hosts run it: a server connection for each transaction, and each
// parameter refused that it does not keep apart for each client.
const pgBouncer = `[databases]
* = host=%s port=%d user=%s password='%s'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 30
max_client_conn = 300
ignore_startup_parameters =
`

// PgBouncer starts a PgBouncer in transaction mode before the tests' server, and returns the URL behind
// it of a database. It reports false where the program is not installed, unless REQUIRE_SQL_TOOLS=1, as in CI.
func PgBouncer(tb testing.TB) (through func(databaseURL string) string, installed bool) {
	tb.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/pgbouncer") // which is in root's PATH alone
	}
	if err != nil {
		require.Empty(tb, os.Getenv("REQUIRE_SQL_TOOLS"), "pgbouncer is not installed")
		tb.Log("pgbouncer is not installed: not checked")
		return nil, false
	}
	server, err := pgx.ParseConfig(serverURL(tb))
	require.NoError(tb, err)
	var port int
	waittest.Until(tb, func() bool { // the port was free a moment ago
		port = freePort(tb)
		return runPgBouncer(tb, program, fmt.Sprintf(pgBouncer, server.Host, server.Port, server.User, server.Password, port), port)
	})
	return func(databaseURL string) string {
		config, err := pgx.ParseConfig(databaseURL)
		require.NoError(tb, err)
		u := url.URL{
			Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
			Path: "/" + config.Database, RawQuery: "sslmode=disable",
		}
		return u.String()
	}, true
}

func freePort(tb testing.TB) int {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	require.NoError(tb, err)
	defer func() { require.NoError(tb, listener.Close()) }()
	address, _ := listener.Addr().(*net.TCPAddr)
	return address.Port
}

// untilStdinCloses runs a program that ends with this process, however it ends.
const untilStdinCloses = `exec 3<&0; "$@" </dev/null >/dev/null 2>&1 & pid=$!
{ cat <&3; kill -KILL $pid; } >/dev/null 2>&1 &
wait $pid`

// runPgBouncer reports whether it answers; it stops with the test.
func runPgBouncer(tb testing.TB, program, config string, port int) bool {
	tb.Helper()
	dir := tb.TempDir()
	file := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(tb, os.WriteFile(file, []byte(config), 0o600))
	args := []string{"-c", untilStdinCloses, "sh", program, "--quiet", file}
	if os.Getuid() == 0 {
		args = append(args, "--user=nobody")
	}
	cmd := exec.Command("sh", args...) //nolint:noctx // it is stopped by the cleanup
	stdin, err := cmd.StdinPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tb.Cleanup(func() {
		_ = stdin.Close() // it may have ended
		<-ended           //nolint:errcheck // it was killed
	})
	answers := false
	waittest.Until(tb, func() bool {
		select {
		case err := <-ended:
			ended <- err
			return true
		default:
		}
		conn, err := pgconn.Connect(tb.Context(), fmt.Sprintf("postgres://nobody@127.0.0.1:%d/postgres?sslmode=disable", port))
		if err == nil {
			answers = true
			_ = conn.Close(tb.Context())
		}
		return answers
	})
	return answers
}
