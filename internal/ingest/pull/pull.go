// Package pull fetches the events of providers that can be asked for them, for integrations with the
// option pull. Where a provider cannot reach authsync, or must not, this takes the receiver's place;
// both together are fine, because an event has the same id on both roads.
//
//	provider ──▶ Follow ──▶ inbox.AppendWith: messages + cursor, one commit ──▶ apply, as of webhooks
//
// # One puller at a time
//
// A row of authsync.pulls holds an integration's cursor, and which process may move it:
//
//	free ──claim_pulls──▶ claimed until now + 10 s ──renewed every second──▶ …
//	  ▲                        │
//	  └── the connection ended (cursor, retry_at, wait_reason), or nobody renewed it
//
// The claim is checked in the transaction that stores the events and moves the cursor. A process
// that was stopped, or cut off, and comes back after another took over therefore stores nothing:
// the claim, not the clock, decides. A clean stop gives claims up at once; after a kill another
// process has them within ten seconds. A lease fits better than a River job, whose run is limited to
// half a minute, and than a session lock, which a stopped process keeps and a pooler breaks.
//
// # Crash safety
//
// Events and cursor are one transaction. Killed before its commit, the next connection begins at the
// old cursor and gets the same events again; after it, at the new one. Nothing is lost, and nothing
// is in the inbox twice unless the provider repeats it.
//
// # Bulkheads
//
// A process holds at most Connections connections; integrations beyond them take turns, those that
// have waited longest first, and a turn lasts at least Turn. Each connection is a goroutine of its
// own, so that a slow or endless one delays nobody else, and holds at most one message and what was
// read with it: some 1.2 MB. What fails is tried again later each time, up to five minutes.
package pull

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider/userapi"
)

const (
	// lease is how long a claim holds without renewal.
	lease = 10 * time.Second
	// turnEvery is the interval between two looks at what is to be pulled.
	turnEvery = time.Second
	// storeTimeout limits a statement of the puller's own.
	storeTimeout = 5 * time.Second
)

// Directory looks up integrations; see project.Directory.
type Directory interface {
	LookupFresh(ctx context.Context, projectID uuid.UUID, providerName string) (project.Endpoint, error)
}

// Inbox stores messages together with the cursor; see inbox.Inbox.
type Inbox interface {
	AppendWith(ctx context.Context, messages []inbox.Message, with func(tx pgx.Tx) error) error
}

// Usage counts what projects store; see usage.Counter.
type Usage interface {
	Exceeded(projectID uuid.UUID) (stored, quota int64, exceeded bool)
	Add(projectID uuid.UUID, receivedAt time.Time, bytes int)
}

// Config configures a Puller. Other than the times, Usage and Registry, all fields are required.
type Config struct {
	Pool      *pgxpool.Pool // the control database
	Directory Directory
	Inbox     Inbox
	Log       *slog.Logger
	// Open opens an integration's events with its stored credentials. Errors: fault.Unsupported,
	// project.ErrNoProject, project.ErrNoIntegration.
	Open func(ctx context.Context, projectID uuid.UUID, providerName string) (userapi.EventSource, error)
	// Reconcile starts a reconcile of an integration. It returns nil if one was started, or need not
	// be because none is possible.
	Reconcile func(ctx context.Context, projectID uuid.UUID, providerName string) error
	// Usage may be nil.
	Usage Usage
	// Connections is the maximum number of connections of this process: 100.
	Connections int
	// Turn is how long a connection may last while others wait: 30 s.
	Turn time.Duration
	// Interval is the time between two looks at what is to be pulled: 1 s.
	Interval time.Duration
	// Now is the clock; nil means PostgreSQL's for claims, and time.Now otherwise.
	Now func() time.Time
	// Registry registers the metrics; nil means no metrics.
	Registry prometheus.Registerer
}

// key identifies an integration.
type key struct {
	projectID uuid.UUID
	provider  string
}

// Puller pulls the events of all integrations of which it gets hold. Run runs it.
type Puller struct {
	config  Config
	id      uuid.UUID // in claimed_by
	metrics metrics

	mu      sync.Mutex
	held    map[key]*connection
	sources map[key]*opened
	running sync.WaitGroup
}

