package localpg_test

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/localpg"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// start starts a server and stops it with the test.
func start(t *testing.T, config localpg.Config) *localpg.Server {
	t.Helper()
	s, err := localpg.Start(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Stop(context.WithoutCancel(t.Context())))
		if s.Dir() != config.Dir { // data that was moved out of the test's directory
			require.NoError(t, os.RemoveAll(s.Dir()))
		}
	})
	return s
}

func query(t *testing.T, s *localpg.Server, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var answer string
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&answer))
	return answer
}

func execute(t *testing.T, s *localpg.Server, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

const passwordRounds = `SELECT split_part(rolpassword, ':', 1) FROM pg_authid WHERE rolname = 'postgres'`

// refusesOthers checks that the password is asked for.
func refusesOthers(t *testing.T, s *localpg.Server) {
	t.Helper()
	u, err := url.Parse(s.URL("postgres"))
	require.NoError(t, err)
	u.User = url.UserPassword("postgres", "wrong")
	_, err = pgx.Connect(t.Context(), u.String())
	require.Equal(t, "28P01", pgdb.Code(err))
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestThrowawayServer(t *testing.T) {
	t.Parallel()

	t.Run("IsGoneAfterStop", func(t *testing.T) {
		t.Parallel()
		s := start(t, localpg.Config{Throwaway: true})
		pid := s.PID()
		require.Equal(t, "off", query(t, s, `SHOW fsync`))
		require.Equal(t, "on", query(t, s, `SHOW synchronous_commit`))
		require.Empty(t, query(t, s, `SHOW listen_addresses`))
		require.Equal(t, "SCRAM-SHA-256$1", query(t, s, passwordRounds))
		refusesOthers(t, s)
		require.NoError(t, s.Stop(t.Context()))
		require.NoError(t, s.Stop(t.Context()), "a second Stop does nothing")
		require.NoDirExists(t, s.Dir())
		require.False(t, alive(pid))
		require.Zero(t, s.PID())
		require.Error(t, s.Restart(t.Context()))
	})

	t.Run("IsGoneAfterItsStarter", func(t *testing.T) {
		t.Parallel()
		s, err := localpg.Start(t.Context(), localpg.Config{Throwaway: true})
		require.NoError(t, err)
		require.NoError(t, s.Abandon())
		<-s.Exited()
		waittest.Until(t, func() bool {
			_, err := os.Stat(s.Dir())
			return os.IsNotExist(err)
		})
	})

	t.Run("TakesSettings", func(t *testing.T) {
		t.Parallel()
		s := start(t, localpg.Config{Throwaway: true, Settings: map[string]string{"work_mem": "7MB", "fsync": "on"}})
		require.Equal(t, "7MB", query(t, s, `SHOW work_mem`))
		require.Equal(t, "on", query(t, s, `SHOW fsync`))
	})

	t.Run("LeavesNothingIfItCannotStart", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(os.TempDir(), "authsync-localpg-test-"+strconv.Itoa(os.Getpid()))
		_, err := localpg.Start(t.Context(), localpg.Config{Dir: dir, Throwaway: true, Settings: map[string]string{"work_mem": "none"}})
		require.ErrorContains(t, err, `invalid value for parameter "work_mem"`, "the server's own words")
		require.NoDirExists(t, dir)
	})

	t.Run("EndsIfStartIsCancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := localpg.Start(ctx, localpg.Config{Throwaway: true})
		require.Error(t, err)
	})
}

