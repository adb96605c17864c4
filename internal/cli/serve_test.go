package cli

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// A service manager learns when the server serves, and when it begins to stop.
func TestServeNotifiesTheServiceManager(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, manager.Close()) })
	next := func() string {
		message := make([]byte, 100)
		require.NoError(t, manager.SetReadDeadline(time.Now().Add(patience)))
		n, err := manager.Read(message)
		require.NoError(t, err)
		return string(message[:n])
	}

	env := map[string]string{
		"DATABASE_URL": pgtest.URL(t, pgtest.Empty(t)), "AUTHSYNC_ENCRYPTION_KEY": seal.NewKey(),
		"AUTHSYNC_LISTEN": "127.0.0.1:0", "AUTHSYNC_DRAIN_DELAY": "0s", "NOTIFY_SOCKET": socket,
	}
	require.Equal(t, 1, startProcess(t, env, "serve").ends(t), "its database has no schema")
	mark, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	require.NoError(t, err)
	_, err = mark.Write([]byte("it has ended"))
	require.NoError(t, errors.Join(err, mark.Close()))
	require.Equal(t, "it has ended", next(), "one that does not serve is not ready")

	env["DATABASE_URL"] = pgtest.URL(t, pgtest.Control(t))
	server := startProcess(t, env, "serve")
	require.Equal(t, "READY=1", next())
	require.NoError(t, server.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, "STOPPING=1", next())
	require.Zero(t, server.ends(t), server.err.String())
}

func TestReady(t *testing.T) {
	t.Parallel()
	b := setupEmpty(t)
	address := strings.TrimPrefix(b.app.URL(), "http://")
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)

	r := run(t.Context(), map[string]string{"AUTHSYNC_LISTEN": "0.0.0.0:" + port}, "", "ready")
	require.Zero(t, r.status, r.err)
	require.Regexp(t, `(?m)^control_database +ok$`, r.out)
	r = run(t.Context(), map[string]string{"AUTHSYNC_LISTEN": address}, "", "ready", "--json")
	require.Zero(t, r.status, r.err)
	require.Contains(t, r.out, `"ready"`)

	_, err = b.control.Exec(t.Context(), `DROP TABLE authsync.schema_migrations CASCADE`)
	require.NoError(t, err)
	r = run(t.Context(), map[string]string{"AUTHSYNC_LISTEN": address}, "", "ready")
	require.Equal(t, 1, r.status)
	require.Regexp(t, `(?m)^schema +\S+`, r.out)
	require.NotRegexp(t, `(?m)^schema +ok`, r.out)

	r = run(t.Context(), map[string]string{"AUTHSYNC_LISTEN": "127.0.0.1:1"}, "", "ready")
	require.Equal(t, 1, r.status)
	require.NotEmpty(t, r.err)
}