// New returns a Puller that does nothing until Run runs.
func New(c Config) (*Puller, error) {
	if c.Pool == nil || c.Directory == nil || c.Inbox == nil || c.Log == nil || c.Open == nil || c.Reconcile == nil {
		return nil, errors.New("puller: pool, directory, inbox, log, open and reconcile must be given")
	}
	c.Connections = cmp.Or(c.Connections, 100)
	c.Turn = cmp.Or(c.Turn, 30*time.Second)
	c.Interval = cmp.Or(c.Interval, turnEvery)
	p := &Puller{config: c, id: uuid.New(), held: map[key]*connection{}, sources: map[key]*opened{}}
	p.metrics = newMetrics(c.Registry, p.open)
	return p, nil
}

// open is the number of connections.
func (p *Puller) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held)
}

// pulled returns the integrations of the connections.
func (p *Puller) pulled() (projects []uuid.UUID, providers []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	projects, providers = make([]uuid.UUID, 0, len(p.held)), make([]string, 0, len(p.held))
	for k := range p.held {
		projects, providers = append(projects, k.projectID), append(providers, k.provider)
	}
	return projects, providers
}

func (p *Puller) now() time.Time {
	if p.config.Now != nil {
		return p.config.Now()
	}
	return time.Now()
}

// Run pulls until ctx ends. It then ends the connections and gives up its claims, so that another
// process takes over at once.
func (p *Puller) Run(ctx context.Context) {
	look := time.NewTicker(p.config.Interval)
	defer look.Stop()
	failing := false
	for ctx.Err() == nil {
		err := p.turn(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing:
			p.config.Log.WarnContext(ctx, "pulls_not_renewed", slog.Any("error", err))
		case err == nil && failing:
			p.config.Log.InfoContext(ctx, "pulls_renewal_recovered")
		}
		failing = err != nil
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
	p.running.Wait()
	for _, o := range p.sources {
		o.close()
	}
}

// turn renews the claims, ends what is not to be pulled here any more, and starts what is free.
func (p *Puller) turn(ctx context.Context) error {
	mine, err := p.renew(ctx)
	if err != nil {
		return err
	}
	places := p.endLost(mine)
	if places > 0 {
		rows, err := p.claim(ctx, places)
		if err != nil {
			return err
		}
		for i := range rows {
			p.start(ctx, rows[i])
		}
		places -= len(rows)
	}
	if places > 0 {
		return nil
	}
	waiting, err := p.countWaiting(ctx)
	if err != nil {
		return err
	}
	p.endTurns(waiting)
	return nil
}

// errNotMine ends a connection whose integration was deleted, changed or turned off, or was taken
// over by another process.
var errNotMine = errors.New("the integration is no longer pulled here, or was changed")

// errTurnOver ends a connection in favor of those that wait.
var errTurnOver = errors.New("others wait for their turn")

// endLost ends the connections whose claim or integration has changed, and returns how many places
// are free.
func (p *Puller) endLost(mine map[key]time.Time) (places int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, c := range p.held {
		if changedAt, still := mine[k]; !still || !changedAt.Equal(c.ChangedAt) {
			c.end(errNotMine)
		}
	}
	p.forget()
	return p.config.Connections - len(p.held)
}

// endTurns ends as many connections as integrations wait, the oldest first.
func (p *Puller) endTurns(waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for range waiting {
		var oldest *connection
		for _, c := range p.held {
			if c.ctx.Err() == nil && now.Sub(c.begun) >= p.config.Turn && (oldest == nil || c.begun.Before(oldest.begun)) {
				oldest = c
			}
		}
		if oldest == nil {
			return
		}
		oldest.end(errTurnOver)
	}
}

func (p *Puller) start(ctx context.Context, row row) {
	k := key{row.ProjectID, row.Provider}
	run, end := context.WithCancelCause(ctx)
	c := &connection{Puller: p, row: row, ctx: run, end: end, begun: p.now()}
	c.log = p.config.Log.With(slog.String("project_id", k.projectID.String()), slog.String("provider", k.provider))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[k] = c
	p.running.Go(func() { //nolint:contextcheck // the connection has its own
		defer end(nil)
		c.follow()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.held, k)
	})
}
