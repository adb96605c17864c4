package measure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/receiver"
	"github.com/authsync/authsync/internal/localpg"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/schema"
)

const (
	controlDatabase = "authsync"
	projectDatabase = "bench"
	signingSecret   = "the token of the benchmark"
	// inboxConns is as the server has it: the commit in flight, waking the workers, and one to spare.
	inboxConns = 3
)

// environment is what all measurements share.
type environment struct {
	server   *localpg.Server
	pool     *pgxpool.Pool // the control database
	jobs     *river.Client[pgx.Tx]
	endpoint project.Endpoint
	header   http.Header // of a genuine request
	log      *slog.Logger
}

func newEnvironment(ctx context.Context, log *slog.Logger) (_ *environment, err error) {
	e := &environment{log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close(ctx))
		}
	}()
	e.server, err = localpg.Start(ctx, localpg.Config{Throwaway: true, TCP: true, Logger: log, Settings: map[string]string{
		"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on",
		// Files of the log are used again, as on a server that has run for a while.
		"shared_buffers": "256MB", "min_wal_size": "1GB", "max_wal_size": "4GB", "max_connections": "200",
	}})
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := e.createDatabases(ctx); err != nil {
		return nil, err
	}
	if e.pool, err = pgdb.Open(ctx, e.server.URL(controlDatabase), pgdb.Options{MaxConns: 24, RuntimeParams: pgdb.FreshPlans()}); err != nil {
		return nil, err
	}
	if err := inbox.Maintain(ctx, e.pool); err != nil {
		return nil, err
	}
	if _, err := e.pool.Exec(ctx, referenceTable); err != nil {
		return nil, fmt.Errorf("make the reference's table: %w", err)
	}
	if e.jobs, err = inbox.NewJobs(log); err != nil {
		return nil, err
	}
	if err := e.makeIntegration(); err != nil {
		return nil, err
	}
	const insertProject = `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'bench', '')`
	if _, err := e.pool.Exec(ctx, insertProject, e.endpoint.ProjectID); err != nil {
		return nil, fmt.Errorf("make the project whose messages are counted: %w", err)
	}
	return e, nil
}

func (e *environment) createDatabases(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, e.server.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for name, kind := range map[string]schema.Kind{controlDatabase: schema.Control, projectDatabase: schema.Project} {
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
			return fmt.Errorf("create database %s: %w", name, err)
		}
		if _, err := schema.Up(ctx, e.server.URL(name), kind, schema.Options{}); err != nil {
			return err
		}
	}
	return nil
}

func (e *environment) makeIntegration() error {
	kind := auth0.New()
	credentials := provider.Credentials{WebhookSigningSecret: provider.Secrets{signingSecret}}
	verifier, err := kind.NewVerifier(credentials, provider.Options{})
	if err != nil {
		return err
	}
	e.endpoint = project.Endpoint{ProjectID: uuid.New(), Provider: kind, Verifier: verifier}
	e.header, _, err = kind.Sign(provider.Sample{Type: "user.updated"}, credentials, provider.Options{}, time.Now())
	return err
}

func (e *environment) close(ctx context.Context) error {
	if e.pool != nil {
		e.pool.Close()
	}
	if e.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return e.server.Stop(ctx)
}

// path is where the receiver takes deliveries for the benchmark's integration.
func (e *environment) path() string { return e.pathOf(e.endpoint.ProjectID) }

func (e *environment) pathOf(projectID uuid.UUID) string {
	path := strings.ReplaceAll(receiver.Path, "{provider}", e.endpoint.Provider.Name())
	return strings.ReplaceAll(path, "{projectID}", projectID.String())
}

// Lookup knows the benchmark's integration, as project.Directory would.
func (e *environment) Lookup(context.Context, uuid.UUID, string) (project.Endpoint, error) {
	return e.endpoint, nil
}

// LookupFresh knows the same.
func (e *environment) LookupFresh(context.Context, uuid.UUID, string) (project.Endpoint, error) {
	return e.endpoint, nil
}

// Others are none.
func (e *environment) Others(uuid.UUID, string) []project.Endpoint { return nil }

// empty makes both sides start from the same state.
func (e *environment) empty(ctx context.Context) error {
	for _, sql := range []string{`TRUNCATE authsync.inbox, authsync.inbox_pending, authsync.event_outcomes, authsync.job_requests, authsync.river_job, bench_deliveries`, `CHECKPOINT`} {
		if _, err := e.pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("empty the tables: %w", err)
		}
	}
	return nil
}
