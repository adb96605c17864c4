package localpg_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/localpg"
)

func TestStart(t *testing.T) {
	t.Parallel()

	t.Run("RunsInADirectoryThatItsAccountCannotReach", func(t *testing.T) {
		t.Parallel()
		closed := filepath.Join(t.TempDir(), "closed")
		require.NoError(t, os.Mkdir(closed, 0o700))
		dir := filepath.Join(closed, "postgres")
		s := start(t, localpg.Config{Dir: dir})
		require.Equal(t, "1", query(t, s, `SELECT 1::text`))
		if os.Geteuid() == 0 {
			pointer, err := os.ReadFile(filepath.Join(dir, "moved-to"))
			require.NoError(t, err)
			require.Equal(t, s.Dir(), strings.TrimSpace(string(pointer)))
		} else {
			require.Equal(t, dir, s.Dir())
		}
		pid := s.PID()
		require.NoError(t, s.Stop(t.Context()))
		again := start(t, localpg.Config{Dir: dir})
		require.Equal(t, s.Dir(), again.Dir())
		require.NotEqual(t, pid, again.PID())
	})

	if os.Geteuid() == 0 { // else nothing is moved
		t.Run("SweepsMovedDataThatNobodyCanFindAnyMore", func(t *testing.T) {
			t.Parallel()
			closed := filepath.Join(t.TempDir(), "closed")
			require.NoError(t, os.Mkdir(closed, 0o700))
			s, err := localpg.Start(t.Context(), localpg.Config{Dir: filepath.Join(closed, "postgres")})
			require.NoError(t, err)
			require.NoError(t, s.Abandon())
			require.NoError(t, os.RemoveAll(closed))
			again := filepath.Join(t.TempDir(), "again", "postgres")
			require.NoError(t, os.Mkdir(filepath.Dir(again), 0o700))
			start(t, localpg.Config{Dir: again})
			require.NoDirExists(t, s.Dir())
			<-s.Exited()
		})
	}

	t.Run("SaysWhereMovedDataShouldBe", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "moved-to"), []byte("/nowhere/at/all\n"), 0o600))
		_, err := localpg.Start(t.Context(), localpg.Config{Dir: dir})
		require.ErrorContains(t, err, "/nowhere/at/all")
	})

	t.Run("RunsWhereSocketPathsAreTooLong", func(t *testing.T) {
		t.Parallel()
		s := start(t, localpg.Config{Dir: filepath.Join(reachable(t), strings.Repeat("long/", 30))})
		require.Equal(t, "1", query(t, s, `SELECT 1::text`))
	})

	t.Run("MakesUnfinishedDataAnew", func(t *testing.T) {
		t.Parallel()
		dir := reachable(t)
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "data.new", "base"), 0o700))
		start(t, localpg.Config{Dir: dir})
		require.NoDirExists(t, filepath.Join(dir, "data.new"))
	})

	t.Run("IgnoresAProcessNumberThatIsAnothersNow", func(t *testing.T) {
		t.Parallel()
		other := start(t, localpg.Config{Throwaway: true}) // a PostgreSQL, of the same account, in another directory
		dir := reachable(t)
		s := start(t, localpg.Config{Dir: dir})
		pidFile := filepath.Join(dir, "data", "postmaster.pid")
		lines, err := os.ReadFile(pidFile)
		require.NoError(t, err)
		_, rest, _ := strings.Cut(string(lines), "\n")
		s.Kill()
		require.NoError(t, os.WriteFile(pidFile, fmt.Appendf(nil, "%d\n%s", other.PID(), rest), 0o600))
		require.NoError(t, s.Restart(t.Context()))
		require.NotZero(t, other.PID(), "the other one was let be")
		require.Equal(t, "1", query(t, other, `SELECT 1::text`))
	})

	t.Run("RefusesDataOfAnotherMajorVersion", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600))
		s, err := localpg.Start(t.Context(), localpg.Config{Dir: reachableCopy(t, dir), NoDownload: true})
		require.Nil(t, s)
		require.ErrorIs(t, err, localpg.ErrOtherMajor)
		require.ErrorContains(t, err, "is of PostgreSQL 9")
		require.ErrorContains(t, err, "install postgresql-9")
	})

	t.Run("NeedsADirectoryToKeepData", func(t *testing.T) {
		t.Parallel()
		_, err := localpg.Start(t.Context(), localpg.Config{})
		require.ErrorContains(t, err, "no directory")
	})

	t.Run("SaysIfItCannotWrite", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		_, err := localpg.Start(t.Context(), localpg.Config{Dir: filepath.Join(file, "postgres")})
		require.ErrorIs(t, err, localpg.ErrNotWritable)
		require.ErrorContains(t, err, file)
	})
}