// A durable server goes through its life in one directory: the steps depend on each other.
func TestDurableServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "postgres")
	config := localpg.Config{Dir: dir, TCP: true}
	s := start(t, config)
	config.Dir = s.Dir() // the same, unless it had to be moved
	first := s.URL("postgres")
	require.Equal(t, "on", query(t, s, `SHOW fsync`))
	require.Equal(t, "UTC", query(t, s, `SHOW timezone`))
	require.Equal(t, "UTF8", query(t, s, `SHOW server_encoding`))
	execute(t, s, `CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)`)

	// Ctrl-C at the terminal goes to a process group: the server is in another one.
	group, err := syscall.Getpgid(s.PID())
	require.NoError(t, err)
	require.NotEqual(t, syscall.Getpgrp(), group)

	// The password is asked for, by TCP and by the socket, and nobody else can read it.
	byTCP, err := url.Parse(first)
	require.NoError(t, err)
	bySocket := url.URL{
		Scheme: "postgres", Path: "/postgres", User: byTCP.User,
		RawQuery: url.Values{"host": {s.Dir()}, "port": {byTCP.Port()}}.Encode(),
	}
	for _, u := range []url.URL{*byTCP, bySocket} {
		conn, err := pgx.Connect(t.Context(), u.String())
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
		u.User = url.UserPassword("postgres", "wrong")
		_, err = pgx.Connect(t.Context(), u.String())
		require.Equal(t, "28P01", pgdb.Code(err))
	}
	info, err := os.Stat(filepath.Join(s.Dir(), "password"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.Equal(t, "SCRAM-SHA-256$4096", query(t, s, passwordRounds), "some drivers refuse fewer")

	// The directory is taken, and the error says by whom.
	_, err = localpg.Start(t.Context(), localpg.Config{Dir: dir})
	require.ErrorIs(t, err, localpg.ErrAlreadyRunning)
	require.ErrorContains(t, err, strconv.Itoa(os.Getpid()))
	_, err = localpg.StopOrphan(t.Context(), dir)
	require.ErrorIs(t, err, localpg.ErrAlreadyRunning)

	// A crash: what was committed is there afterwards, at the same URL.
	children := localpg.Children(s.PID())
	require.NotEmpty(t, children)
	execute(t, s, `INSERT INTO kept VALUES (2)`)
	exited := s.Exited()
	s.Kill()
	<-exited
	for _, pid := range children {
		waittest.Until(t, func() bool { return !running(pid) })
	}
	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, first, s.URL("postgres"))
	require.Equal(t, "2", query(t, s, `SELECT count(*)::text FROM kept`))

	// Stopped and started again by another process: same data, password, port.
	require.NoError(t, s.Stop(t.Context()))
	_, _, err = localpg.RunningURL(dir, "postgres")
	require.ErrorIs(t, err, localpg.ErrNotRunning)
	_, err = localpg.StopOrphan(t.Context(), dir)
	require.ErrorIs(t, err, localpg.ErrNotRunning)
	s = start(t, config)
	require.Equal(t, first, s.URL("postgres"))
	require.Equal(t, "2", query(t, s, `SELECT count(*)::text FROM kept`))

	// Its starter is killed: the server runs on, and the next start takes over.
	orphan := s.PID()
	require.NoError(t, s.Abandon())
	found, pid, err := localpg.RunningURL(dir, "postgres")
	require.NoError(t, err)
	require.Equal(t, orphan, pid)
	require.Equal(t, first, found)
	s = start(t, config)
	require.NotEqual(t, orphan, s.PID())
	require.Equal(t, "2", query(t, s, `SELECT count(*)::text FROM kept`))

	// An orphan can be stopped.
	require.NoError(t, s.Abandon())
	pid, err = localpg.StopOrphan(t.Context(), dir)
	require.NoError(t, err)
	<-s.Exited()
	require.False(t, running(pid))
	require.Zero(t, s.PID())

	// Its port was taken meanwhile: it takes another one.
	squatter, err := new(net.ListenConfig).Listen(t.Context(), "tcp", byTCP.Host)
	require.NoError(t, err)
	defer squatter.Close()
	s = start(t, config)
	require.NotEqual(t, first, s.URL("postgres"))
	require.Equal(t, "2", query(t, s, `SELECT count(*)::text FROM kept`))
}

// running reports whether pid is a process that has not ended; the zombie of a
// child that nobody waits for has.
func running(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

// Programs in PATH were chosen; so they win over newer ones that the system's packages installed.
func TestProgramsInPathWin(t *testing.T) {
	chosen := t.TempDir()
	for name, version := range map[string]string{"postgres": "postgres (PostgreSQL) 15.99", "initdb": "", "pg_dump": ""} {
		require.NoError(t, os.WriteFile(filepath.Join(chosen, name), []byte("#!/bin/sh\necho '"+version+"'\n"), 0o700))
	}
	t.Setenv("PATH", chosen+":/usr/bin:/bin")
	dir, err := localpg.ProgramDir(t.Context(), "pg_dump")
	require.NoError(t, err)
	require.Equal(t, chosen, dir)
	_, err = localpg.ProgramDir(t.Context(), "no_such_program")
	require.ErrorIs(t, err, localpg.ErrNoPrograms)
	require.ErrorContains(t, err, "no_such_program")
}
