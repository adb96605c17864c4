package localpg

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// watchdog is a shell that waits for the end of this process, which closes its
// standard input, then stops the server and removes its files. It is how a
// throw-away server can't be left behind by a test that panics or is killed.
type watchdog struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

const watchdogScript = `
read -r dismissed && exit 0
if read -r pid <"$1/data/postmaster.pid"; then
	if [ ! -d /proc/self ] || [ "$(readlink "/proc/$pid/cwd")" = "$1/data" ]; then kill -QUIT "$pid"; fi
fi
for try in 1 2 3 4 5 6 7 8 9 10; do # the server may still be writing
	rm -rf "$1"
	[ -e "$1" ] || exit 0
	sleep 0.5
done
`

func startWatchdog(dir string) (*watchdog, error) {
	cmd := &exec.Cmd{
		Path:        "/bin/sh",
		Args:        []string{"sh", "-c", watchdogScript, "sh", dir},
		Dir:         "/",
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start watchdog of PostgreSQL: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start watchdog of PostgreSQL: %w", err)
	}
	return &watchdog{cmd: cmd, stdin: stdin}, nil
}

func (w *watchdog) dismiss() error {
	_, err := io.WriteString(w.stdin, "dismissed\n")
	return errors.Join(err, w.stdin.Close(), w.cmd.Wait())
}
