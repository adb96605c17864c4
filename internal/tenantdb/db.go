package tenantdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/pgdb"
)

// ApplicationName is how sessions in a project's database are named there.
const ApplicationName = "authsync mirror"

// ConnectTimeout bounds one attempt to connect.
const ConnectTimeout = 5 * time.Second

// answerMargin is how much longer than its statement_timeout a server may take to answer.
const answerMargin = 5 * time.Second

// MaxConns is how many connections a project's database gets from one process.
const MaxConns = 4

var (
	// ErrNoAnswer is the cause of a call that the server did not answer in time.
	ErrNoAnswer = errors.New("the project database does not answer")
	// ErrRetired says that the project's database was deleted or moved: the next Get gives the new one.
	ErrRetired = errors.New("the project's database has moved")
)

// DB is one project's database.
type DB struct {
	projectID uuid.UUID
	url       string
	config    Config
	pool      *pgxpool.Pool
	breaker   breaker
	active    chan struct{} // holds one for each running job; see Acquire

	taken int // of Databases.slots, under its mutex

	retries sync.Mutex
	retryAt time.Time // of the job that was turned away last

	life      sync.Mutex
	closers   []func(ctx context.Context) error
	isRetired bool
}

func newDB(ctx context.Context, config Config, projectID uuid.UUID, url string) (*DB, error) {
	pool, err := config.Tenants.Open(ctx, url, pgdb.Options{
		ApplicationName: ApplicationName,
		Project:         projectID,
		MaxConns:        MaxConns,
		MaxConnIdleTime: time.Minute,
		ConnectTimeout:  ConnectTimeout,
		RuntimeParams: map[string]string{
			"statement_timeout": milliseconds(config.CallTimeout),
			"lock_timeout":      milliseconds(config.LockTimeout),
			"search_path":       "pg_catalog, pg_temp", // no object of the customer's may shadow ours
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open the database of project %s: %w", projectID, err)
	}
	db := &DB{projectID: projectID, url: url, config: config, pool: pool, active: make(chan struct{}, MaxActive)}
	db.breaker.now = config.Now
	return db, nil
}

// milliseconds writes a duration as PostgreSQL's settings take it.
func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// ProjectID is whose database it is.
func (db *DB) ProjectID() uuid.UUID { return db.projectID }

// URL is where the database is.
func (db *DB) URL() string { return db.url }

// Pool gives the connections.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// OnClose has fn called before the connections are closed, to wait for what still uses them. The error is ErrRetired.
func (db *DB) OnClose(fn func(ctx context.Context) error) error {
	db.life.Lock()
	defer db.life.Unlock()
	if db.isRetired {
		return ErrRetired
	}
	db.closers = append(db.closers, fn)
	return nil
}

// retire refuses new users and gives the closers of those there are.
func (db *DB) retire() []func(ctx context.Context) error {
	db.life.Lock()
	defer db.life.Unlock()
	closers := db.closers
	db.closers, db.isRetired = nil, true
	return closers
}

func (db *DB) close(ctx context.Context) error { return db.closeWith(ctx, db.retire()) }

func (db *DB) closeWith(ctx context.Context, closers []func(ctx context.Context) error) error {
	var errs []error
	for _, fn := range closers {
		errs = append(errs, fn(ctx))
	}
	db.pool.Close()
	return errors.Join(errs...)
}

// CallTimeout is how long one statement may take.
func (db *DB) CallTimeout() time.Duration { return db.config.CallTimeout }

// Bound bounds a call whose server does not answer at all; otherwise the server's statement_timeout comes first.
func (db *DB) Bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, db.config.CallTimeout+answerMargin, ErrNoAnswer)
}

// Disconnected reports whether an established connection broke or was ended during a call, and then discards all others, which are of
// the same server. The database may be available, so the caller may repeat the call once, on a new connection.
func (db *DB) Disconnected(err error) bool {
	var connect *pgconn.ConnectError
	if err == nil || errors.Is(err, ErrNoAnswer) || errors.As(err, &connect) {
		return false
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && (pg.SeverityUnlocalized == "ERROR" || !pgdb.Unavailable(err)) {
		return false
	}
	db.pool.Reset()
	return true
}

// Failed opens the breaker after a call that failed because the database is unavailable, and says until when.
func (db *DB) Failed(err error) (until time.Time) { return db.breaker.failed(err) }

// Succeeded closes the breaker after a call that succeeded.
func (db *DB) Succeeded() { db.breaker.succeeded() }
