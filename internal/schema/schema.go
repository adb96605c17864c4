// Package schema installs and upgrades what authsync keeps in databases: the
// schema authsync of the control database (inbox, projects, River's tables) and
// the schema capydb_auth of a project database (the mirror).
//
// It stands before the road of a webhook: inbox and mirror find their tables
// because Up ran. The command `authsync migrate` and package mirror call it.
//
// A schema has three layers, laid in this order:
//
//  1. migrations/: numbered, tables and data, applied once each by golang-migrate,
//     which keeps its version table in our schema;
//  2. River's own migrations, in the control database only;
//  3. sql/: functions, views, triggers and grants, all applied again in one
//     transaction whenever they differ from what the database has.
//
// Up and Down take a session-level advisory lock, so any number of
// processes may call them at once; for that they need a direct connection, not
// one through a transaction pooler.
package schema

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// Kind says which of the two schemas is meant.
type Kind string

const (
	// Control is schema authsync in authsync's own database.
	Control Kind = "control"
	// Project is schema capydb_auth in a project's database.
	Project Kind = "project"
)

// Name returns the name of the schema in the database.
func (k Kind) Name() string {
	if k == Control {
		return "authsync"
	}
	return "capydb_auth"
}

// Errors that callers tell apart. The texts around them say what to do.
var (
	// ErrNewerSchema: a newer authsync has upgraded the database; this one must not touch it.
	ErrNewerSchema = errors.New("the schema is newer than this authsync")
	// ErrDirty: a migration was cut short, and whether it took effect is not known.
	ErrDirty = errors.New("a migration was cut short")
	// ErrForeign: something that authsync did not make has a name that it needs; the text has both.
	ErrForeign = errors.New("a name is taken")
	// ErrDepends: something was built on an object that must be dropped; the text names both.
	ErrDepends = errors.New("something depends on it")
	// ErrDamaged: a table, column or type of ours is missing; the text says how to get it back.
	ErrDamaged = errors.New("the schema is damaged")
	// ErrEncoding: the database can't hold every text.
	ErrEncoding = errors.New("the database is not encoded in UTF8")
	// ErrMissingRights: the role may not do what is needed; the text has the GRANT.
	ErrMissingRights = errors.New("missing rights")
)

// NeedsPerson reports whether an error is one of those above: trying again helps only after
// somebody has done what the text says.
func NeedsPerson(err error) bool {
	return slices.ContainsFunc([]error{
		ErrNewerSchema, ErrDirty, ErrForeign, ErrDepends, ErrDamaged, ErrEncoding, ErrMissingRights,
	}, func(one error) bool { return errors.Is(err, one) })
}

// Options adjust Up and Down. The zero value is good.
type Options struct {
	// LockTimeout is how long a statement waits for a table that is in use; 0: 10 s.
	// A migration that can't get its lock fails, leaves nothing behind and can be run again.
	LockTimeout time.Duration
	// StatementTimeout bounds one statement; 0: 15 min.
	StatementTimeout time.Duration
	// Logger hears of each step; nil: nobody does.
	Logger *slog.Logger
	// Tenants reads the URL and connects, where it is that of a project; nil: it is the operator's.
	Tenants *pgdb.Tenants
	// Project is the id of the project for which it is; see pgdb.Options.
	Project uuid.UUID
}

