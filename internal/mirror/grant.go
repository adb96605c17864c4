package mirror

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
)

// grantError is why a role cannot become a reader of the mirror, and what to do.
func grantError(format string, args ...any) error {
	return fault.At("role", format, args...)
}

// What a role may read.
const (
	// ReadMirror is the users and the other records.
	ReadMirror = "mirror"
	// ReadFeed is every change of every record, and which event set what: changes, user_changes, user_sources and
	// its likes.
	ReadFeed = "feed"
)

// Reader is what a role shall be able to do with the mirror.
type Reader struct {
	Role string
	Read []string // ReadMirror, ReadFeed
	// EnsureUser: it may call ensure_user and ensure_organization, and see the placeholders that these make.
	EnsureUser bool
}

// Granted is what a role may do with the mirror.
type Granted struct {
	Rights []string // in the words of GRANT
	Sees   []Visibility
}

// ensureFunctions are what a role may call to make placeholders.
const ensureFunctions = "capydb_auth.ensure_user(text), capydb_auth.ensure_organization(text)"

// relations are the tables and views that the reader may read. The views read the tables with the rights of the reader.
func (r Reader) relations() []string {
	var names, sources []string
	for _, d := range record.Types() {
		names = append(names, d.Table)
		if d.Active {
			names = append(names, "active_"+d.Table)
		}
		sources = append(sources, string(d.Type)+"_sources")
	}
	names = append(names, "user_emails", "user_phones", "user_identities")
	if slices.Contains(r.Read, ReadFeed) {
		names = append(names, sources...)
		names = append(names, "changes", "user_changes", "record_changes")
	}
	if r.EnsureUser {
		names = append(names, "placeholders")
	}
	return names
}

func (r Reader) check() error {
	for _, what := range r.Read {
		if what != ReadMirror && what != ReadFeed {
			return grantError("there is nothing to read that is called %.40q: take mirror, feed or both", what)
		}
	}
	if len(r.Read) == 0 && !r.EnsureUser {
		return grantError("nothing is to be granted: read the mirror, the feed, or ensure_user")
	}
	return nil
}

const (
	selectRole = `
		SELECT r.rolsuper OR pg_has_role(r.oid, n.nspowner, 'USAGE') AS owns, pg_get_userbyid(n.nspowner) AS owner
		FROM pg_roles AS r, pg_namespace AS n
		WHERE r.rolname = $1 AND n.nspname = 'capydb_auth'`

	// Ours among what lies in the schema.
	selectOurs = `
		SELECT o.identity
		FROM capydb_auth.schema_objects AS o
		WHERE o.kind IN ('table', 'view')
		UNION ALL
		SELECT 'capydb_auth.' || t.name FROM unnest(ARRAY['schema_code', 'schema_migrations', 'schema_objects']) AS t (name)
		ORDER BY 1`

	// What the role may do beyond reading, also by way of PUBLIC or of a role that it belongs to. A trigger
	// runs with the rights of whoever writes, which is us.
	selectOrphaned = `
		SELECT format('%s on %s', p.privilege, c.oid::regclass)
		FROM unnest($2::text[]) AS o (name)
		JOIN pg_class AS c ON c.oid = o.name::regclass
		CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS p (privilege)
		WHERE CASE WHEN p.privilege IN ('INSERT', 'UPDATE')
			THEN has_any_column_privilege($1, c.oid, p.privilege)
			ELSE has_table_privilege($1, c.oid, p.privilege) END
		UNION ALL
		SELECT 'CREATE on schema capydb_auth' WHERE has_schema_privilege($1, 'capydb_auth', 'CREATE')
		ORDER BY 1
		LIMIT 1`
)

// Grant gives a role of the project's database the rights of the reader, and no others: other
// rights on what authsync has made that the role was given are taken away, those to read included. What
// others have made in the schema is left alone. It is repeatable, and returns the rights
// that the role has now, and what it sees by them: row-level security on the
// tables holds for it.
//
// fault.Invalid means that there is no such role, or that it can write to the
// mirror anyway.
func (m *Mirrors) Grant(ctx context.Context, projectID uuid.UUID, reader Reader) (Granted, error) {
	if err := reader.check(); err != nil {
		return Granted{}, err
	}
	t, err := m.tenant(ctx, projectID)
	if err != nil {
		return Granted{}, err
	}
	if err := t.create(ctx); err != nil {
		return Granted{}, err
	}
	var granted Granted
	err = pgdb.InTx(ctx, t.pool, func(tx pgx.Tx) error {
		if granted.Rights, err = grant(ctx, tx, reader); err != nil {
			return err
		}
		granted.Sees, err = visibilities(ctx, tx, reader.Role)
		return err
	})
	if pgdb.Code(err) == pgerrcode.InsufficientPrivilege {
		return Granted{}, grantError("the role of the project's connection may not grant rights on the mirror: it must own schema capydb_auth")
	}
	if err != nil {
		return Granted{}, err
	}
	return granted, nil
}

func grant(ctx context.Context, tx pgx.Tx, reader Reader) (granted []string, err error) {
	if err := mayRead(ctx, tx, reader.Role); err != nil {
		return nil, err
	}
	ours, err := texts(ctx, tx, selectOurs)
	if err != nil {
		return nil, fmt.Errorf("list what authsync has made: %w", err)
	}
	name := pgx.Identifier{reader.Role}.Sanitize()
	statements := []string{
		"REVOKE INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, SELECT ON " + strings.Join(ours, ", ") + " FROM " + name,
		"REVOKE CREATE ON SCHEMA capydb_auth FROM " + name,
		"REVOKE EXECUTE ON FUNCTION " + ensureFunctions + " FROM " + name,
	}
	allow := func(right string) {
		granted = append(granted, right)
		statements = append(statements, "GRANT "+right+" TO "+name)
	}
	allow("USAGE ON SCHEMA capydb_auth")
	for _, relation := range reader.relations() {
		allow("SELECT ON capydb_auth." + relation)
	}
	if reader.EnsureUser {
		allow("EXECUTE ON FUNCTION " + ensureFunctions)
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return nil, fmt.Errorf("grant rights: %w", err)
		}
	}
	orphaned, err := texts(ctx, tx, selectOrphaned, reader.Role, ours)
	if err != nil {
		return nil, fmt.Errorf("check the rights of the role: %w", err)
	}
	if len(orphaned) > 0 {
		return nil, grantError("role %q would still have %s, through PUBLIC, a role that it belongs to, or a grant of somebody else: "+
			"nothing was granted; take that away first, or take another role", reader.Role, orphaned[0])
	}
	return granted, nil
}

// mayRead makes sure that there is such a role, and that it has no rights that nobody can take from it.
func mayRead(ctx context.Context, tx pgx.Tx, role string) error {
	found, err := collect[struct {
		Owns  bool
		Owner string
	}](ctx, tx, selectRole, role)
	switch {
	case err != nil:
		return fmt.Errorf("look for the role: %w", err)
	case len(found) == 0:
		return grantError("the project's database has no role %.63q: create it there first, CREATE ROLE … LOGIN", role)
	case found[0].Owns:
		return grantError("role %q has all rights of %q, which owns the mirror, so it can write whatever is granted: "+
			"take a role of its own for those who read", role, found[0].Owner)
	default:
		return nil
	}
}

// texts collects the only column of a query.
func texts(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]string, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
