package localpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	pointerFile = "moved-to"          // in Config.Dir
	originFile  = "moved-from"        // in the directory that it was moved to
	stateDir    = "/var/lib/authsync" // root only
)

// place returns the directory for the server's files, which exists, belongs to
// the server's account and can be reached by it.
func (s *Server) place(ctx context.Context) (string, error) {
	if s.config.Throwaway && s.config.Dir == "" {
		return s.makeDir(ctx, append(s.memoryDirs(), os.TempDir(), "/tmp", "/var/tmp")...)
	}
	if s.config.Dir == "" {
		return "", errors.New("start PostgreSQL: no directory was given")
	}
	dir, err := filepath.Abs(s.config.Dir)
	if err != nil {
		return "", fmt.Errorf("find directory %s: %w", s.config.Dir, err)
	}
	// Others may pass through what is made above the directory, not look into it itself.
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", explain("make directory for PostgreSQL", dir, err, "")
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", explain("make directory for PostgreSQL", dir, err, "")
	}
	if moved, err := movedTo(dir); err != nil || moved != dir {
		return moved, err
	}
	// Data that is there already has its owner; a new directory gets one.
	if _, err := os.Stat(filepath.Join(dir, "data")); errors.Is(err, fs.ErrNotExist) {
		if err := s.account.own(dir); err != nil {
			return "", explain("prepare directory for PostgreSQL", dir, err, "")
		}
	}
	if s.account.reaches(ctx, dir) {
		return dir, nil
	}
	return s.move(ctx, dir)
}

// memoryDirs returns the directory of a file system in memory if a throw-away server may live
// there: nobody asked it to write to a disk (Settings), or chose a directory (TMPDIR), and
// there is room. Hundreds of databases that come and go cost most of their time in a file
// system that keeps them.
func (s *Server) memoryDirs() []string {
	const dir, room = "/dev/shm", 4 << 30
	if s.config.Settings["fsync"] != "" || os.TempDir() != "/tmp" {
		return nil
	}
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil || float64(stat.Bavail)*float64(stat.Bsize) < room { // the types differ by system
		return nil
	}
	if availableMemory() < 2*room {
		return nil
	}
	return []string{dir}
}

// availableMemory returns how many bytes of memory programs can still get, 0 if that is not known.
func availableMemory() uint64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kilobytes uint64
		if n, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kilobytes); err == nil && n == 1 {
			return kilobytes << 10
		}
	}
	return 0
}

// move makes a directory for what should be in dir, and notes in each where the other one is.
func (s *Server) move(ctx context.Context, dir string) (string, error) {
	bases := []string{stateDir, os.TempDir(), "/tmp"}
	if temp, err := filepath.Rel(os.TempDir(), dir); err == nil && filepath.IsLocal(temp) {
		bases = bases[1:] // what was meant to be temporary stays so
		s.sweep(ctx, os.TempDir())
	}
	moved, err := s.makeDir(ctx, bases...)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(moved, originFile), []byte(dir+"\n"), 0o600); err != nil {
		return "", explain("note where the data of PostgreSQL comes from", moved, err, "")
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "postgres_data_moved",
		slog.String("from", dir), slog.String("to", moved), slog.String("account", s.account.name))
	if err := os.WriteFile(filepath.Join(dir, pointerFile), []byte(moved+"\n"), 0o600); err != nil {
		return "", explain("note where the data of PostgreSQL is", dir, err, "")
	}
	return moved, nil
}

// sweep removes moved data from a temporary directory if the directory it was
// moved from is gone: tests leave such, and nobody can find it any more.
func (s *Server) sweep(ctx context.Context, base string) {
	origins, _ := filepath.Glob(filepath.Join(base, "authsync-pg-*", originFile)) // fails if base is no pattern
	for _, file := range origins {
		moved := filepath.Dir(file)
		origin, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if _, err := os.Stat(strings.TrimSpace(string(origin))); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		lock, err := takeLock(moved)
		if err != nil {
			continue // in use
		}
		p := postmaster(filepath.Join(moved, "data"))
		if pid := p.pid(); pid == 0 || p.stop(ctx, pid) == nil {
			s.log.LogAttrs(ctx, slog.LevelInfo, "postgres_data_swept",
				slog.String("dir", moved), slog.Any("error", os.RemoveAll(moved)))
		}
		_ = dropLock(lock) // its file is gone
	}
}

// makeDir makes a new directory in the first base in which the account can use one.
func (s *Server) makeDir(ctx context.Context, bases ...string) (string, error) {
	var errs []error
	for _, base := range bases {
		if base == stateDir {
			if err := os.MkdirAll(base, 0o755); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		dir, err := os.MkdirTemp(base, "authsync-pg-")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := s.account.own(dir); err != nil {
			errs = append(errs, err, os.Remove(dir))
			continue
		}
		if s.account.reaches(ctx, dir) {
			return dir, nil
		}
		errs = append(errs, fmt.Errorf("account %s can't enter %s", s.account.name, dir), os.Remove(dir))
	}
	return "", explain("make directory for PostgreSQL", strings.Join(bases, " or "), errors.Join(errs...), "")
}

// movedTo follows the pointer file of dir, if there is one.
func movedTo(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, pointerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return dir, nil
	}
	if err != nil {
		return "", explain("find the data of PostgreSQL", dir, err, "")
	}
	moved := strings.TrimSpace(string(text))
	if _, err := os.Stat(moved); err != nil {
		return "", fmt.Errorf("%s says that the data of PostgreSQL is in %s, but: %w; bring it back, or remove %s to begin anew",
			filepath.Join(dir, pointerFile), moved, err, dir)
	}
	return moved, nil
}

// takeLock marks dir as in use by this process, until the file is closed or the process ends.
func takeLock(dir string) (*os.File, error) {
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, explain("lock directory of PostgreSQL", dir, err, "")
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(name)
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held by process %s; stop that one, or use another directory (AUTHSYNC_DATA_DIR)",
				ErrAlreadyRunning, dir, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(explain("lock directory of PostgreSQL", dir, err, ""), f.Close())
	}
	return f, nil
}

// dropLock gives back what takeLock took. Closing alone would leave the lock to a
// child process that is just being started and has not yet closed its copy.
func dropLock(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// makeSocketDir returns a directory for the Unix socket: that of the server, or,
// as the path of a socket may have no more than 103 bytes (macOS; Linux: 107), a
// short one in /tmp.
func (s *Server) makeSocketDir() (string, error) {
	const file = "/.s.PGSQL.65535.lock"
	if len(s.dir)+len(file) <= 103 && !strings.ContainsAny(s.dir, `"\`) {
		return s.dir, nil
	}
	dir, err := os.MkdirTemp("/tmp", "authsync-pg-")
	if err != nil {
		return "", explain("make directory for the socket of PostgreSQL", "/tmp", err, "")
	}
	return dir, s.account.own(dir)
}

// readOrMake returns the content of a private file of the server, which is made
// with content on first use.
func readOrMake(name, content string) (string, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return content, os.WriteFile(name, []byte(content), 0o600)
	}
	return strings.TrimSpace(string(text)), err
}

func newPassword() string { return rand.Text() }
