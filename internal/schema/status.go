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
	return !s.Dirty && s.Version == s.Latest && s.RiverVersion >= s.RiverLatest &&
		currentCode(s.Kind, s.CodeRevision, s.CodeHash)
}

// Newer reports whether a newer authsync has upgraded the database.
func (s State) Newer() bool { return s.Version > s.Latest || s.RiverVersion > s.RiverLatest }

// Querier is what UpToDate asks: a connection, a pool or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Status compares a database with this binary and changes nothing.
func Status(ctx context.Context, url string, kind Kind) (State, error) {
	in, err := open(ctx, url, kind, Options{})
	if err != nil {
		return State{}, err
	}
	defer in.close(ctx)
	status, err := read(ctx, in.conn, kind)
	if err != nil {
		return State{}, in.explain(ctx, err)
	}
	return status, nil
}

// UpToDate reports whether Up has nothing to do, by one query; for the first use
// of a database. Errors: ErrNewerSchema, ErrDirty, and those of the database. In
// a transaction it leaves an error behind if the schema is not installed.
func UpToDate(ctx context.Context, db Querier, kind Kind) (bool, error) {
	status, err := read(ctx, db, kind)
	switch {
	case err != nil:
		return false, err
	case status.Dirty:
		return false, dirtyError(kind, status.Version)
	case status.Newer():
		return false, newerError(kind, status.Version)
	default:
		return status.UpToDate(), nil
	}
}

// read gets the state by one query if all is installed. If a table is missing,
// it asks for each one alone.
func read(ctx context.Context, db Querier, kind Kind) (State, error) {
	s := State{Kind: kind, Schema: kind.Name(), Latest: latestVersion(kind), RiverLatest: latestRiver(kind), LatestHash: Hash(kind)}
	s.LatestRevision = revision(kind)

	name := pgx.Identifier{kind.Name()}.Sanitize()
	migrations := `SELECT max(version) AS version, bool_or(dirty) AS dirty FROM ` + name + `.schema_migrations`
	code := `SELECT max(revision) AS revision, max(hash) AS hash FROM ` + name + `.schema_code`
	river := `SELECT max(version) AS version FROM ` + name + `.river_migration WHERE line = 'main'`
	if kind != Control {
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
		Scan(&s.Database, &version, &dirty, &number, &hash, &jobs)
	if pgdb.Code(err) == undefinedTable {
		err = readEach(
			func() error { return db.QueryRow(ctx, `SELECT current_database()`).Scan(&s.Database) },
			func() error { return db.QueryRow(ctx, migrations).Scan(&version, &dirty) },
			func() error { return db.QueryRow(ctx, code).Scan(&number, &hash) },
			func() error { return db.QueryRow(ctx, river).Scan(&jobs) },
		)
	}
	if err != nil {
		return State{}, fmt.Errorf("read state of schema %s: %w", kind.Name(), err)
	}
	s.Version = uint(max(0, value(version)))
	s.Dirty, s.RiverVersion = value(dirty), value(jobs)
	s.CodeRevision, s.CodeHash = value(number), value(hash)
	return s, nil
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
