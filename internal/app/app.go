// Package app is the only package that knows all parts of a server: it builds them from the
// settings, starts them in dependency order, and stops them in reverse. `authsync serve` runs it
// against existing databases, `authsync dev` against a PostgreSQL that it starts itself.
//
//	serveHTTP → receiver → inbox → (River) → applier → mirror
//	               ▲                            ▲
//	               └───────── directory ────────┘
//
// On shutdown it accepts no new requests, answers the current ones, commits the last messages,
// waits for running jobs and closes the connections. If the process dies, whatever it was doing is either
// unacknowledged, so that its sender retries, or a job in the database, which another process takes
// over.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/api"
	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/dashboard"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/delivery/relay"
	"github.com/authsync/authsync/internal/delivery/sender"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/receiver"
	"github.com/authsync/authsync/internal/ingest/rejections"
	"github.com/authsync/authsync/internal/ingest/usage"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider/keyset"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/redact"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/sync/provision"
	"github.com/authsync/authsync/internal/sync/refresh"
	"github.com/authsync/authsync/internal/sync/repair"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/tracing"
)

// Config configures a server.
type Config struct {
	Settings config.Config
	Log      *slog.Logger
	// Listener is where to serve; nil means to listen on Settings.Listen. Start takes ownership.
	Listener net.Listener
	// Tracer traces events; nil means no traces. It is stopped by whoever made it, after the server.
	Tracer *tracing.Tracer
	// Observe is called for every webhook and must not block; it may be nil.
	Observe func(receiver.Message)
	// ErasureSettles is erasure.Config.SettleAfter; 0 means its default.
	ErasureSettles time.Duration
	// WatchEvery is the pause between two looks for problems; 0 means watch.Every.
	WatchEvery time.Duration
}

// App is a running server.
type App struct {
	Store *project.Store // for users
	Audit *audit.Log     // nil without the role api

	stored   *project.Store // for the workers
	settings config.Config
	settles  time.Duration
	log      *slog.Logger
	steps    steps
	failed   chan error
	url      string
	// metricsURL is empty if the metrics have no separate address.
	metricsURL string
	metrics    *metrics
	tracer     *tracing.Tracer // nil: no traces
	health     *health
	pool       *pgxpool.Pool // of the workers
	vital      *pgxpool.Pool // of the directory and of /readyz
	people     *pgxpool.Pool // of the management API
	keyring    *seal.Keyring
	keys       *keys
	directory  *project.Directory
	databases  *tenantdb.Databases
	mirrors    *mirror.Mirrors
	inbox      *inbox.Inbox
	intake     *inbox.Inbox // the receiver's own; nil without that role
	rejections *rejections.Recorder
	usage      *usage.Counter
	observe    func(receiver.Message)
	watchEvery time.Duration
	guard      *egress.Guard // for all requests to addresses chosen by customers
	tenants    *pgdb.Tenants // connects to the project databases
	accounts   source.Accounts
	// identifiers are the same accounts, for the stores, which are made before them.
	identifiers atomic.Pointer[source.Integrations]
	limits      *userapi.Limits // of the providers' accounts
	shared      *source.Shared  // for reading single users
	backfills   *syncrun.Store
	endRuns     func() // closes what unfinished runs keep open
	refreshes   *refresh.Queue
	webhooks    *provision.Webhooks
	relay       *relay.Relay
	sender      *sender.Sender
	deliveries  *admin.Admin         // the API's, with separate connections
	api         *api.API             // nil without the role api, as is the dashboard
	dashboard   *dashboard.Dashboard // the web pages
}

// databaseWait is how long a starting process waits for its database, which may be starting as
// well.
const databaseWait = 30 * time.Second

