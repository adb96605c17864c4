package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/localpg"
	"github.com/authsync/authsync/internal/pasted"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/seal"
)

const (
	devDatabase = "authsync"
	devKeyName  = "authsync dev"
)

// Dev is a server for trying things out and for development, without any configuration. Everything
// is stored in the data directory:
//
//	postgres/         the databases (or "moved-to", which names their location)
//	encryption.key    encrypts the credentials in them
//	connection.env    what shells and commands need to connect
//	demo-secrets.env  the signing secrets of the demo project
//	demo-provider.json  the users of the demo provider, if enabled
//	authsync.log      the log of the last run (the one before: authsync.log.1)
//	lock              held while the server runs
type Dev struct {
	App        *App
	Dir        string
	Connection config.Connection
	Demo       project.Project
	// DemoProvider is the address of the demo provider; empty if it is not running.
	DemoProvider string
	// Postgres is the version of the running PostgreSQL, such as "15.18".
	Postgres string

	follower *follower
	progress func(string)
	terminal *terminal
	log      *slog.Logger
	server   *localpg.Server
	steps    steps
}

// DevConfig configures a Dev.
type DevConfig struct {
	Config config.Config // DATABASE_URL and AUTHSYNC_ENCRYPTION_KEY are ignored
	// DemoProvider starts the demo provider, now and on each later start.
	DemoProvider bool
	// Progress receives progress messages for a person, line by line.
	Progress func(line string)
	// Warnings receives the log lines that a person should see immediately.
	Warnings io.Writer
}

// StartDev starts the server and returns when it serves requests. Checks without side effects come
// first: directory in use, port taken. On an error it stops everything that it started.
func StartDev(ctx context.Context, c DevConfig) (_ *Dev, err error) {
	dir, err := filepath.Abs(c.Config.DataDir)
	if err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	quiet := slog.New(slog.DiscardHandler) // until the log file is there
	d := &Dev{Dir: dir, follower: newFollower(), terminal: newTerminal(c.Warnings), progress: c.Progress, log: quiet, steps: steps{log: quiet}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Stop(context.WithoutCancel(ctx)))
		}
	}()

	var listener net.Listener
	for _, s := range []struct {
		name  string
		start func(context.Context) (stopFunc, error)
	}{
		{"data directory", d.takeDir},
		{"log", func(context.Context) (stopFunc, error) { return d.openLog(c.Config) }},
		{"address", func(ctx context.Context) (_ stopFunc, err error) {
			listener, err = Listen(ctx, c.Config.Listen)
			return nil, err
		}},
		{"PostgreSQL", d.startPostgres},
		{"control database", func(ctx context.Context) (stopFunc, error) { return nil, d.prepare(ctx) }},
		{"server", func(ctx context.Context) (stopFunc, error) { return d.startApp(ctx, c, listener) }},
		{"demo project", func(ctx context.Context) (stopFunc, error) { return nil, d.settle(ctx) }},
		{"demo provider", func(ctx context.Context) (stopFunc, error) { return d.startDemoProvider(ctx, c.DemoProvider) }},
	} {
		if err := d.steps.start(ctx, s.name, s.start); err != nil {
			if listener != nil && d.App == nil {
				err = errors.Join(err, listener.Close())
			}
			return nil, err
		}
	}
	return d, nil
}

// Stop stops everything in reverse order, PostgreSQL last. If ctx ends before that, nothing
// acknowledged is lost.
func (d *Dev) Stop(ctx context.Context) error {
	d.terminal.close()
	return d.steps.stop(ctx)
}

// Failed receives an error if the server or PostgreSQL ends by itself.
func (d *Dev) Failed() <-chan error {
	failed := make(chan error, 1)
	go func() {
		select {
		case err := <-d.App.Failed():
			failed <- err
		case <-d.server.Exited():
			failed <- fmt.Errorf("PostgreSQL ended by itself: its log is %s", d.server.LogFile())
		}
	}()
	return failed
}

// LogFile returns the path of the server's log.
func (d *Dev) LogFile() string { return filepath.Join(d.Dir, "authsync.log") }

