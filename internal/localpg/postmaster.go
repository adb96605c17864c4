package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postmaster is a data directory, seen through its postmaster.pid. Lines of the
// file: 1 process id, 4 port, 8 status (PostgreSQL, src/include/utils/pidfile.h).
type postmaster string

func (p postmaster) file() string { return filepath.Join(string(p), "postmaster.pid") }

func (p postmaster) lines() []string {
	text, err := os.ReadFile(p.file())
	if err != nil {
		return nil
	}
	return strings.Split(string(text), "\n")
}

func (p postmaster) ready(pid int) bool {
	lines := p.lines()
	return len(lines) >= 8 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

// pid returns the process id of the server that runs in the directory, 0 if none does.
func (p postmaster) pid() int {
	lines := p.lines()
	if len(lines) == 0 {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 || !p.isServer(pid) {
		return 0
	}
	return pid
}

// isServer reports whether process pid is the server of the directory. That the
// number is in postmaster.pid is not enough: after a crash it may belong to
// another program, and a server that ends removes the file before it is gone.
func (p postmaster) isServer(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	if exists("/proc/self") {
		cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
		if err != nil {
			return false // a zombie, or of another account: not ours
		}
		real, err := filepath.EvalSymlinks(string(p))
		return err == nil && real == cwd // PostgreSQL works in its data directory
	}
	out, err := ps("-o", "comm=", "-p", strconv.Itoa(pid))
	return err == nil && bytes.Contains(out, []byte("postgres"))
}

// stopOrphan ends a server whose starter is gone, and removes the traces of one
// that was killed. The caller holds the lock.
func (s *Server) stopOrphan(ctx context.Context) error {
	p := postmaster(filepath.Join(s.dir, "data"))
	if pid := p.pid(); pid != 0 {
		s.log.LogAttrs(ctx, slog.LevelWarn, "postgres_orphan_stopped", slog.Int("pid", pid), slog.String("dir", s.dir))
		return p.stop(ctx, pid)
	}
	// PostgreSQL would refuse to start if the number now belonged to another
	// program of its account, which in a container is likely.
	if err := os.Remove(p.file()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return explain("remove stale "+p.file(), s.dir, err, "")
	}
	return nil
}

// stop ends a server that is not a child of this process: fast, then immediate, then by force.
func (p postmaster) stop(ctx context.Context, pid int) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, 20 * time.Second}, {syscall.SIGQUIT, 5 * time.Second}, {syscall.SIGKILL, 5 * time.Second}} {
		if step.signal == syscall.SIGKILL {
			killTree(pid)
		} else if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop PostgreSQL, process %d: %w", pid, err)
		}
		for end := time.Now().Add(step.wait); time.Now().Before(end); {
			if !p.isServer(pid) {
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("stop PostgreSQL, process %d: %w", pid, ctx.Err())
			}
		}
	}
	return fmt.Errorf("stop PostgreSQL: process %d does not end", pid)
}

// StopOrphan stops the server that runs in dir although its starter is gone,
// and returns its process id. Errors: ErrNotRunning, ErrAlreadyRunning if its
// starter is alive.
func StopOrphan(ctx context.Context, dir string) (pid int, err error) {
	dir, err = existing(dir)
	if err != nil {
		return 0, err
	}
	lock, err := takeLock(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, dropLock(lock)) }()
	p := postmaster(filepath.Join(dir, "data"))
	if pid = p.pid(); pid == 0 {
		return 0, fmt.Errorf("%w: %s", ErrNotRunning, dir)
	}
	return pid, p.stop(ctx, pid)
}

// RunningURL returns the connection URL of a database of the server that runs
// in dir, whoever started it, and the server's process id. Error: ErrNotRunning.
func RunningURL(dir, database string) (url string, pid int, err error) {
	dir, err = existing(dir)
	if err != nil {
		return "", 0, err
	}
	p := postmaster(filepath.Join(dir, "data"))
	lines := p.lines()
	if pid = p.pid(); pid == 0 || len(lines) < 6 {
		return "", 0, fmt.Errorf("%w: %s", ErrNotRunning, dir)
	}
	password, err := os.ReadFile(filepath.Join(dir, "password"))
	if err != nil {
		return "", 0, fmt.Errorf("read password of PostgreSQL: %w", err)
	}
	port, err := strconv.Atoi(lines[3])
	if err != nil {
		return "", 0, fmt.Errorf("read port of PostgreSQL: %w", err)
	}
	tcp := strings.TrimSpace(lines[5]) != "" // line 6: first listen address; line 5: socket directory
	return connectionURL(tcp, lines[4], port, strings.TrimSpace(string(password)), database), pid, nil
}

func existing(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find directory %s: %w", dir, err)
	}
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	return movedTo(dir)
}

// killTree kills a server with all its processes. The server is halted first,
// else it would start new ones meanwhile; and its children have process groups
// of their own, so that the group can't be killed instead. It returns when the
// children are gone: as long as one of them holds the shared memory, a new server
// refuses to start.
func killTree(pid int) {
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	killed := children(pid)
	for _, child := range killed {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); <-tick.C {
		if killed = slices.DeleteFunc(killed, isGone); len(killed) == 0 {
			return
		}
	}
}

// isGone reports whether a process has ended. One that nobody has asked how it
// ended (a zombie) holds nothing any more.
func isGone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return errors.Is(err, os.ErrNotExist) && exists("/proc/self")
	}
	return bytes.HasPrefix(text[bytes.LastIndexByte(text, ')')+1:], []byte(" Z"))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// children lists the processes whose parent is pid.
func children(pid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	if len(stats) == 0 {
		return childrenByPS(pid)
	}
	var found []int
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		// pid (name) state ppid …; the name may contain anything.
		var state string
		var parent int
		after := text[bytes.LastIndexByte(text, ')')+1:]
		if _, err := fmt.Sscan(string(after), &state, &parent); err != nil || parent != pid {
			continue
		}
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			found = append(found, child)
		}
	}
	return found
}

// childrenByPS is for systems without /proc, such as macOS.
func childrenByPS(pid int) []int {
	out, err := ps("-A", "-o", "pid=,ppid=")
	if err != nil {
		return nil // the children notice the end of their parent and end by themselves
	}
	var found []int
	for line := range strings.Lines(string(out)) {
		var child, parent int
		if n, err := fmt.Sscan(line, &child, &parent); err == nil && n == 2 && parent == pid {
			found = append(found, child)
		}
	}
	return found
}

func ps(args ...string) ([]byte, error) {
	cmd := exec.Cmd{Path: "/bin/ps", Args: append([]string{"ps"}, args...)}
	return cmd.Output()
}