// Start starts a server and returns when it serves requests. If it fails, it stops everything that
// it started. Cancelling ctx later does not stop the server.
func Start(ctx context.Context, c Config) (_ *App, err error) {
	log := slog.New(redact.Handler(c.Log.Handler()))
	a := &App{
		settings: c.Settings, settles: c.ErasureSettles, log: log, steps: steps{log: log},
		failed: make(chan error, 1), metrics: newMetrics(), health: &health{log: log},
		guard: egress.New(egress.Config{Allow: c.Settings.AllowTargets}), observe: c.Observe, tracer: c.Tracer,
		watchEvery: c.WatchEvery,
		endRuns:    func() {}, // without the role worker
		tenants:    tenantsOf(c.Settings),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.steps.stop(context.WithoutCancel(ctx)))
		}
	}()
	listener := c.Listener
	if listener == nil {
		if listener, err = Listen(ctx, c.Settings.Listen); err != nil {
			return nil, err
		}
	}
	a.steps.started = append(a.steps.started, step{"port", func(context.Context) error {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}})
	a.url = baseURL(listener)
	for _, s := range []struct {
		name  string
		start func(context.Context) (stopFunc, error)
	}{
		{"control database", a.startPool},
		{"directory", a.startDirectory},
		{"inbox", a.startInbox},
		{"backfills", a.startBackfills},
		{"deliveries", a.startDeliveries},
		{"workers", a.startWorkers},
		{"pulls", a.startPulls},
		{"management", a.startManagement},
		{"project metrics", a.startProjectMetrics},
		{"watch", a.startWatch},
		{"metrics", a.startMetrics},
		{"http", func(context.Context) (stopFunc, error) { return a.startHTTP(listener), nil }},
	} {
		if err := a.steps.start(ctx, s.name, s.start); err != nil {
			return nil, err
		}
	}
	a.log.InfoContext(ctx, "server_started", slog.String("url", a.url), slog.String("roles", a.settings.Roles.String()))
	return a, nil
}

// URL returns the server's address from this machine.
func (a *App) URL() string { return a.url }

// Failed receives an error if the server ends by itself.
func (a *App) Failed() <-chan error { return a.failed }

// Stop stops the server: current requests and jobs may finish until ctx ends.
func (a *App) Stop(ctx context.Context) error {
	a.health.stopping.Store(true)
	err := a.steps.stop(ctx)
	a.log.InfoContext(ctx, "server_stopped")
	return err
}

func (a *App) startPool(ctx context.Context) (_ stopFunc, err error) {
	if a.keyring, err = seal.ParseKeys(a.settings.EncryptionKey.Reveal()); err != nil {
		return nil, err
	}
	closeAll := func() {
		for _, pool := range []*pgxpool.Pool{a.pool, a.vital, a.people} {
			if pool != nil {
				pool.Close()
			}
		}
	}
	if a.pool, err = a.named(ctx, "workers", a.settings.DatabaseConnections, workerSession()); err == nil {
		a.vital, err = a.named(ctx, "vital", vitalConns, vitalSession())
	}
	if err == nil {
		a.people, err = a.named(ctx, "management", managementConns, managementSession())
	}
	if err == nil {
		err = a.waitForDatabase(ctx)
	}
	if err == nil {
		err = mustBeCurrent(ctx, a.pool)
	}
	if err != nil {
		closeAll()
		return nil, err
	}
	a.keys = &keys{own: a.keyring.IDs(), log: a.log, fit: newRecent(func(ctx context.Context) (project.Fit, error) {
		return project.FitOf(ctx, a.vital, a.keyring)
	})}
	a.health.lag = newRecent(lagOf(a.vital))
	a.health.parts = append(a.health.parts, databaseParts(a.vital, a.log)...)
	a.health.parts = append(a.health.parts, part{"encryption_key", a.keys.check})
	return func(context.Context) error { closeAll(); return nil }, nil
}

// waitForDatabase returns once the database answers.
func (a *App) waitForDatabase(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, databaseWait)
	defer cancel()
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	for {
		err := a.pool.Ping(ctx)
		switch {
		case err == nil:
			return nil
		case !pgdb.Passing(err): // waiting does not fix a wrong password
			return fmt.Errorf("DATABASE_URL: %s", pgdb.Describe(err))
		}
		a.log.WarnContext(ctx, "waiting_for_database", slog.String("reason", pgdb.Describe(err)), slog.Any("error", err))
		select {
		case <-retry.C:
		case <-ctx.Done():
			return fmt.Errorf("DATABASE_URL: gave up after %s: %s", databaseWait, pgdb.Describe(err))
		}
	}
}

