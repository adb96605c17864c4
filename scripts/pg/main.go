// Command pg runs the PostgreSQL of development: one that stays, for make db/up,
// db/psql and db/down, and a throw-away one around a command, for make test.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/authsync/authsync/internal/localpg"
)

const usage = `usage:
  pg with COMMAND…    run COMMAND with TEST_DATABASE_URL of a throw-away server
  pg up               start the server that stays
  pg url [DATABASE]   print its connection URL
  pg psql [DATABASE]  open psql on it
  pg down             stop it; its data stays`

// dir holds the data of the server that stays, below the project's root.
const dir = ".cache/postgres"

func main() {
	err := run(context.Background(), os.Stdout, os.Args[1:])
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(max(1, exit.ExitCode())) // the command has said why
	case err != nil:
		fmt.Fprintln(os.Stderr, "pg:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	database := "postgres"
	if len(args) > 1 {
		database = args[1]
	}
	switch args[0] {
	case "with":
		return with(ctx, args[1:])
	case "up":
		return up(ctx, out)
	case "url":
		url, _, err := localpg.RunningURL(dir, database)
		if err != nil {
			return fmt.Errorf("%w; start it with make db/up", err)
		}
		_, err = fmt.Fprintln(out, url)
		return err
	case "psql":
		return psql(ctx, database)
	case "down":
		pid, err := localpg.StopOrphan(ctx, dir)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "PostgreSQL (process %d) is stopped; its data stays in %s.\n", pid, dir)
		return err
	default:
		return fmt.Errorf("unknown command %q\n%s", args[0], usage)
	}
}

// with runs a command while a throw-away server runs. A Ctrl-C reaches the
// command, which ends; then the server is stopped.
func with(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT, syscall.SIGTERM)
	server, err := localpg.Start(ctx, localpg.Config{Throwaway: true, TCP: true})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(cmd.Environ(), "TEST_DATABASE_URL="+server.URL("postgres"))
	return errors.Join(cmd.Run(), server.Stop(ctx))
}

// up starts the server and leaves it behind: down finds it by its directory.
func up(ctx context.Context, out io.Writer) error {
	url, pid, err := localpg.RunningURL(dir, "postgres")
	if errors.Is(err, localpg.ErrNotRunning) {
		var server *localpg.Server
		server, err = localpg.Start(ctx, localpg.Config{
			Dir: dir, TCP: true,
			Settings: map[string]string{
				"fsync": "off", "full_page_writes": "off", "max_connections": "500", "max_wal_size": "512MB",
			},
		})
		if err == nil {
			url, pid = server.URL("postgres"), server.PID()
		}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "PostgreSQL runs (process %d). make test uses it; for go test:\n  export TEST_DATABASE_URL='%s'\n", pid, url)
	return err
}

func psql(ctx context.Context, database string) error {
	url, _, err := localpg.RunningURL(dir, database)
	if err != nil {
		return fmt.Errorf("%w; start it with make db/up", err)
	}
	program := "psql"
	if programs, err := localpg.ProgramDir(ctx, "psql"); err == nil {
		if path := filepath.Join(programs, "psql"); exec.CommandContext(ctx, path, "--version").Run() == nil {
			program = path
		}
	}
	cmd := exec.CommandContext(ctx, program, url)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
