package schema

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// State compares a database with what this binary knows.
type State struct {
	Kind     Kind
	Schema   string
	Database string
	// Encoding is the database's encoding; Up accepts only UTF8.
	Encoding string
	// Exists reports that there is a schema of that name, whoever created it.
	Exists bool
	// InstalledAt is when the schema was installed; zero if it was not, or if that is unknown.
	InstalledAt time.Time
	// Version is the last applied migration, 0 if none; Latest is the last known one.
	Version, Latest uint
	// Dirty reports that a migration was interrupted; see ErrDirty.
	Dirty bool
	// RiverVersion and RiverLatest are those of River's migrations; 0 in a project database.
	RiverVersion, RiverLatest int
	// CodeRevision and CodeHash identify the installed functions and views; LatestRevision and
	// LatestHash those of this binary.
	CodeRevision, LatestRevision int
	CodeHash, LatestHash         string
	// CodeVersion is the version of the tables that the code was applied for.
	CodeVersion uint
	// MinVersion and MinRiverVersion are what a binary must know to work with a newer schema.
	MinVersion      uint
	MinRiverVersion int
	// Missing lists functions and views of this binary that a newer one has dropped.
	Missing []string
	// OtherServer reports that the recorded definitions were printed by another major version of
	// PostgreSQL.
	OtherServer bool
	// Problems lists what was dropped or modified; only Status and Inspect fill it.
	Problems []Problem
	// InTheWay lists foreign objects whose names Up needs; only Status and Inspect fill it.
	InTheWay []string
}

// Installed reports whether Up has run before.
func (s State) Installed() bool { return s.Version > 0 || s.CodeHash != "" }

// UpToDate reports whether Up has nothing to do.
func (s State) UpToDate() bool {
	if s.Newer() {
		return s.Compatible() && !s.damaged()
	}
	return !s.Dirty && s.Version == s.Latest && s.RiverVersion >= s.RiverLatest && s.CodeUpToDate() && !s.damaged()
}

// damaged reports whether Up would repair something or refuse.
func (s State) damaged() bool { return heals(s.Problems) || blocks(s.Problems) }

// CodeUpToDate reports whether the installed functions and views are those of this binary, or of a
// newer one, which this one leaves alone.
func (s State) CodeUpToDate() bool {
	return (s.CodeHash == s.LatestHash && s.CodeVersion == s.Version && !s.OtherServer) || s.CodeRevision > s.LatestRevision
}

// Newer reports whether a newer authsync has upgraded the database.
func (s State) Newer() bool {
	return s.Version > s.Latest || s.RiverVersion > s.RiverLatest || s.CodeRevision > s.LatestRevision
}

// Compatible reports whether this binary can work with a database that a newer authsync has
// upgraded. It can if it knows the last migration whose header says "Breaking", and all functions
// and views that it calls exist. During an upgrade old processes keep running beside the new ones;
// a dirty version then means that the migration is running.
func (s State) Compatible() bool {
	return s.MinVersion <= s.Latest && s.MinRiverVersion <= s.RiverLatest && len(s.Missing) == 0
}

// Querier is a connection, a pool or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Status compares a database with this binary. It changes nothing.
func Status(ctx context.Context, url string, kind Kind) (State, error) {
	in, err := open(ctx, url, sourceOf(kind), Options{}, anyConnection)
	if err != nil {
		return State{}, err
	}
	defer in.close(ctx)
	state, err := in.inspect(ctx, in.conn)
	if err != nil {
		return State{}, in.explain(ctx, err)
	}
	return state, nil
}

// Refused returns why this binary cannot work with the database and Up refuses it: ErrEncoding,
// ErrNewerSchema or nil.
func (s State) Refused() error { return sourceOf(s.Kind).refuse(s) }

// Read is Status of the database that db is connected to.
func Read(ctx context.Context, db Querier, kind Kind) (State, error) {
	return sourceOf(kind).read(ctx, db)
}

// UpToDate reports whether this binary can work with the schema as it is, with two quick queries.
// It does not detect manual changes; see Inspect. A dirty version is not an error: another process
// may be running the migration; Up, which waits for it, finds out. Errors: ErrNewerSchema,
// ErrEncoding, ErrForeign, and those of the database.
func UpToDate(ctx context.Context, db Querier, kind Kind) (bool, error) {
	return sourceOf(kind).upToDate(ctx, db)
}

func (s source) upToDate(ctx context.Context, db Querier) (bool, error) {
	state, err := s.read(ctx, db)
	if err == nil {
		err = s.refuse(state)
	}
	return err == nil && state.UpToDate(), err
}

// refuse returns why this binary must neither touch the schema nor work with it.
func (s source) refuse(state State) error {
	switch {
	case state.Encoding != utf8:
		return s.encodingError(state)
	case state.Newer() && !state.Compatible():
		return s.newerError(state)
	default:
		return nil
	}
}

