package docstest

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Shell is the terminal of a reader: what one command sets, the next one has.
type Shell struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
	dir   string
}

// NewShell starts bash in a directory.
func NewShell(ctx context.Context, dir string, env []string) (*Shell, error) {
	s := &Shell{cmd: exec.CommandContext(ctx, "bash", "--noprofile", "--norc"), dir: dir}
	s.cmd.Dir, s.cmd.Env = dir, env
	s.cmd.Cancel = func() error { return syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) }
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start bash: %w", err)
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start bash: %w", err)
	}
	s.cmd.Stderr = s.cmd.Stdout
	s.stdin, s.out = stdin, bufio.NewReader(stdout)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start bash: %w", err)
	}
	return s, nil
}

// Run runs a command with input, and returns what it printed and its exit status.
func (s *Shell) Run(command, input string) (output string, status int, err error) {
	typed := filepath.Join(s.dir, "typed-"+rand.Text()[:8])
	if err := os.WriteFile(typed, []byte(input), 0o600); err != nil {
		return "", 0, fmt.Errorf("run %s: %w", command, err)
	}
	defer os.Remove(typed)
	end := "end of command " + rand.Text()
	if _, err := fmt.Fprintf(s.stdin, "{ %s\n} 2>&1 <'%s'\necho \"\n%s $?\"\n", command, typed, end); err != nil {
		return "", 0, fmt.Errorf("run %s: %w", command, err)
	}
	var text strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if rest, ended := strings.CutPrefix(line, end+" "); ended {
			status, err := strconv.Atoi(strings.TrimSpace(rest))
			return strings.TrimSuffix(text.String(), "\n"), status, err
		}
		text.WriteString(line)
		if err != nil {
			return text.String(), 0, fmt.Errorf("run %s: bash ended: %w", command, err)
		}
	}
}

// Close ends the shell and what it started.
func (s *Shell) Close() {
	_ = s.stdin.Close()
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // most often nobody is left
	_ = s.cmd.Wait()
}

// Complete reports whether a text is a whole command to bash.
func Complete(ctx context.Context) func(string) bool {
	return func(text string) bool {
		return exec.CommandContext(ctx, "bash", "-n", "-c", text).Run() == nil
	}
}

// Program is one that runs beside the shell.
type Program struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	text strings.Builder
}

// Start starts a program by a command of the shell's language.
func Start(ctx context.Context, dir, command string, env []string) (*Program, error) {
	p := &Program{cmd: exec.CommandContext(ctx, "bash", "-c", "exec "+command), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = dir, env, p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // what it printed says why it ended
	}()
	return p, nil
}

func (p *Program) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(text)
}

// Output is what it has printed so far.
func (p *Program) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// Done is closed when it has ended.
func (p *Program) Done() <-chan struct{} { return p.done }

// Interrupt is a Ctrl-C: it reaches all of the process group.
func (p *Program) Interrupt() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT) }

// Succeeded reports whether it has ended with exit status 0.
func (p *Program) Succeeded() bool {
	select {
	case <-p.done:
		return p.cmd.ProcessState.Success()
	default:
		return false
	}
}
