// Package mirror is the project databases: it installs the mirror (schema
// capydb_auth), hands events to its function apply_events, and reads users back
// for people who ask why a row looks as it does.
//
// On the road of a webhook it is the last station: receiver → inbox → applier →
// mirror. Every project has a lane of its own: jobs that come while a call runs
// gather and share the next one, and a database that is away closes its lane for
// a while, so that nobody else's jobs wait for it.
//
//	      Enter    Apply                call fails
//	jobs ───▶ lane ───▶ one call ──────────────▶ data: halve until one event is left, it alone fails
//	            │                  └───────────▶ database away: everybody later, lane closed for 1 s … 30 s
//	            └── closed or crowded: later
package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authsync/authsync/internal/pgdb"
)

// Config is what Mirrors needs.
type Config struct {
	// Database gives the connection URL of a project's database.
	Database func(ctx context.Context, projectID uuid.UUID) (string, error)
	// Tenants connects by those URLs; nil: they are the operator's own.
	Tenants *pgdb.Tenants
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now

	// CallTimeout bounds one call of apply_events; 0 is 15 s.
	CallTimeout time.Duration
	// LockTimeout bounds the wait for a lock in the project database; 0 is 1 s.
	LockTimeout time.Duration
	// Workers is how many jobs may be worked at the same time; see Enter. 0 is 1000.
	Workers int
	// Ledger keeps how far each mirror is; nil: nobody does, and a mirror that was restored from a
	// backup is not noticed.
	Ledger Ledger
}

// Mirrors applies events to the mirrors of all projects. It is safe for
// concurrent use.
type Mirrors struct {
	config Config
	slots  slots

	mu      sync.Mutex
	tenants map[uuid.UUID]*tenant
}

// New makes Mirrors; it connects to nothing before it has to.
func New(config Config) *Mirrors {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.CallTimeout == 0 {
		config.CallTimeout = 15 * time.Second
	}
	if config.LockTimeout == 0 {
		config.LockTimeout = time.Second
	}
	if config.Workers == 0 {
		config.Workers = 1000
	}
	return &Mirrors{config: config, tenants: make(map[uuid.UUID]*tenant), slots: slots{total: config.Workers}}
}

// Close lets the calls under way end and closes all connections. Calls that
// still run when ctx ends are cut off; their jobs run again.
func (m *Mirrors) Close(ctx context.Context) error {
	m.mu.Lock()
	lanes := m.tenants
	m.tenants = make(map[uuid.UUID]*tenant)
	m.mu.Unlock()

	var errs []error
	for _, l := range lanes {
		errs = append(errs, l.close(ctx))
	}
	return errors.Join(errs...)
}

// tenant gives the project's lane, a new one if its database has moved.
func (m *Mirrors) tenant(ctx context.Context, projectID uuid.UUID) (*tenant, error) {
	url, err := m.config.Database(ctx, projectID)
	if err != nil {
		m.forget(ctx, projectID)
		return nil, fmt.Errorf("find the database of project %s: %w", projectID, err)
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.tenants[projectID]
	if old != nil && old.url == url {
		return old, nil
	}
	l, err := newTenant(ctx, m.config, projectID, url)
	if err != nil {
		return nil, err
	}
	m.tenants[projectID] = l
	if old != nil {
		m.closeLater(ctx, old)
	}
	return l, nil
}

// forget closes the lane of a project whose database is no longer known.
func (m *Mirrors) forget(ctx context.Context, projectID uuid.UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.tenants[projectID]; old != nil {
		delete(m.tenants, projectID)
		m.closeLater(ctx, old)
	}
}

// closeLater lets the call under way end.
func (m *Mirrors) closeLater(ctx context.Context, l *tenant) {
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.config.CallTimeout)
		defer cancel()
		if err := l.close(ctx); err != nil {
			m.config.Log.WarnContext(ctx, "tenant_drain_timeout", slog.String("project_id", l.projectID.String()), slog.Any("error", err))
		}
	}()
}

// DelayError says that nothing is wrong with the events, but that they cannot
// be applied now. Whoever has them tries again after a while; it costs no attempt.
type DelayError struct {
	After time.Duration
	Err   error
}

func (e *DelayError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *DelayError) Unwrap() error { return e.Err }

// Outcomes of an event. Applied: it set at least one value. OutcomeDeferred: a lock of another transaction was in
// its way, it had no effect, and it is to be tried again.
const (
	Applied         = "applied"
	OutcomeDeferred = "deferred"

	outcomeStale     = "stale"
	outcomeDuplicate = "duplicate"
	outcomeUnchanged = "unchanged"
)

// isOutcome reports whether it is one that apply_events has. The function is in somebody else's database.
func isOutcome(text string) bool {
	switch text {
	case Applied, OutcomeDeferred, outcomeStale, outcomeDuplicate, outcomeUnchanged:
		return true
	default:
		return false
	}
}

// SQLSTATEs of our own, raised by the functions of schema capydb_auth. The list
// is repeated in sql/README.md, and a test compares the two.
const (
	// CodeBusy: another process has been applying events for longer than lock_timeout, or another transaction
	// has locked a table of the mirror.
	CodeBusy = "US001"
	// CodeSuppressed: a trigger of the customer's keeps rows of users from being written.
	CodeSuppressed = "US002"
	// CodeFindingsGone: what a reconcile had found is gone; see ErrFindingsGone.
	CodeFindingsGone = "US003"
	// CodeLost: the mirror has lost calls that were applied to it; see Ledger.
	CodeLost = "US004"
)

// delayed tells whether a failed call says nothing about the events in it. What
// did not come from the server is the connection's fault. What did is the
// server's if it ended the session or if it is out of room; as an ordinary error
// the same code may come from a customer's trigger, and be about one user only.
func delayed(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return true
	}
	switch pg.Code {
	case CodeBusy, CodeLost, pgerrcode.ReadOnlySQLTransaction:
		return true
	}
	return pgdb.Unavailable(err) && (pg.SeverityUnlocalized != "ERROR" || pgerrcode.IsInsufficientResources(pg.Code))
}

// lacks tells whether the database said of a call that it lacks disk or memory. So may a trigger of the customer's,
// of one event: all others show which it is.
func lacks(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.SeverityUnlocalized == "ERROR" && pgerrcode.IsInsufficientResources(pg.Code)
}

// contends tells whether a call lost against another transaction: never the fault of an event. The
// function itself goes around most of that; what is left comes from the commit.
func contends(err error) bool { return pgdb.Retryable(err) }
