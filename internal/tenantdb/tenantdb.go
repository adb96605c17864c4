// Package tenantdb holds the connections to the projects' databases: one pool per project, a circuit breaker that keeps the
// jobs of a project whose database is unavailable from waiting for it, and slots that keep one project from taking all workers.
// It runs no statement of its own except a ping; the schema in those databases is package mirror's.
//
// A database is opened when it is first used, and closed when its project is deleted or moved to another URL:
//
//	          Get                    Failed
//	(none) ────────▶ open: closed ──────────▶ open: breaker open ──pause over──▶ open: one probe, the others wait
//	                   ▲    ▲                     ▲                                │            │
//	                   │    └─────────────────────┼────────────answered────────────┘            │
//	                   │                          └─────────────────failed──────────────────────┘
//	                   │ Get
//	moved or deleted: retired ──what is attached ends──▶ pool closed
//
// Nothing here outlives the process. A process that dies leaves sessions, which the server ends; another process finds out by
// itself that a database is unavailable.
package tenantdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/pgdb"
)

// Config is what Databases needs.
type Config struct {
	// URL gives the connection URL of a project's database.
	URL func(ctx context.Context, projectID uuid.UUID) (string, error)
	// Tenants connects to those URLs; nil: they are the operator's own.
	Tenants *pgdb.Tenants
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now

	// CallTimeout bounds one statement; 0 is 15 s.
	CallTimeout time.Duration
	// LockTimeout bounds the wait for a lock; 0 is 1 s.
	LockTimeout time.Duration
	// Workers is how many jobs may run at the same time; see Acquire. 0 is 1000.
	Workers int
}

// Databases holds the databases of all projects. It is safe for concurrent use.
type Databases struct {
	config Config
	slots  slots

	mu       sync.Mutex
	open     map[uuid.UUID]*DB
	retiring map[*DB]chan struct{} // those that are closed in the background, and what is closed at the end of that
	isClosed bool
}

// ErrClosed says that the process is stopping. It is a cancellation, which is nobody's fault.
var ErrClosed = fmt.Errorf("the server is stopping: %w", context.Canceled)

// New makes Databases; it connects to nothing until a database is used.
func New(config Config) *Databases {
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
	return &Databases{config: config, open: make(map[uuid.UUID]*DB), retiring: make(map[*DB]chan struct{}), slots: slots{total: config.Workers}}
}

// Tenants connects to URLs that belong to no project yet.
func (d *Databases) Tenants() *pgdb.Tenants { return d.config.Tenants }

// Close waits for running calls and closes all connections. Calls that still run when ctx ends are cut off; their jobs run
// again. From then on Get returns ErrClosed.
func (d *Databases) Close(ctx context.Context) error {
	d.mu.Lock()
	open, retiring := d.open, maps.Clone(d.retiring)
	d.open, d.isClosed = make(map[uuid.UUID]*DB), true
	d.mu.Unlock()

	var errs []error
	for _, db := range open {
		errs = append(errs, db.close(ctx))
	}
	for db, closed := range retiring {
		select {
		case <-closed:
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("close the former database of project %s: %w", db.projectID, context.Cause(ctx)))
		}
	}
	return errors.Join(errs...)
}

// Unavailable says of each project whose database is open here whether calls are refused, because the last ones failed.
func (d *Databases) Unavailable() map[uuid.UUID]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := make(map[uuid.UUID]bool, len(d.open))
	for id, db := range d.open {
		found[id] = db.breaker.isOpen()
	}
	return found
}

// Get gives the project's database, a new one if its URL has changed. It does not connect.
func (d *Databases) Get(ctx context.Context, projectID uuid.UUID) (*DB, error) {
	url, err := d.config.URL(ctx, projectID)
	if err != nil {
		d.forget(ctx, projectID)
		return nil, fmt.Errorf("find the database of project %s: %w", projectID, err)
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isClosed {
		return nil, ErrClosed
	}
	old := d.open[projectID]
	if old != nil && old.url == url {
		return old, nil
	}
	db, err := newDB(ctx, d.config, projectID, url)
	if err != nil {
		return nil, err
	}
	d.open[projectID] = db
	if old != nil {
		d.retire(ctx, old)
	}
	return db, nil
}

// forget closes the database of a project whose URL is no longer known.
func (d *Databases) forget(ctx context.Context, projectID uuid.UUID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.open[projectID]; old != nil {
		delete(d.open, projectID)
		d.retire(ctx, old)
	}
}

// retire closes a database in the background, after its running calls.
func (d *Databases) retire(ctx context.Context, db *DB) {
	closers, closed := db.retire(), make(chan struct{})
	d.retiring[db] = closed
	go func() {
		defer func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			delete(d.retiring, db)
			close(closed)
		}()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.config.CallTimeout)
		defer cancel()
		if err := db.closeWith(ctx, closers); err != nil {
			d.config.Log.WarnContext(ctx, "tenant_drain_timeout", slog.String("project_id", db.projectID.String()), slog.Any("error", err))
		}
	}()
}
