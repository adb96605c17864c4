package localpg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Errors of Start. Their texts, and those around them, say what to do.
var (
	ErrAlreadyRunning = errors.New("the PostgreSQL of this directory is in use by another authsync")
	ErrNotRunning     = errors.New("no PostgreSQL runs in this directory")
	ErrNoPrograms     = errors.New("no PostgreSQL server programs (15 or newer) were found")
	ErrOtherMajor     = errors.New("the data was made by another major version of PostgreSQL")
	ErrNoAccount      = errors.New("PostgreSQL refuses to run as root, and there is no account \"postgres\" or \"nobody\" to run it as; " +
		"make one (useradd --system postgres) or run authsync as another user")
	ErrNotWritable = errors.New("the directory can't be written to")
	ErrDiskFull    = errors.New("no space is left on the disk")
)

// explain puts err, and what a program or the server printed, into the class
// that a person can act on. output must not contain secrets.
func explain(doing, dir string, err error, output string) error {
	output = strings.TrimSpace(output)
	detail := ""
	if output != "" {
		detail = "\n" + output
	}
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(output, "No space left on device") || strings.Contains(output, "Disk quota exceeded"):
		return fmt.Errorf("%s: %w: free some in %s, or use another directory (AUTHSYNC_DATA_DIR)%s", doing, ErrDiskFull, dir, detail)
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOTDIR) ||
		strings.Contains(output, "Permission denied") || strings.Contains(output, "Read-only file system"):
		return fmt.Errorf("%s: %w: give this user the right to write to %s, or use another directory (AUTHSYNC_DATA_DIR): %w%s",
			doing, ErrNotWritable, dir, err, detail)
	default:
		return fmt.Errorf("%s: %w%s", doing, err, detail)
	}
}

// tail returns the last lines of what was written to a file from offset on.
func tail(file string, offset int64) string {
	const lines, size = 15, 8 << 10
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	offset = max(offset, info.Size()-size)
	buf := make([]byte, max(0, info.Size()-offset))
	n, err := f.ReadAt(buf, offset)
	if err != nil && n == 0 {
		return ""
	}
	all := strings.Split(strings.TrimSpace(string(buf[:n])), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