const selectWhere = `
	SELECT current_database() AS database, current_setting('server_encoding') AS encoding, f.*
	FROM (` + selectFooting + `) AS f`

// read compares versions. It checks first what exists, so that it never breaks a transaction.
func (s source) read(ctx context.Context, db Querier) (State, error) {
	state := State{
		Kind: s.kind, Schema: s.kind.Name(), Latest: s.latest(), RiverLatest: latestRiver(s.kind),
		LatestRevision: s.revision(), LatestHash: s.digest,
	}
	var has footing
	err := db.QueryRow(ctx, selectWhere, s.kind.Name()).
		Scan(&state.Database, &state.Encoding, &has.Schema, &has.Migrations, &has.Code, &has.Objects, &has.River)
	if err != nil {
		return State{}, fmt.Errorf("check schema %s: %w", s.kind.Name(), err)
	}
	state.Exists = has.Schema
	if foreign := has.foreign(s); len(foreign) > 0 {
		return State{}, s.foreignError(foreign)
	}
	// golang-migrate replaces the version by TRUNCATE; a statement that began earlier sees an empty
	// table.
	for range 3 {
		if err = s.readVersions(ctx, db, has, &state); err != nil || state.Version > 0 || has.Code == nil {
			break
		}
	}
	if err == nil && state.CodeRevision > state.LatestRevision {
		err = s.readMissing(ctx, db, &state)
	}
	if err != nil {
		return State{}, fmt.Errorf("read state of schema %s: %w", s.kind.Name(), err)
	}
	return state, nil
}

func (s source) readVersions(ctx context.Context, db Querier, has footing, state *State) error {
	migrations := `SELECT NULL::bigint AS version, NULL::boolean AS dirty`
	if has.Migrations != nil {
		migrations = `SELECT max(m.version), bool_or(m.dirty) FROM ` + s.quoted(versionTable) + ` AS m`
	}
	code := `SELECT NULL::integer AS revision, NULL::text AS hash, NULL::timestamptz AS installed_at, NULL::bigint AS code_version,
		NULL::bigint AS min_version, NULL::integer AS min_river_version, NULL::boolean AS other_server`
	if has.Code != nil && has.Objects != nil {
		code = `SELECT max(k.revision), max(k.hash), max(k.installed_at), max(k.version), max(k.min_version), max(k.min_river_version),
			bool_or(k.server_major <> current_setting('server_version_num')::integer / 10000) FROM ` + s.quoted("schema_code") + ` AS k`
	}
	river := `SELECT NULL::bigint AS version`
	if has.River {
		river = `SELECT max(r.version) FROM ` + s.quoted("river_migration") + ` AS r WHERE r.line = 'main'`
	}
	var (
		version, codeVersion, minVersion, riverVersion *int64
		dirty, otherServer                             *bool
		revision, minRiver                             *int
		hash                                           *string
		installedAt                                    *time.Time
	)
	err := db.QueryRow(ctx, `SELECT * FROM (`+migrations+`) AS m, (`+code+`) AS c, (`+river+`) AS r`).
		Scan(&version, &dirty, &revision, &hash, &installedAt, &codeVersion, &minVersion, &minRiver, &otherServer, &riverVersion)
	if err != nil {
		return err
	}
	state.Version, state.Dirty, state.RiverVersion = uint(max(0, value(version))), value(dirty), int(value(riverVersion))
	state.CodeRevision, state.CodeHash, state.InstalledAt = value(revision), value(hash), value(installedAt)
	state.CodeVersion = uint(max(0, value(codeVersion)))
	state.MinVersion, state.MinRiverVersion, state.OtherServer = uint(max(0, value(minVersion))), value(minRiver), value(otherServer)
	if minVersion == nil { // no longer known: assume the worst
		state.MinVersion, state.MinRiverVersion = state.Version, state.RiverVersion
	}
	return nil
}

// selectMissing lists this binary's functions and views that do not exist.
const selectMissing = `
	SELECT array(
		SELECT d.kind || ' ' || d.name
		FROM unnest($1::text[], $2::text[]) AS d (kind, name)
		WHERE CASE WHEN d.kind = 'view' THEN to_regclass(d.name) IS NULL ELSE to_regprocedure(d.name) IS NULL END
		ORDER BY 1)`

func (s source) readMissing(ctx context.Context, db Querier, state *State) error {
	var kinds, names []string
	for _, file := range s.files {
		if o, err := file.declared(); err == nil && (o.Kind == "view" || o.Kind == "function" || o.Kind == "procedure") {
			kinds, names = append(kinds, o.Kind), append(names, o.Identity)
		}
	}
	return db.QueryRow(ctx, selectMissing, kinds, names).Scan(&state.Missing)
}

func value[T any](p *T) (zero T) {
	if p == nil {
		return zero
	}
	return *p
}
