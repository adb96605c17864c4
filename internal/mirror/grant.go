package mirror

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// GrantError says why a role cannot be made a reader of the mirror, and what to do.
type GrantError struct{ Detail string }

func (e *GrantError) Error() string { return e.Detail }

func grantError(format string, args ...any) error {
	return &GrantError{Detail: fmt.Sprintf(format, args...)}
}

// readable are the tables and views that a reader sees; the ledger and the
// versions are authsync's own.
func readable() []string { return []string{"users", "user_changes", "user_sources", "placeholders"} }

const (
	selectRole = `
		SELECT r.rolsuper OR pg_has_role(r.oid, n.nspowner, 'USAGE') AS owns, pg_get_userbyid(n.nspowner) AS owner
		FROM pg_roles AS r, pg_namespace AS n
		WHERE r.rolname = $1 AND n.nspname = 'capydb_auth'`

	// What the role may do beyond reading, also by way of PUBLIC or of a role that it belongs to.
	selectSurplus = `
		SELECT format('%s on %s', p.privilege, c.oid::regclass)
		FROM pg_class AS c, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS p (privilege)
		WHERE c.relnamespace = 'capydb_auth'::regnamespace AND c.relkind IN ('r', 'p', 'v')
		AND CASE WHEN p.privilege IN ('INSERT', 'UPDATE')
			THEN has_any_column_privilege($1, c.oid, p.privilege)
			ELSE has_table_privilege($1, c.oid, p.privilege) END
		UNION ALL
		SELECT 'CREATE on schema capydb_auth' WHERE has_schema_privilege($1, 'capydb_auth', 'CREATE')
		ORDER BY 1
		LIMIT 1`
)

// Grant lets a role of the project's database read the mirror and call
// ensure_user, and nothing more: rights to write there that the role was given
// are taken away. It is repeatable, and returns the rights that the role has
// now, in the words of GRANT.
//
// A *GrantError says that there is no such role, or that it can write to the
// mirror anyway.
func (m *Mirrors) Grant(ctx context.Context, projectID uuid.UUID, role string) ([]string, error) {
	l, err := m.lane(ctx, projectID)
	if err != nil {
		return nil, err
	}
	if err := l.install(ctx); err != nil {
		return nil, err
	}
	var granted []string
	err = pgdb.InTx(ctx, l.pool, func(tx pgx.Tx) error {
		granted, err = grant(ctx, tx, role)
		return err
	})
	if pgdb.Code(err) == pgerrcode.InsufficientPrivilege {
		return nil, grantError("the role of the project's connection may not grant rights on the mirror: it must own schema capydb_auth")
	}
	if err != nil {
		return nil, err
	}
	return granted, nil
}

func grant(ctx context.Context, tx pgx.Tx, role string) (granted []string, err error) {
	rows, err := tx.Query(ctx, selectRole, role)
	if err != nil {
		return nil, fmt.Errorf("look for the role: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[struct {
		Owns  bool
		Owner string
	}])
	switch {
	case err != nil:
		return nil, fmt.Errorf("look for the role: %w", err)
	case len(found) == 0:
		return nil, grantError("the project's database has no role %.63q: create it there first, CREATE ROLE … LOGIN", role)
	case found[0].Owns:
		return nil, grantError("role %q has all rights of %q, which owns the mirror, so it can write whatever is granted: "+
			"take a role of its own for those who read", role, found[0].Owner)
	}
	name := pgx.Identifier{role}.Sanitize()
	statements := []string{
		"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA capydb_auth FROM " + name,
		"REVOKE CREATE ON SCHEMA capydb_auth FROM " + name,
	}
	allow := func(right string) {
		granted = append(granted, right)
		statements = append(statements, "GRANT "+right+" TO "+name)
	}
	allow("USAGE ON SCHEMA capydb_auth")
	for _, relation := range readable() {
		allow("SELECT ON capydb_auth." + relation)
	}
	allow("EXECUTE ON FUNCTION capydb_auth.ensure_user(text)")
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return nil, fmt.Errorf("grant rights: %w", err)
		}
	}
	rows, err = tx.Query(ctx, selectSurplus, role)
	if err != nil {
		return nil, fmt.Errorf("check the rights of the role: %w", err)
	}
	surplus, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("check the rights of the role: %w", err)
	}
	if len(surplus) > 0 {
		return nil, grantError("role %q would still have %s, through PUBLIC, a role that it belongs to, or a grant of somebody else: "+
			"nothing was granted; take that away first, or take another role", role, surplus[0])
	}
	return granted, nil
}
