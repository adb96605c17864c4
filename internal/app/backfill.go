package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/api"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth/sqlsource"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/provision"
	"github.com/authsync/authsync/internal/sync/refresh"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
)

// startBackfills creates the store of sync runs and its dependencies.
func (a *App) startBackfills(context.Context) (stopFunc, error) {
	transport := a.guard.Transport()
	a.limits = userapi.NewLimits()
	deps := userapi.Deps{Transport: transport, Limits: a.limits}
	integrations := &source.Integrations{
		Credentials: a.stored.Credentials,
		Deps: func(ctx context.Context, projectID uuid.UUID) (userapi.Deps, error) {
			of := deps
			of.SQL = func(databaseURL provider.Secret, tables provider.UserTables) (userapi.Source, error) {
				return a.tables(ctx, projectID, databaseURL, tables)
			}
			return of, nil
		},
		Providers: a.providers, KeepAccountMark: a.stored.KeepAccountMark,
	}
	a.identifiers.Store(integrations)
	a.accounts = integrations
	a.backfills = syncrun.NewStore(a.pool, a.accounts)
	a.shared = source.NewShared(a.accounts)
	a.refreshes = refresh.NewQueue(a.shared)
	a.webhooks = provision.New(provision.Config{
		Pool: a.pool, Credentials: a.stored.Credentials, AddSecret: a.stored.AddSigningSecret, Deps: deps, Path: api.WebhookPath,
		Base: cmp.Or(a.settings.PublicURL, a.url), Configured: a.settings.PublicURL != "", Log: a.log.With(slog.String("part", "webhooks")),
	})
	return func(context.Context) error { // after the workers
		a.endRuns()
		a.shared.Close()
		transport.CloseIdleConnections()
		return nil
	}, nil
}

// providers returns the names of a project's providers.
func (a *App) providers(ctx context.Context, projectID uuid.UUID) ([]string, error) {
	all, err := a.stored.ListIntegrations(ctx, projectID)
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = one.Provider
	}
	return names, err
}

// tables opens the customer's own user tables; without a URL they are in the project's database.
func (a *App) tables(
	ctx context.Context, projectID uuid.UUID, databaseURL provider.Secret, tables provider.UserTables,
) (userapi.Source, error) {
	url, what, mark := string(databaseURL), "credentials.database_url", ""
	if url == "" {
		// Whether it is the right one is checked where its URL is changed: the mirror in it has an owner.
		what, mark = "the project's database", "the project's database"
		var err error
		if url, err = a.stored.DatabaseURL(ctx, projectID); err != nil {
			return nil, err
		}
	}
	pool, err := a.tenants.Open(context.WithoutCancel(ctx), url, pgdb.Options{ApplicationName: "authsync backfill", MaxConns: 1, Project: projectID})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return sqlsource.New(sqlsource.Config{Pool: pool, Owned: true, What: what, Mark: mark, Tables: tables, Project: projectID}), nil
}

// accountMark asks a provider which account credentials are for.
func (a *App) accountMark(
	ctx context.Context, projectID uuid.UUID, kind provider.Provider, c provider.Credentials, o provider.Options,
) (string, error) {
	return a.identifiers.Load().AccountMark(ctx, projectID, kind, c, o)
}

// checkSource connects to the database given for Better Auth's tables.
func (a *App) checkSource(ctx context.Context, projectID uuid.UUID, databaseURL string) error {
	conn, err := a.tenants.Connect(ctx, databaseURL, pgdb.Options{ApplicationName: "authsync backfill", Project: projectID})
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// readingWorkers adds the workers that read from providers to the job client.
func (a *App) readingWorkers(workers *river.Workers, queues map[string]river.QueueConfig) {
	a.endRuns = syncrun.Register(syncrun.Config{
		Pool: a.pool, Store: a.backfills, Accounts: a.accounts, Mirrors: a.mirrors, Log: a.log.With(slog.String("part", "backfill")),
	}, workers, queues)
	refresh.Register(refresh.Config{
		Pool: a.pool, Queue: a.refreshes, Accounts: a.shared, Mirror: a.mirrors, Log: a.log.With(slog.String("part", "refresh")),
	}, workers, queues)
}

// DivertWebhook is provision.Webhooks.Divert.
func (a *App) DivertWebhook(projectID uuid.UUID, providerName, url string) {
	a.webhooks.Divert(projectID, providerName, url)
}
