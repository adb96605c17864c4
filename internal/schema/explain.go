package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authsync/authsync/internal/pgdb"
)

const utf8 = "UTF8"

// dirtyError explains how to repair a dirty version. A person must decide, because the process died
// after starting the migration and before recording its success.
func (s source) dirtyError(version uint) error {
	table := s.quoted(versionTable)
	before := fmt.Sprintf("DELETE FROM %s;", table)
	if i := slices.Index(s.versions(), version); i > 0 {
		before = fmt.Sprintf("UPDATE %s SET version = %d, dirty = false;", table, s.versions()[i-1])
	}
	return fmt.Errorf("%w: the one to version %d of schema %s. If the tables are as that migration leaves them, run: "+
		"UPDATE %s SET dirty = false; If they are as they were before it, run: %s Then migrate again",
		ErrDirty, version, s.kind.Name(), table, before)
}

func (s source) newerError(state State) error {
	const advice = "run the authsync that upgraded it, or a newer one"
	switch {
	case state.MinVersion > state.Latest:
		return fmt.Errorf("%w: schema %s is at version %d and needs a binary that knows version %d, but this one knows %d; %s",
			ErrNewerSchema, s.kind.Name(), state.Version, state.MinVersion, state.Latest, advice)
	case state.MinRiverVersion > state.RiverLatest:
		return fmt.Errorf("%w: River's tables are at version %d, but this binary knows %d; %s",
			ErrNewerSchema, state.RiverVersion, state.RiverLatest, advice)
	default:
		return fmt.Errorf("%w: schema %s no longer has %s, which this binary calls; %s",
			ErrNewerSchema, s.kind.Name(), strings.Join(state.Missing, ", "), advice)
	}
}

// downError refuses to revert migrations that this binary does not know.
func (s source) downError(version uint) error {
	return fmt.Errorf("%w: schema %s is at version %d, but this binary knows %d; revert migrations with the authsync that applied them",
		ErrNewerSchema, s.kind.Name(), version, s.latest())
}

func (s source) encodingError(state State) error {
	return fmt.Errorf("%w: database %s is encoded in %s, which cannot store every name; create one with UTF8, "+
		"CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, move the data there with pg_dump and pg_restore, and give its URL",
		ErrEncoding, pgx.Identifier{state.Database}.Sanitize(), state.Encoding)
}

// foreignError lists foreign objects whose names authsync needs.
func (s source) foreignError(objects []string) error {
	is, it := "is", "it"
	if len(objects) > 1 {
		is, it = "are", "them"
	}
	return fmt.Errorf("%w: %s %s there already but not authsync's; rename or drop %s, or move %s to another schema, and try again",
		ErrForeign, strings.Join(objects, ", "), is, it, it)
}

// dependsError lists foreign objects that depend on an object that must be dropped.
func dependsError(o string, err error) error {
	var what string
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		what = strings.ReplaceAll(pgErr.Detail, "\n", "; ") // "view theirs depends on view ours", without row data
	}
	return fmt.Errorf("%w: %s must be recreated or dropped, but other objects depend on it: %s; "+
		"drop those, try again, and recreate them afterwards: %w", ErrDepends, o, what, err)
}

func list(problems []Problem) string {
	var names []string
	for _, p := range problems {
		names = append(names, p.String())
	}
	return strings.Join(names, ", ")
}

// explain adds to an error what to do about it, such as the privilege to grant and to whom.
func (in *installer) explain(ctx context.Context, err error) error {
	switch pgdb.Code(err) {
	case pgerrcode.DuplicateTable, pgerrcode.DuplicateObject, pgerrcode.DuplicateFunction:
		pgErr, _ := errors.AsType[*pgconn.PgError](err)
		return fmt.Errorf("%w: an object in schema %s has a name that authsync needs (%s); rename or drop it, "+
			"or move it to another schema, and try again: %w", ErrForeign, in.kind.Name(), pgErr.Message, err)
	case pgerrcode.DependentObjectsStillExist:
		if !errors.Is(err, ErrDepends) {
			return dependsError("an object in schema "+in.kind.Name(), err)
		}
		return err
	case pgerrcode.InsufficientPrivilege:
		return in.explainRights(ctx, err)
	default:
		return err
	}
}

func (in *installer) explainRights(ctx context.Context, err error) error {
	var role, database string
	var owner *string
	queryErr := in.conn.QueryRow(ctx, `
		SELECT current_user, current_database(),
			(SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace AS n WHERE n.nspname = $1)`,
		in.kind.Name()).Scan(&role, &database, &owner)
	if queryErr != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrMissingRights, err), queryErr)
	}
	quote := func(name string) string { return pgx.Identifier{name}.Sanitize() }
	if owner == nil {
		return fmt.Errorf("%w: role %s may not create schema %s; as owner of the database run: GRANT CREATE ON DATABASE %s TO %s: %w",
			ErrMissingRights, role, in.kind.Name(), quote(database), quote(role), err)
	}
	if *owner == role {
		return fmt.Errorf("%w: an object in schema %s is owned by a role other than %s: run ALTER … OWNER TO %s, or connect as its owner: %w",
			ErrMissingRights, in.kind.Name(), role, quote(role), err)
	}
	return fmt.Errorf("%w: schema %s is owned by role %s, and role %s may not change it; connect as %s, or as superuser run: GRANT %s TO %s: %w",
		ErrMissingRights, in.kind.Name(), *owner, role, *owner, quote(*owner), quote(role), err)
}
