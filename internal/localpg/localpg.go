// Package localpg runs a private PostgreSQL server: for `authsync dev`, which
// keeps its data, and for tests, which throw it away. It is no station of a
// webhook's road; it lays the ground under inbox and mirror where nobody has
// set up a database.
//
// # Whose server is it
//
// The server is a child process in a process group of its own, so that a Ctrl-C
// at the terminal reaches authsync alone, which then stops the server in order.
// Two things tell who uses a directory:
//
//   - the file "lock", locked (flock) by the process that started the server,
//     for as long as that process lives. A second Start gets ErrAlreadyRunning.
//   - PostgreSQL's own postmaster.pid.
//
// If the starter was killed, its lock is gone while the server runs on: an
// orphan. Nothing is lost by that, its connections stay usable. The next Start
// in the directory stops the orphan and starts a server of its own, with the
// same password and, if it is still free, the same port; Stop at any time with
// StopOrphan. A server that was killed recovers by itself from its write-ahead
// log when it starts again. A throw-away server has a watchdog besides, which
// stops it and removes its data as soon as its starter is gone.
//
// # Root
//
// PostgreSQL refuses to run as root. There its programs run as the account
// "postgres", else "nobody", which owns the data. If that account can't reach
// the directory (a checkout below /root, whose mode is 0700), the data is put
// into a directory of its own in /var/lib/authsync (in the temporary directory
// if Dir lies in it) and the file "moved-to" in Dir says where.
//
// Windows is not supported.
package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	superuser  = "postgres"
	socketPort = 5432 // names the socket file; no TCP port is taken
)

// Config says what kind of server Start starts.
type Config struct {
	// Dir holds everything of the server: data, password, log. It is made if it
	// does not exist. Required, except for a throw-away server, for which a
	// directory is made: in memory if there is room and Settings say nothing of
	// fsync, else in the temporary directory.
	Dir string
	// Throwaway is for tests: fsync is off, and Stop removes Dir. So does the
	// end of this process, however it ends.
	Throwaway bool
	// TCP makes the server listen on a free port of 127.0.0.1 beside its Unix
	// socket; the port stays the same from start to start if it can.
	TCP bool
	// Settings are PostgreSQL parameters, such as shared_buffers. They win over
	// those that Start sets.
	Settings map[string]string
	// ProgramsDir is where server programs are downloaded to when none are
	// installed; empty: a cache directory of the user.
	ProgramsDir string
	// NoDownload makes missing server programs an error at once.
	NoDownload bool
	// Timeout bounds initdb and the start, each; 0: 60 s. Recovery after a crash counts.
	Timeout time.Duration
	// repository is where programs are downloaded from; empty: the library's, Maven Central.
	repository string
	// Logger hears about downloads, orphans and moved data; nil: nobody does.
	Logger *slog.Logger
}

// Server is a running server, or one that was stopped or killed and can be
// started again. Its methods may be called from several goroutines.
type Server struct {
	config    Config
	log       *slog.Logger
	account   *account
	programs  programs
	dir       string
	lock      *os.File
	socketDir string
	password  string
	watchdog  *watchdog

	mu     sync.Mutex
	port   int
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts a server and returns when it takes connections. The first start
// in a directory makes the data. Cancelling ctx later does not stop the server.
//
// Errors: ErrAlreadyRunning, ErrNoPrograms, ErrOtherMajor, ErrNoAccount,
// ErrNotWritable, ErrDiskFull, each with what to do; else an error with the last
// lines of the server's log.
func Start(ctx context.Context, config Config) (_ *Server, err error) {
	if config.Timeout <= 0 {
		config.Timeout = time.Minute
	}
	if config.Logger == nil {
		config.Logger = discard()
	}
	s := &Server{config: config, log: config.Logger}
	if s.account, err = unprivileged(); err != nil {
		return nil, err
	}
	if s.dir, err = s.place(ctx); err != nil {
		return nil, err
	}
	if s.lock, err = takeLock(s.dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	if s.programs, err = s.findPrograms(ctx); err != nil {
		return nil, err
	}
	if config.Throwaway {
		if s.watchdog, err = startWatchdog(s.dir); err != nil {
			return nil, err
		}
	}
	if err := s.initData(ctx); err != nil {
		return nil, err
	}
	if s.socketDir, err = s.makeSocketDir(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// URL returns the connection URL of a database of the server, as superuser: by
// TCP if the server listens there, else by the Unix socket. It stays right
// after Restart. It contains the password.
func (s *Server) URL(database string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return connectionURL(s.config.TCP, s.socketDir, s.port, s.password, database)
}

func connectionURL(tcp bool, socketDir string, port int, password, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(superuser, password), Path: "/" + database}
	if tcp {
		u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		u.RawQuery = "sslmode=disable"
		return u.String()
	}
	u.RawQuery = url.Values{"host": {socketDir}, "port": {strconv.Itoa(port)}}.Encode()
	return u.String()
}

// PID returns the process id of the server, 0 if it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return 0
	}
	return s.cmd.Process.Pid
}

// Dir returns where the server's files are, which is not Config.Dir if they had to be moved.
func (s *Server) Dir() string { return s.dir }

// LogFile returns the path of the server's log.
func (s *Server) LogFile() string { return filepath.Join(s.dir, "server.log") }

// Exited is closed when the server process has ended, by Stop or by itself.
// After Restart, call it anew.
func (s *Server) Exited() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exited
}