func (d *Dev) takeDir(context.Context) (stopFunc, error) {
	//nolint:gosec // started as root, PostgreSQL's own account must pass through; every file in it is 0600
	if err := os.MkdirAll(d.Dir, 0o711); err != nil {
		return nil, fmt.Errorf("make the data directory: %w: choose another one with AUTHSYNC_DATA_DIR", err)
	}
	lock, err := lockDir(d.Dir)
	if err != nil {
		return nil, err
	}
	// The directory is often inside a checkout, and contains secrets.
	if err := os.WriteFile(filepath.Join(d.Dir, ".gitignore"), []byte("*\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("write to the data directory: %w: choose another one with AUTHSYNC_DATA_DIR", err), lock.Close())
	}
	return func(context.Context) error { return lock.Close() }, nil
}

// openLog starts a new log and keeps the previous run's as authsync.log.1.
func (d *Dev) openLog(c config.Config) (stopFunc, error) {
	path := d.LogFile()
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // within the data directory that the operator chose
	if err != nil {
		return nil, err
	}
	if !c.IsSet("AUTHSYNC_LOG_FORMAT") {
		c.LogFormat = config.Text
	}
	d.log = slog.New(slog.NewMultiHandler(
		NewLogger(c, file).Handler(),
		d.terminal,
	))
	d.steps.log = d.log
	return func(context.Context) error { return file.Close() }, nil
}

func (d *Dev) startPostgres(ctx context.Context) (stopFunc, error) {
	d.progress("starting PostgreSQL")
	server, err := localpg.Start(ctx, localpg.Config{Dir: filepath.Join(d.Dir, "postgres"), TCP: true, Logger: d.log})
	if err != nil {
		return nil, err
	}
	d.server = server
	return func(ctx context.Context) error {
		d.progress("stopping PostgreSQL")
		return server.Stop(ctx)
	}, nil
}

// prepare creates the control database and upgrades its schema.
func (d *Dev) prepare(ctx context.Context) error {
	admin, err := pgx.Connect(ctx, d.server.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", pgdb.Redact(err))
	}
	defer admin.Close(context.WithoutCancel(ctx))
	var exists bool
	const look = `SELECT current_setting('server_version'), EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)`
	if err := admin.QueryRow(ctx, look, devDatabase).Scan(&d.Postgres, &exists); err != nil {
		return fmt.Errorf("look for database %s: %w", devDatabase, err)
	}
	d.Postgres, _, _ = strings.Cut(d.Postgres, " ") // Debian appends its own version
	d.progress(fmt.Sprintf("PostgreSQL %s runs (process %d)", d.Postgres, d.server.PID()))
	if !exists {
		if _, err := admin.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{devDatabase}.Sanitize()); err != nil {
			return fmt.Errorf("create database %s: %w", devDatabase, err)
		}
	}
	// The roles of project databases must not connect to this one.
	if _, err := admin.Exec(ctx, "REVOKE CONNECT ON DATABASE "+pgx.Identifier{devDatabase}.Sanitize()+" FROM PUBLIC"); err != nil {
		return fmt.Errorf("close database %s to others: %w", devDatabase, err)
	}
	report, err := schema.Up(ctx, d.server.URL(devDatabase), schema.Control, schema.Options{Logger: d.log})
	if err == nil && report.Changed() {
		d.progress(fmt.Sprintf("control database is at version %d", report.To))
	}
	return err
}

func (d *Dev) startApp(ctx context.Context, c DevConfig, listener net.Listener) (stopFunc, error) {
	key, err := d.encryptionKey(ctx)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	settings := c.Config
	settings.DatabaseURL = config.Secret(d.server.URL(devDatabase))
	settings.EncryptionKey = key
	settings.Roles = config.Roles{Receiver: true, Worker: true, API: true}
	// A developer's test servers run on the same machine.
	settings.AllowTargets = settings.AllowTargets.And(egress.Loopback())
	settings.AllowDatabaseTargets = settings.AllowDatabaseTargets.And(egress.Loopback())
	if err := d.beforeStart(ctx, settings); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	d.App, err = Start(ctx, Config{Settings: settings, Log: d.log, Listener: listener, Observe: d.follower.observe})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		d.progress("finishing requests and jobs")
		return d.App.Stop(ctx)
	}, nil
}

// beforeStart does what must happen before the projects are read.
func (d *Dev) beforeStart(ctx context.Context, settings config.Config) error {
	control, err := OpenControl(ctx, settings.DatabaseURL, settings.EncryptionKey, 2, d.log)
	if err != nil {
		return err
	}
	return errors.Join(d.moveDatabases(ctx, control.Store), control.Close(ctx))
}

// encryptionKey reads the key, or creates one if nothing has been encrypted yet.
func (d *Dev) encryptionKey(ctx context.Context) (config.Secret, error) {
	path := filepath.Join(d.Dir, config.KeyFile)
	text, err := os.ReadFile(path) //nolint:gosec // within the data directory that the operator chose
	if err == nil {
		return config.Secret(pasted.Unquote(string(text))), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the encryption key: %w", err)
	}
	conn, err := pgx.Connect(ctx, d.server.URL(devDatabase))
	if err != nil {
		return "", fmt.Errorf("connect: %w", pgdb.Redact(err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var sealed bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM authsync.projects)`).Scan(&sealed); err != nil {
		return "", fmt.Errorf("look for sealed credentials: %w", err)
	}
	if sealed {
		return "", fmt.Errorf("%s is gone, and the credentials in the database cannot be read without it: "+
			"bring it back, or remove %s to start over", path, d.Dir)
	}
	key := seal.NewKey()
	return config.Secret(key), config.WriteFile(path, []byte(key+"\n"))
}
