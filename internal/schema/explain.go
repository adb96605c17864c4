package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

const insufficientPrivilege = "42501" // SQLSTATE

// dirtyError says how to repair. Which way a person must decide: the process
// ended after it had begun the migration and before it noted its success.
func (s source) dirtyError(version uint) error {
	table := pgx.Identifier{s.kind.Name(), versionTable}.Sanitize()
	before := fmt.Sprintf("DELETE FROM %s;", table)
	if i := slices.Index(s.versions(), version); i > 0 {
		before = fmt.Sprintf("UPDATE %s SET version = %d, dirty = false;", table, s.versions()[i-1])
	}
	return fmt.Errorf("%w: that to version %d of schema %s. If the tables are as that migration leaves them, run: "+
		"UPDATE %s SET dirty = false; If they are as they were before it, run: %s Then migrate again",
		ErrDirty, version, s.kind.Name(), table, before)
}

func (s source) newerError(version uint) error {
	return fmt.Errorf("%w: schema %s is at version %d, this binary knows %d; run the authsync that upgraded it, or a newer one",
		ErrNewerSchema, s.kind.Name(), version, s.latest())
}

func newerRiverError(version int) error {
	return fmt.Errorf("%w: River's tables are at version %d, this binary knows %d; run the authsync that upgraded them, or a newer one",
		ErrNewerSchema, version, latestRiver(Control))
}

// explain adds to an error about missing rights what to grant, and to whom.
func (in *installer) explain(ctx context.Context, err error) error {
	if pgdb.Code(err) != insufficientPrivilege {
		return err
	}
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
	return fmt.Errorf("%w: schema %s belongs to role %s, and role %s may not change it; connect as %s, or as superuser run: GRANT %s TO %s: %w",
		ErrMissingRights, in.kind.Name(), *owner, role, *owner, quote(*owner), quote(role), err)
}