// reachable returns a directory that the server's account can reach, so that the data is not moved.
func reachable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "authsync-localpg-test-") //nolint:usetesting // that of t.TempDir is closed to the account
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func reachableCopy(t *testing.T, from string) string {
	t.Helper()
	dir := reachable(t)
	require.NoError(t, os.CopyFS(dir, os.DirFS(from)))
	return dir
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()

	t.Run("NoUnprivilegedAccount", func(t *testing.T) {
		t.Parallel()
		err := localpg.AccountOf("no-such-account", "root")
		require.ErrorIs(t, err, localpg.ErrNoAccount)
		require.ErrorContains(t, err, "useradd")
	})

	t.Run("NoProgramsAndNoNetwork", func(t *testing.T) {
		t.Parallel()
		repository := httptest.NewServer(http.NotFoundHandler())
		defer repository.Close()
		err := localpg.Download(t.Context(), repository.URL, filepath.Join(t.TempDir(), "programs"))
		require.ErrorIs(t, err, localpg.ErrNoPrograms)
		require.ErrorContains(t, err, "apt-get install postgresql")
		require.ErrorContains(t, err, "allow the network")
	})

	for _, c := range []struct {
		name   string
		err    error
		output string
		want   error
	}{
		{"DiskFullForUs", &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, "", localpg.ErrDiskFull},
		{"QuotaUsedUp", &fs.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}, "", localpg.ErrDiskFull},
		{"DiskFullForTheServer", errors.New("exit status 1"), "FATAL:  could not write lock file: No space left on device", localpg.ErrDiskFull},
		{"NoRightForUs", &fs.PathError{Op: "mkdir", Path: "x", Err: syscall.EACCES}, "", localpg.ErrNotWritable},
		{"NoRightForTheServer", errors.New("exit status 1"), "initdb: error: could not create directory: Permission denied", localpg.ErrNotWritable},
		{"ReadOnlyFileSystem", &fs.PathError{Op: "mkdir", Path: "x", Err: syscall.EROFS}, "", localpg.ErrNotWritable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := localpg.Explain(c.err, c.output)
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, "/some/dir")
			require.ErrorContains(t, err, "AUTHSYNC_DATA_DIR")
		})
	}

	t.Run("AnythingElseIsPassedOn", func(t *testing.T) {
		t.Parallel()
		cause := errors.New("exit status 3")
		err := localpg.Explain(cause, "its last words")
		require.ErrorIs(t, err, cause)
		require.NotErrorIs(t, err, localpg.ErrDiskFull)
		require.NotErrorIs(t, err, localpg.ErrNotWritable)
		require.ErrorContains(t, err, "its last words")
	})
}

func TestThrowawayDataIsInMemoryIfThereIsRoom(t *testing.T) {
	t.Parallel()
	require.Empty(t, localpg.MemoryDirs(map[string]string{"fsync": "on"}), "a disk is asked for")
	dirs := localpg.MemoryDirs(nil)
	s := start(t, localpg.Config{Throwaway: true})
	if len(dirs) > 0 {
		require.Equal(t, dirs[0], filepath.Dir(s.Dir()))
	} else {
		require.Equal(t, filepath.Clean(os.TempDir()), filepath.Dir(s.Dir()))
	}
}
