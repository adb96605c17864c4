package schema

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// State is what a database has against what this binary knows.
type State struct {
	Kind     Kind
	Schema   string
	Database string
	// Version is the last migration applied, 0 if none; Latest the last one known.
	Version, Latest uint
	// Dirty: a migration was cut short; see ErrDirty.
	Dirty bool
	// RiverVersion and RiverLatest are those of River's migrations; 0 in a project database.
	RiverVersion, RiverLatest int
	// CodeRevision and CodeHash say which functions and views are installed; LatestRevision and LatestHash which are known.
	CodeRevision, LatestRevision int
	CodeHash, LatestHash         string
}

// UpToDate reports whether Up has nothing to do.
func (s State) UpToDate() bool {
	return !s.Dirty && s.Version == s.Latest && s.RiverVersion >= s.RiverLatest && s.CodeUpToDate()
}

// CodeUpToDate reports whether the installed functions and views are those of
// this binary, or of a newer one, which this one leaves alone.
func (s State) CodeUpToDate() bool {
	return s.CodeHash == s.LatestHash || s.CodeRevision > s.LatestRevision
}

// Newer reports whether a newer authsync has upgraded the database.
func (s State) Newer() bool { return s.Version > s.Latest || s.RiverVersion > s.RiverLatest }

// Querier is what UpToDate asks: a connection, a pool or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Status compares a database with this binary and changes nothing.
func Status(ctx context.Context, url string, kind Kind) (State, error) {
	in, err := open(ctx, url, sourceOf(kind), Options{}, anyConnection)
	if err != nil {
		return State{}, err
	}
	defer in.close(ctx)
	state, err := in.read(ctx, in.conn)
	if err != nil {
		return State{}, in.explain(ctx, err)
	}
	return state, nil
}

// Read is Status of the database that db is connected to.
func Read(ctx context.Context, db Querier, kind Kind) (State, error) {
	return sourceOf(kind).read(ctx, db)
}

// UpToDate reports whether Up has nothing to do, by one query; for the first use
// of a database. A dirty version is no error here: another process may be in the
// middle of the migration; Up, which waits for it, finds out. Errors:
// ErrNewerSchema, and those of the database. In a transaction it leaves an error
// behind if the schema is not installed.
func UpToDate(ctx context.Context, db Querier, kind Kind) (bool, error) {
	return sourceOf(kind).upToDate(ctx, db)
}

func (s source) upToDate(ctx context.Context, db Querier) (bool, error) {
	state, err := s.read(ctx, db)
	switch {
	case err != nil:
		return false, err
	case state.Version > state.Latest:
		return false, s.newerError(state.Version)
	case state.RiverVersion > state.RiverLatest:
		return false, newerRiverError(state.RiverVersion)
	default:
		return state.UpToDate(), nil
	}
}

// read gets the state by one query if all is installed. If a table is missing,
// it asks for each one alone.
func (s source) read(ctx context.Context, db Querier) (State, error) {
	state := State{
		Kind: s.kind, Schema: s.kind.Name(), Latest: s.latest(), RiverLatest: latestRiver(s.kind),
		LatestRevision: s.revision(), LatestHash: s.hash(),
	}
	name := pgx.Identifier{s.kind.Name()}.Sanitize()
	migrations := `SELECT max(version) AS version, bool_or(dirty) AS dirty FROM ` + name + `.schema_migrations`
	code := `SELECT max(revision) AS revision, max(hash) AS hash FROM ` + name + `.schema_code`
	river := `SELECT max(version) AS version FROM ` + name + `.river_migration WHERE line = 'main'`
	if s.kind != Control {
		river = `SELECT 0 AS version`
	}
	var (
		version *int64
		dirty   *bool
		number  *int
		hash    *string
		jobs    *int
	)
	err := db.QueryRow(ctx, `SELECT current_database(), m.version, m.dirty, c.revision, c.hash, r.version
		FROM (`+migrations+`) AS m, (`+code+`) AS c, (`+river+`) AS r`).
		Scan(&state.Database, &version, &dirty, &number, &hash, &jobs)
	if pgdb.Code(err) == undefinedTable {
		err = readEach(
			func() error { return db.QueryRow(ctx, `SELECT current_database()`).Scan(&state.Database) },
			func() error { return db.QueryRow(ctx, migrations).Scan(&version, &dirty) },
			func() error { return db.QueryRow(ctx, code).Scan(&number, &hash) },
			func() error { return db.QueryRow(ctx, river).Scan(&jobs) },
		)
	}
	if err != nil {
		return State{}, fmt.Errorf("read state of schema %s: %w", s.kind.Name(), err)
	}
	state.Version = uint(max(0, value(version)))
	state.Dirty, state.RiverVersion = value(dirty), value(jobs)
	state.CodeRevision, state.CodeHash = value(number), value(hash)
	return state, nil
}

// readEach runs all queries; a missing table is no error.
func readEach(queries ...func() error) error {
	for _, query := range queries {
		if err := query(); err != nil && pgdb.Code(err) != undefinedTable {
			return err
		}
	}
	return nil
}

func value[T any](p *T) (zero T) {
	if p == nil {
		return zero
	}
	return *p
}
