package localpg

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account is whom the server programs run as when this process is root.
type account struct {
	name     string
	uid, gid uint32
}

// unprivileged returns the account for the server programs; nil means the
// account of this process, which is not root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // no other account is needed, which is no error
	}
	return accountOf("postgres", "nobody")
}

// accountOf returns the first of the named accounts that exists and is not root.
func accountOf(names ...string) (*account, error) {
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, ErrNoAccount
}

// command makes a command that runs as the account, in dir, in a process group
// of its own and with next to no environment: PGDATA, PGOPTIONS and the like
// of a user must not reach this server.
func (a *account) command(ctx context.Context, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/local/bin:/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return cmd
}

// own gives a file or directory to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Lchown(path, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("give %s to account %s: %w", path, a.name, err)
	}
	return nil
}

// reaches reports whether the account can enter dir: all directories above
// must let it pass. The kernel is asked, by a program that starts there.
func (a *account) reaches(ctx context.Context, dir string) bool {
	if a == nil {
		return true
	}
	return a.command(ctx, dir, "/bin/sh", "-c", ":").Run() == nil
}