func (a *App) startDirectory(ctx context.Context) (_ stopFunc, err error) {
	ofKeys := a.guard.Client(0) // a fetch is bounded by the cache
	keys := keyset.New(keyset.Config{Client: ofKeys, Log: a.log})
	a.directory, err = project.NewDirectory(project.DirectoryConfig{Pool: a.vital, Keyring: a.keyring, Log: a.log, Keys: keys.Of})
	if err != nil {
		return nil, err
	}
	a.databases = tenantdb.New(tenantdb.Config{URL: a.directory.Database, Tenants: a.tenants, Log: a.log, Workers: a.settings.Workers})
	a.mirrors = mirror.New(mirror.Config{Databases: a.databases, Ledger: repair.NewLedger(a.pool, nil), ErasureKeys: a.directory, Log: a.log})
	ofStore := project.Config{
		Pool: a.people, Keyring: a.keyring, Mirror: a.mirrors, Targets: a.guard, Tenants: a.tenants, CheckSource: a.checkSource, Log: a.log,
		AccountMark: a.accountMark,
		Retention:   a.settings.Retention(),
		CheckClone: func(ctx context.Context, t project.CloneTarget) error {
			return a.mirrors.CheckCloneTarget(ctx, mirror.CloneTarget(t))
		},
		Destinations: destinationTypes{a.guard.CheckURL},
	}
	if a.Store, err = project.NewStore(ofStore); err != nil {
		return nil, err
	}
	ofStore.Pool = a.pool
	if a.stored, err = project.NewStore(ofStore); err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- a.directory.Run(run) }()
	stop := func(ctx context.Context) error {
		cancel()
		ofKeys.CloseIdleConnections()
		return errors.Join(<-ended, a.databases.Close(ctx))
	}
	if err := a.directory.WaitLoaded(ctx); err != nil {
		return nil, errors.Join(err, stop(ctx))
	}
	a.health.parts = append(a.health.parts, part{"directory", func(context.Context) error {
		if !a.directory.Loaded() {
			return errors.New("projects are not loaded yet")
		}
		return nil
	}})
	return stop, nil
}

// startInbox creates the receiver's inbox with separate connections. The other inbox shares the
// pool.
func (a *App) startInbox(ctx context.Context) (stopFunc, error) {
	inserts, err := inbox.NewJobs(a.log)
	if err != nil {
		return nil, err
	}
	a.inbox = inbox.New(a.pool, inserts, inbox.Config{Log: a.log}) //nolint:contextcheck // it outlives the start
	// Before the first message, so that none goes into the default partition; a worker repeats it
	// every hour.
	if err := inbox.Maintain(ctx, a.pool); err != nil {
		a.log.WarnContext(ctx, "partitions_not_made", slog.Any("error", err))
	}
	if !a.settings.Roles.Receiver {
		return a.inbox.Close, nil
	}
	pool, err := a.named(ctx, "receiver", receiverConns, receiverSession())
	if err != nil {
		return nil, err
	}
	a.intake = inbox.New(pool, inserts, inbox.Config{Log: a.log, Registry: a.metrics.registry}) //nolint:contextcheck // likewise
	a.health.parts = append(a.health.parts, part{"inbox", func(context.Context) error {
		if a.intake.Ready() != nil {
			return errors.New("takes no messages; the log of this process has the reason")
		}
		return nil
	}})
	stopNotes, err := a.startNotes(ctx, pool)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return func(ctx context.Context) error {
		err := errors.Join(a.intake.Close(ctx), a.inbox.Close(ctx))
		stopNotes()
		pool.Close()
		return err
	}, nil
}

func (a *App) startHTTP(listener net.Listener) stopFunc {
	// Use encoded paths: user ids contain "|" and may contain "/".
	routes := mux.NewRouter().UseEncodedPath().SkipClean(true)
	routes.HandleFunc("/healthz", a.health.healthz).Methods(http.MethodGet)
	routes.HandleFunc("/readyz", a.health.readyz).Methods(http.MethodGet)
	if a.settings.MetricsListen == "" {
		routes.Handle("/metrics", a.forOperators(a.metrics.handler())).Methods(http.MethodGet)
	}
	if a.settings.Roles.Receiver {
		routes.MatcherFunc(receiver.Match).Handler(a.metrics.area("webhook", receiver.New(receiver.Config{
			Directory: a.directory, Inbox: a.intake, Log: a.log, Address: a.settings.TrustedProxies.Of,
			Rejections: a.rejections, Usage: a.usage, Observe: a.observe,
			MaxBody: a.settings.MaxBodyBytes, MaxBuffered: a.settings.BodyMemoryBytes, Registry: a.metrics.registry, Tracer: a.tracer,
		})))
	} else {
		routes.MatcherFunc(receiver.Match).Handler(a.metrics.area("webhook", http.HandlerFunc(noReceiver)))
	}
	a.routeManagement(routes)
	routes.HandleFunc("/", index).Methods(http.MethodGet) // for programs, and without the role api
	routes.NotFoundHandler = http.HandlerFunc(notFound)
	return serveHTTP(a.bounded(listener), closing(&a.health.stopping, problem.WithRequestID(observeMissed(a.observe, routes))), a.log, a.failed)
}