// Stop shuts the server down: fast first (clients are disconnected, data is
// written), after 20 seconds or when ctx ends immediately (the next start
// recovers). Either way nothing committed is lost. Stop gives the directory
// free; the data of a throw-away server is removed. Stopping twice is fine.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutDown(ctx)
	return s.release()
}

func (s *Server) shutDown(ctx context.Context) {
	if !s.running() {
		return
	}
	fast := time.NewTimer(20 * time.Second)
	defer fast.Stop()
	_ = s.cmd.Process.Signal(syscall.SIGINT) // fails only if it has just ended
	select {
	case <-s.exited:
		return
	case <-ctx.Done():
	case <-fast.C:
	}
	immediate := time.NewTimer(5 * time.Second)
	defer immediate.Stop()
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-s.exited:
	case <-immediate.C:
		s.kill()
	}
}

// Kill ends the server and all its processes by SIGKILL, as a crash of the
// machine would, and returns when they are gone. Restart starts it again.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
}

func (s *Server) kill() {
	if !s.running() {
		return
	}
	killTree(s.cmd.Process.Pid)
	<-s.exited
}

// Restart starts the server again after Kill, or stops it in order and starts
// it. URL stays the same, unless somebody took the TCP port meanwhile.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return errors.New("restart PostgreSQL: it was stopped, which gave its directory free; call Start")
	}
	s.shutDown(ctx)
	return s.run(ctx)
}

func (s *Server) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// release gives back what Start took. The server must have ended.
func (s *Server) release() error {
	var errs []error
	if s.socketDir != "" && s.socketDir != s.dir {
		errs = append(errs, os.RemoveAll(s.socketDir))
	}
	if s.config.Throwaway && s.lock != nil {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	if s.watchdog != nil {
		errs = append(errs, s.watchdog.dismiss())
		s.watchdog = nil
	}
	if s.lock != nil {
		errs = append(errs, dropLock(s.lock))
		s.lock = nil
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up after PostgreSQL: %w", err)
	}
	return nil
}

// settings returns the parameters of the server, sorted, so that a start is repeatable.
func (s *Server) settings() []string {
	set := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": `"` + s.socketDir + `"`,
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"logging_collector":       "off",
	}
	if s.config.TCP {
		set["listen_addresses"] = "127.0.0.1"
	}
	if s.config.Throwaway {
		// synchronous_commit stays on: tests kill the server and look for what was committed.
		set["fsync"] = "off"
		set["full_page_writes"] = "off"
		set["max_connections"] = "500"
		set["shared_buffers"] = "64MB"
		set["max_wal_size"] = "512MB"
	}
	maps.Copy(set, s.config.Settings)
	args := make([]string, 0, 2*len(set))
	for _, name := range slices.Sorted(maps.Keys(set)) {
		args = append(args, "-c", name+"="+set[name])
	}
	return args
}
