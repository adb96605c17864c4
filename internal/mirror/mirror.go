// Package mirror is the content of the project databases: it installs the mirror (schema capydb_auth), applies events by its
// function apply_events, compares users with it, reads users and changes back, and grants access to it. Package tenantdb holds
// the connections.
//
// On the road of a webhook it is the last station: receiver → inbox → apply → mirror. Every project has one writer at a time:
// jobs that come while a call runs share the next one, and a database that is unavailable delays only its own project's jobs.
//
//	                          call fails
//	Apply ───▶ one call ──────────────────▶ because of an event: halve until one event is left, which alone fails
//	                       └──────────────▶ because the database is unavailable: delay all, open the breaker of tenantdb
//
// A process that dies during a call leaves it committed or rolled back; the ledger in the mirror makes repeating it harmless.
package mirror

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/tenantdb"
)

// Config is what Mirrors needs.
type Config struct {
	// Databases holds the projects' databases. Closing it also ends what Mirrors does in them.
	Databases *tenantdb.Databases
	// Ledger keeps how far each mirror is; nil: nobody does, and a mirror that was restored from a
	// backup is not noticed.
	Ledger Ledger
	// ErasureKeys gives the keys of erasures; nil: nobody is ever erased.
	ErasureKeys ErasureKeys
	// SetupTimeout bounds what is done in a database while the person who named it waits: the look whether it can become a
	// clone, and the installation; 0: 30 s each, which is together less than an answer may take.
	SetupTimeout time.Duration
	Log          *slog.Logger
	Now          func() time.Time // nil: time.Now
	// FlushBudget is how long a call that fails may be taken apart to find the events that fail alone; 0: 8 s.
	FlushBudget time.Duration
}

// Mirrors applies events to the mirrors of all projects. It is safe for
// concurrent use.
type Mirrors struct {
	config Config

	mu      sync.Mutex
	tenants map[uuid.UUID]*tenant
}

// New makes Mirrors; it uses no database until it is called.
func New(config Config) *Mirrors {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.SetupTimeout == 0 {
		config.SetupTimeout = 30 * time.Second
	}
	if config.FlushBudget == 0 {
		config.FlushBudget = flushBudget
	}
	return &Mirrors{config: config, tenants: make(map[uuid.UUID]*tenant)}
}

// tenant gives the project's mirror, a new one if its database has moved.
func (m *Mirrors) tenant(ctx context.Context, projectID uuid.UUID) (*tenant, error) {
	db, err := m.config.Databases.Get(ctx, projectID)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.tenants[projectID]; t != nil && t.db == db {
		return t, nil
	}
	t := newTenant(m.config, db) //nolint:contextcheck // its calls outlive the one that made it
	err = db.OnClose(func(ctx context.Context) error {
		m.drop(t)
		return t.close(ctx)
	})
	if err != nil {
		return nil, err
	}
	m.tenants[projectID] = t
	return t, nil
}

func (m *Mirrors) drop(t *tenant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tenants[t.projectID] == t {
		delete(m.tenants, t.projectID)
	}
}

// Outcomes of an event. Applied: it set at least one value. OutcomeDeferred: a lock of another transaction was in
// its way, it had no effect, and it is to be tried again.
const (
	Applied         = "applied"
	OutcomeDeferred = "deferred"
	// OutcomeErased: the event is about a user who was erased, and has no effect.
	OutcomeErased = "erased"

	outcomeStale     = "stale"
	outcomeDuplicate = "duplicate"
	outcomeUnchanged = "unchanged"
)

// isOutcome reports whether it is one that apply_events has. The function is in somebody else's database.
func isOutcome(text string) bool {
	switch text {
	case Applied, OutcomeDeferred, OutcomeErased, outcomeStale, outcomeDuplicate, outcomeUnchanged:
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
	// CodeErasuresUnknown: users of the mirror were erased, and this process does not know the key yet. It will in a moment.
	CodeErasuresUnknown = "US005"
)

// delayed reports whether the events are not the cause of a failed call. An error that did not come from the server is the
// connection's. One that did is the server's if it ended the session or lacks resources; as an ordinary error the same code
// may come from a customer's trigger, and concern one user only.
func delayed(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return true
	}
	switch pg.Code {
	case CodeBusy, CodeLost, CodeErasuresUnknown, pgerrcode.ReadOnlySQLTransaction:
		return true
	}
	return pgdb.Unavailable(err) && (pg.SeverityUnlocalized != "ERROR" || pgerrcode.IsInsufficientResources(pg.Code))
}

// lacks reports whether a call failed for want of disk or memory. So may a trigger of the customer's,
// of one event: all others show which it is.
func lacks(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.SeverityUnlocalized == "ERROR" && pgerrcode.IsInsufficientResources(pg.Code)
}

// contends tells whether a call lost against another transaction: never the fault of an event. The
// function itself goes around most of that; what is left comes from the commit.
func contends(err error) bool { return pgdb.Retryable(err) }