func (o Options) withDefaults() Options {
	if o.LockTimeout <= 0 {
		o.LockTimeout = 10 * time.Second
	}
	if o.StatementTimeout <= 0 {
		o.StatementTimeout = 15 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Report says what Up or Down changed.
type Report struct {
	// From and To are the versions of our migrations before and after; 0: none.
	From, To uint
	// RiverFrom and RiverTo are the versions of River's migrations.
	RiverFrom, RiverTo int
	// CodeApplied: functions, views, triggers and grants were applied again.
	CodeApplied bool
	// Dropped names routines, views and triggers that no file of sql/ makes any more.
	Dropped []string
	// Repaired says what was missing or not as it was made, and is again.
	Repaired []string
	// Kept says what no file makes any more and was not dropped, and why.
	Kept []string
}

// Changed reports whether anything was changed.
func (r Report) Changed() bool {
	return r.From != r.To || r.RiverFrom != r.RiverTo || r.CodeApplied || len(r.Dropped) > 0 || len(r.Repaired) > 0
}

// Up brings the schema to the state that this binary knows, from any older
// state or from nothing. If it is in that state, one query finds out. Killed at
// any point, it leaves a state that the next Up goes on from, or ErrDirty if
// the kill fell between a migration and its being noted.
//
// The role needs CREATE on the database for the first time, and to own the
// schema afterwards. No superuser, no extension.
//
// Functions, views and triggers that are missing, or not as they were made, are made again. What
// is not in the record of what authsync has made is never touched.
//
// Errors: ErrNewerSchema, ErrDirty, ErrMissingRights, ErrForeign, ErrDepends, ErrDamaged,
// ErrEncoding, and those of the database; see pgdb.Unavailable.
func Up(ctx context.Context, url string, kind Kind, opts Options) (Report, error) {
	return sourceOf(kind).up(ctx, url, opts)
}

func (s source) up(ctx context.Context, url string, opts Options) (Report, error) {
	in, err := open(ctx, url, s, opts, anyConnection)
	if err != nil {
		return Report{}, err
	}
	defer in.close(ctx)
	state, err := s.inspect(ctx, in.conn)
	if err == nil {
		err = s.refuse(state)
	}
	switch {
	case pgdb.Retryable(err): // somebody is installing right now: runUp waits for them
	case err != nil:
		return Report{}, in.explain(ctx, err)
	case state.UpToDate():
		return Report{From: state.Version, To: state.Version, RiverFrom: state.RiverVersion, RiverTo: state.RiverVersion}, nil
	}
	if err := in.needDirect(ctx); err != nil {
		return Report{}, err
	}
	report, err := in.runUp(ctx)
	in.log(ctx, report)
	if err != nil {
		return report, in.explain(ctx, err)
	}
	return report, nil
}

// Down takes back the newest steps migrations (more than there are: all), with
// the data in their tables. Functions, views and triggers go first; the next Up
// brings them back. In the control database, River's tables go with the last
// migration. The schema itself stays, empty but for the tables of this package.
func Down(ctx context.Context, url string, kind Kind, steps int, opts Options) (Report, error) {
	return sourceOf(kind).down(ctx, url, steps, opts)
}

func (s source) down(ctx context.Context, url string, steps int, opts Options) (Report, error) {
	if steps < 1 {
		return Report{}, fmt.Errorf("migrate down: %d steps; say at least 1", steps)
	}
	in, err := open(ctx, url, s, opts, direct)
	if err != nil {
		return Report{}, err
	}
	defer in.close(ctx)
	report, err := in.runDown(ctx, steps)
	in.log(ctx, report)
	if err != nil {
		return report, in.explain(ctx, err)
	}
	return report, nil
}

// installer is one connection that works on one schema.
type installer struct {
	source
	opts Options
	url  string
	conn *pgx.Conn
}

// way is what kind of connection is needed.
type way bool

const (
	anyConnection way = false
	// direct: not through a pooler that gives each transaction another session.
	direct way = true
)

func open(ctx context.Context, url string, s source, opts Options, w way) (*installer, error) {
	in := &installer{source: s, opts: opts.withDefaults(), url: url}
	return in, in.connect(ctx, w)
}

func (in *installer) connect(ctx context.Context, w way) error {
	config, err := in.connConfig(w)
	if err != nil {
		return err
	}
	in.conn, err = pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to install schema %s: %w", in.kind.Name(), err)
	}
	return nil
}

// needDirect makes the connection one on which locks and settings last, for what a look alone
// does not need. The error wraps pgdb.ErrPooled where there is none.
func (in *installer) needDirect(ctx context.Context) error {
	if !pgdb.Pooled(in.conn) {
		return nil
	}
	in.close(ctx)
	return in.connect(ctx, direct)
}

// connConfig returns how to connect. search_path is empty on purpose: every
// name in migrations/ and sql/ says its schema, so nothing lands elsewhere.
func (in *installer) connConfig(w way) (*pgx.ConnConfig, error) {
	return in.opts.Tenants.ConnConfig(in.url, in.options(w))
}

func (in *installer) options(w way) pgdb.Options {
	return pgdb.Options{
		ApplicationName: "authsync migrate",
		MaxConns:        2,
		Project:         in.opts.Project,
		Direct:          bool(w),
		RuntimeParams: map[string]string{
			"search_path":                         "",
			"lock_timeout":                        milliseconds(in.opts.LockTimeout),
			"statement_timeout":                   milliseconds(in.opts.StatementTimeout),
			"idle_in_transaction_session_timeout": milliseconds(in.opts.StatementTimeout),
		},
	}
}

func (in *installer) close(ctx context.Context) {
	if in.conn == nil { // it could not be opened again
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = in.conn.Close(ctx) // gives the advisory lock free, whatever it answers
}

// withLock runs fn while no other process installs this schema in this database.
// It waits for as long as ctx lasts: ten processes that start at once take turns.
func (in *installer) withLock(ctx context.Context, fn func() error) error {
	const wait = `SELECT set_config('lock_timeout', '0', false), set_config('statement_timeout', '0', false),
		pg_advisory_lock(hashtextextended('authsync install ' || $1, 0))`
	if _, err := in.conn.Exec(ctx, wait, in.kind.Name()); err != nil {
		return fmt.Errorf("wait for other installers: %w", err)
	}
	_, err := in.conn.Exec(ctx, `SELECT set_config('lock_timeout', $1, false), set_config('statement_timeout', $2, false)`,
		milliseconds(in.opts.LockTimeout), milliseconds(in.opts.StatementTimeout))
	if err != nil {
		return fmt.Errorf("set timeouts: %w", err)
	}
	err = fn()
	unlockCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, unlockErr := in.conn.Exec(unlockCtx, `SELECT pg_advisory_unlock(hashtextextended('authsync install ' || $1, 0))`, in.kind.Name())
	if err == nil && unlockErr != nil {
		return fmt.Errorf("let other installers go on: %w", unlockErr)
	}
	return err
}

// milliseconds writes a duration as PostgreSQL's settings take it.
func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
