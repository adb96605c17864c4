package app

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"github.com/authsync/authsync/internal/api"
	"github.com/authsync/authsync/internal/api/idempotency"
	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/dashboard"
	"github.com/authsync/authsync/internal/erasure"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/rejections"
	"github.com/authsync/authsync/internal/ingest/usage"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/sync/prune"
	"github.com/authsync/authsync/internal/sync/refresh"
	"github.com/authsync/authsync/internal/sync/repair"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/watch"
)

const (
	// riverUIConns are River UI's connections, separate so that its counts and lists delay neither
	// jobs nor management calls: one for a slow count, and two for the rest.
	riverUIConns = 3
	// riverUIIdle is how long unused ones are kept.
	riverUIIdle = time.Minute
)

// RiverUI returns River UI's address for a browser on this machine.
func (a *App) RiverUI() string { return a.url + dashboard.RiverPath + "/" }

// startManagement creates the API and the dashboard.
func (a *App) startManagement(ctx context.Context) (_ stopFunc, err error) {
	if !a.settings.Roles.API {
		return nil, nil
	}
	jobs, err := inbox.NewJobs(a.log)
	if err != nil {
		return nil, err
	}
	events := inbox.New(a.people, jobs, inbox.Config{Log: a.log}) //nolint:contextcheck // it outlives the start
	a.Audit = &audit.Log{Database: a.people, Now: time.Now}
	refusals := audit.NewRefusals(a.Audit, a.log)
	a.api, err = api.New(api.Config{
		Store: a.Store, Events: events, Users: a.mirrors, Records: a.mirrors, Grants: a.mirrors, Backfills: syncrun.NewStore(a.people, a.accounts),
		Refresher: &refresh.One{Pool: a.people, Accounts: a.shared, Mirror: a.mirrors, Providers: a.providers},
		Erasures:  &erasure.Store{Pool: a.people, Vault: a.Store, Now: time.Now},
		Accounts:  a.shared, Deliveries: a.deliveries, Idempotency: &idempotency.Keys{Pool: a.people, Keyring: a.keyring, Now: time.Now},
		Rejections: rejections.Reader{Pool: a.people}, Counts: usage.Reader{Pool: a.people, Now: time.Now}, Webhooks: a.webhooks,
		Audit: a.Audit, Refusals: refusals, Digester: a.keyring, Address: a.settings.TrustedProxies.Of,
		Problems:  watch.Reader{Pool: a.people},
		PublicURL: a.settings.PublicURL, Log: a.log, Pruning: a.lastPruning, Repair: a.newestRepair, Pulls: a,
	})
	if err != nil {
		return nil, err
	}
	pool, err := pgdb.Open(ctx, a.settings.DatabaseURL.Reveal(), pgdb.Options{
		ApplicationName: "authsync river ui", MaxConns: riverUIConns, MaxConnIdleTime: riverUIIdle, RuntimeParams: dashboard.Session(),
	})
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	a.metrics.pool("river_ui", pool)
	a.dashboard, err = dashboard.New(dashboard.Config{
		Keys: a.Store, Keyring: a.keyring, Pool: pool, Views: a.people, API: a.api, Bearer: a.api.Unlimited, PublicURL: a.settings.PublicURL,
		Proxies: a.settings.TrustedProxies, Log: a.log, Audit: a.Audit, Refusals: refusals,
	})
	if err != nil {
		pool.Close()
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var counting sync.WaitGroup
	counting.Go(func() { refusals.Run(run) })
	return func(ctx context.Context) error {
		cancel()
		counting.Wait()
		pool.Close()
		return events.Close(ctx)
	}, nil
}

// routeManagement routes the paths of both; webhooks are routed before.
func (a *App) routeManagement(routes *mux.Router) {
	if !a.settings.Roles.API {
		return
	}
	routes.PathPrefix(api.Prefix + "/").Handler(a.metrics.area("api", a.api))
	pages := a.metrics.area("dashboard", a.dashboard)
	routes.Handle("/", pages).MatcherFunc(wantsPage)
	for _, path := range []string{dashboard.SignInPath, dashboard.SignOutPath, dashboard.NewProjectPath, dashboard.AuditPath} {
		routes.Handle(path, pages)
	}
	for _, path := range []string{dashboard.RiverPath, dashboard.ProjectsPath, dashboard.KeysPath, dashboard.AssetsPath} {
		routes.Handle(path, pages)
		routes.PathPrefix(path + "/").Handler(pages)
	}
}

// wantsPage reports whether a browser asks, as opposed to a program.
func wantsPage(r *http.Request, _ *mux.RouteMatch) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// lastPruning returns how the last pruning of a project's mirror went; nil if there was none.
func (a *App) lastPruning(ctx context.Context, projectID uuid.UUID) (*prune.State, error) {
	return prune.Of(ctx, a.people, projectID)
}

// newestRepair returns the newest repair of a project's mirror; nil if there was none.
func (a *App) newestRepair(ctx context.Context, projectID uuid.UUID) (*repair.Repair, error) {
	all, err := repair.Of(ctx, a.people, projectID, 1)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}
