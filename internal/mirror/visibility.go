package mirror

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Visibility is what a role sees of a table or view of the mirror.
type Visibility struct {
	Relation string `json:"relation"`
	// Rows is a sentence about the rows it sees: all, none, or those that some policies allow.
	Rows string `json:"rows"`
	// RowSecurity: row-level security decides about the rows. Policies are those for SELECT that hold for the role.
	RowSecurity bool     `json:"row_security"`
	Policies    []string `json:"policies"`
}

// selectVisibility lists what the role may read, and the policies that decide about it. The views are
// read with the rights of whoever reads them, so the policies of their tables hold for them.
const selectVisibility = `
	SELECT v.name AS relation, t.relrowsecurity AS row_security, r.rolbypassrls AS bypasses,
	       array(SELECT p.polname::text FROM pg_policy AS p
	             WHERE p.polrelid = t.oid AND p.polcmd IN ('r', '*') AND p.polpermissive
	             AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) AS m (oid) WHERE pg_has_role(r.oid, m.oid, 'USAGE')))
	             ORDER BY 1) AS allowing,
	       array(SELECT p.polname::text FROM pg_policy AS p
	             WHERE p.polrelid = t.oid AND p.polcmd IN ('r', '*') AND NOT p.polpermissive
	             AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) AS m (oid) WHERE pg_has_role(r.oid, m.oid, 'USAGE')))
	             ORDER BY 1) AS restricting,
	       u.relrowsecurity AS users_secured
	FROM (VALUES (1, 'capydb_auth.users', 'users'), (2, 'capydb_auth.organizations', 'organizations'),
	             (3, 'capydb_auth.memberships', 'memberships'), (4, 'capydb_auth.invitations', 'invitations'),
	             (5, 'capydb_auth.sessions', 'sessions'), (6, 'capydb_auth.placeholders', 'users'),
	             (7, 'capydb_auth.user_sources', 'users'), (8, 'capydb_auth.user_changes', 'changes'),
	             (9, 'capydb_auth.changes', 'changes')) AS v (ordinal, name, governed_by)
	JOIN pg_roles AS r ON r.rolname = $1
	JOIN pg_class AS t ON t.relnamespace = 'capydb_auth'::regnamespace AND t.relname = v.governed_by
	JOIN pg_class AS u ON u.relnamespace = 'capydb_auth'::regnamespace AND u.relname = 'users'
	WHERE has_any_column_privilege(r.oid, v.name::regclass, 'SELECT')
	ORDER BY v.ordinal`

type visibilityRow struct {
	Relation     string
	RowSecurity  bool
	Bypasses     bool
	Allowing     []string
	Restricting  []string
	UsersSecured bool
}

func visibilities(ctx context.Context, tx pgx.Tx, role string) ([]Visibility, error) {
	rows, err := collect[visibilityRow](ctx, tx, selectVisibility, role)
	if err != nil {
		return nil, fmt.Errorf("read what the role sees: %w", err)
	}
	all := make([]Visibility, len(rows))
	for i, r := range rows {
		all[i] = Visibility{
			Relation: r.Relation, RowSecurity: r.RowSecurity && !r.Bypasses,
			Policies: append(append([]string{}, r.Allowing...), r.Restricting...), Rows: r.rows(),
		}
	}
	return all, nil
}

func (r visibilityRow) rows() string {
	switch {
	case r.RowSecurity && r.Bypasses:
		return "every row: the role has BYPASSRLS"
	case !r.RowSecurity && r.UsersSecured:
		return "every row, of every user: row-level security of capydb_auth.users does not hold here"
	case !r.RowSecurity:
		return "every row: there is no row-level security"
	case len(r.Allowing) == 0:
		return "no row: row-level security is on, and no policy for SELECT holds for the role; CREATE POLICY … ON capydb_auth.users FOR SELECT TO … USING (…)"
	case len(r.Restricting) > 0:
		return "the rows that policy " + strings.Join(r.Allowing, " or ") + " allows and policy " + strings.Join(r.Restricting, " and ") + " does not forbid"
	default:
		return "the rows that policy " + strings.Join(r.Allowing, " or ") + " allows"
	}
}
