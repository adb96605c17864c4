// Package schema installs and upgrades authsync's schemas: authsync in the control database (inbox,
// projects, River's tables) and capydb_auth in a project database (the mirror). The command
// `authsync migrate` and package mirror call it.
//
// A schema has three layers, applied in this order:
//
//  1. migrations/: numbered, tables and data, applied once each by golang-migrate,
//     which keeps its version table in our schema;
//  2. River's own migrations, in the control database only;
//  3. sql/: functions, views, triggers and grants, all applied again in one
//     transaction whenever they differ from those in the database.
//
// Up and Down take a session-level advisory lock, so any number of processes may call them at the
// same time; they therefore need a direct connection, not a transaction pooler.
//
// If the process dies during a migration, the version stays marked as dirty, and the next run says how to find out
// whether it was applied. All of sql/ is applied, or none of it.
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

// Kind selects one of the two schemas.
type Kind string

const (
	// Control is schema authsync in authsync's own database.
	Control Kind = "control"
	// Project is schema capydb_auth in a project database.
	Project Kind = "project"
)

// Name returns the schema's name.
func (k Kind) Name() string {
	if k == Control {
		return "authsync"
	}
	return "capydb_auth"
}

// Errors that callers distinguish. The text around them says what to do.
var (
	// ErrNewerSchema: a newer authsync has upgraded the database; this one must not touch it.
	ErrNewerSchema = errors.New("the schema is newer than this authsync")
	// ErrDirty: a migration was interrupted, and its outcome is unknown.
	ErrDirty = errors.New("a migration was interrupted")
	// ErrForeign: an object that authsync did not create has a name that it needs; the text has
	// both.
	ErrForeign = errors.New("a name is taken")
	// ErrDepends: a foreign object depends on an object that must be dropped; the text names both.
	ErrDepends = errors.New("other objects depend on it")
	// ErrDamaged: a table, column or type of ours is missing; the text says how to restore it.
	ErrDamaged = errors.New("the schema is damaged")
	// ErrEncoding: the database cannot store every text.
	ErrEncoding = errors.New("the database is not encoded in UTF8")
	// ErrMissingRights: the role lacks a privilege; the text has the GRANT.
	ErrMissingRights = errors.New("missing privileges")
)

// NeedsPerson reports whether err is one of the above: retrying helps only after someone has
// followed its advice.
func NeedsPerson(err error) bool {
	return slices.ContainsFunc([]error{
		ErrNewerSchema, ErrDirty, ErrForeign, ErrDepends, ErrDamaged, ErrEncoding, ErrMissingRights,
	}, func(one error) bool { return errors.Is(err, one) })
}

// Options configure Up and Down. The zero value is usable.
type Options struct {
	// LockTimeout is how long a statement waits for a lock on a table; 0 means 10 s. A migration
	// that cannot get its lock fails, leaves nothing behind and can be run again.
	LockTimeout time.Duration
	// StatementTimeout limits one statement; 0 means 15 min.
	StatementTimeout time.Duration
	// Logger logs each step; nil means no log.
	Logger *slog.Logger
	// Tenants parses the URL and connects if it is a project's; nil means that it is the
	// operator's.
	Tenants *pgdb.Tenants
	// Project is the id of the project that the schema is for; see pgdb.Options.
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

// Report describes what Up or Down changed.
type Report struct {
	// From and To are the versions of our migrations before and after; 0 means none.
	From, To uint
	// RiverFrom and RiverTo are the versions of River's migrations before and after.
	RiverFrom, RiverTo int
	// CodeApplied reports that functions, views, triggers and grants were applied.
	CodeApplied bool
	// Dropped lists routines, views and triggers that no file of sql/ creates any more.
	Dropped []string
	// Replaced lists what others had made of routines, views and triggers that sql/ has made again.
	Replaced []Replaced
	// Repaired lists what was missing or modified and has been restored.
	Repaired []string
	// Kept lists what no file creates any more but could not be dropped, and why.
	Kept []string
}

// Replaced is what others had made of an object of ours. Definition is at most 1 kB of it; nobody else keeps it.
type Replaced struct{ Object, Definition string }

// Changed reports whether the installation changed anything.
func (r Report) Changed() bool {
	return r.From != r.To || r.RiverFrom != r.RiverTo || r.CodeApplied || len(r.Dropped) > 0 || len(r.Repaired) > 0
}

// Up brings the schema to the state that this binary knows, from any older state or from nothing.
// If it is current, one query finds out. If the process dies at any point, the next Up continues
// from there, or returns ErrDirty if it died between a migration and recording it.
//
// The role needs CREATE on the database the first time and must own the schema afterwards. It needs
// no superuser and no extension.
//
// Missing or modified functions, views and triggers are recreated. Objects that are not recorded as
// authsync's are never touched.
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
	case pgdb.Retryable(err): // another process is installing: runUp waits for it
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

// Down reverts the newest steps migrations (all if there are fewer), with the data in their tables.
// Functions, views and triggers are dropped first; the next Up restores them. In the control
// database, River's tables go with the last migration. The schema itself stays, with only this
// package's tables.
func Down(ctx context.Context, url string, kind Kind, steps int, opts Options) (Report, error) {
	return sourceOf(kind).down(ctx, url, steps, opts)
}

func (s source) down(ctx context.Context, url string, steps int, opts Options) (Report, error) {
	if steps < 1 {
		return Report{}, fmt.Errorf("migrate down %d steps: must be at least 1", steps)
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

// installer is a connection that works on one schema.
type installer struct {
	source
	opts Options
	url  string
	conn *pgx.Conn
}

// way is the kind of connection needed.
type way bool

const (
	anyConnection way = false
	// direct excludes a transaction pooler.
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

// needDirect replaces a connection that was good enough for reading with one on which locks and
// settings last. The error wraps pgdb.ErrPooled if there is none.
func (in *installer) needDirect(ctx context.Context) error {
	if !pgdb.Pooled(in.conn) {
		return nil
	}
	in.close(ctx)
	return in.connect(ctx, direct)
}

// connConfig returns the connection configuration. search_path is deliberately empty: every name in
// migrations/ and sql/ is qualified, so nothing ends up elsewhere.
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
	if in.conn == nil { // reconnecting failed
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = in.conn.Close(ctx) // releases the advisory lock, whatever it returns
}

// withLock runs fn while no other process installs this schema in this database. It waits until ctx
// ends: ten processes that start at the same time take turns.
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
		return fmt.Errorf("release installer lock: %w", unlockErr)
	}
	return err
}

// milliseconds formats a duration for PostgreSQL's settings.
func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
