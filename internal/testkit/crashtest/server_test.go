package crashtest

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/cli"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// programName makes this test binary behave as authsync.
const programName = "authsync"

func TestMain(m *testing.M) {
	if os.Args[0] == programName {
		os.Exit(cli.Execute())
	}
	os.Exit(m.Run())
}

// server is `authsync serve`, in a process that is killed and started again.
type server struct {
	program string // of another version; empty: this one
	env     map[string]string
	cmd     *exec.Cmd
	url     atomic.Value // string; changes with every start
}

// startLimit bounds a start, on a machine that is busy with the load.
const startLimit = waittest.Bound

// start starts the process and waits until it answers.
func (s *server) start(t *testing.T) {
	t.Helper()
	s.cmd = s.command(t, "serve")
	log, err := s.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	url := make(chan string, 1)
	go follow(log, url)
	select {
	case u, ok := <-url:
		require.True(t, ok, "the server ended instead of starting")
		s.url.Store(u)
	case <-time.After(startLimit):
		require.Fail(t, "the server does not start")
	}
}

// command makes one of authsync's commands, in the environment of the server.
func (s *server) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	program := s.program
	if program == "" {
		self, err := os.Executable()
		require.NoError(t, err)
		program = self
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Args = append([]string{programName}, args...)
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		cmd.Env = append(cmd.Env, name+"="+config.Environment()(name))
	}
	for name, value := range s.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// follow reads the log to its end and tells the URL, once it is there.
func follow(log io.Reader, url chan<- string) {
	defer close(url)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct {
			Msg string `json:"msg"`
			URL string `json:"url"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "server_started" {
			url <- line.URL
		}
	}
}

func (s *server) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Kill())
	_ = s.cmd.Wait() // "signal: killed" is what was wanted
}
