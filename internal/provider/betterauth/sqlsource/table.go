package sqlsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
)

// table is a table's catalog entry, as far as the role may read it.
type table struct {
	name    string // quoted, with its schema
	columns []column
}

type column struct {
	Name string
	// Type is the type for casts, without a length, which would truncate values. Base is the type
	// of the values, which differs if Type is a domain.
	Type, Base string
	Readable   bool
}

const (
	selectTable = `
		SELECT c.oid, current_user::text, row_security_active(c.oid)
		FROM pg_catalog.pg_class AS c
		JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`

	selectColumns = `
		SELECT a.attname::text, pg_catalog.format_type(a.atttypid, -1), pg_catalog.format_type(coalesce(nullif(t.typbasetype, 0), t.oid), -1),
			pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE') AND pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')
		FROM pg_catalog.pg_attribute AS a
		JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
		JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attnum`
)

// Errors of one table. Any other error may be one of all tables, such as a refused login.
var (
	// errNoTable reports a table that does not exist.
	errNoTable = errors.New("there is no such table")
	// errHidden reports a table that the role may not read, or not in full.
	errHidden = errors.New("the role may not read all of the table")
)

// table examines a table. It refuses row-level security, which would silently hide rows, so that
// their users would seem to be deleted.
func (s *source) table(ctx context.Context, name string) (*table, error) {
	t := &table{name: pgx.Identifier{s.Tables.Schema, name}.Sanitize()}
	if provider.IsSystemSchema(s.Tables.Schema) {
		return nil, fault.New(fault.ProviderError, provider.SystemSchemaAdvice)
	}
	var (
		oid    uint32
		role   string
		hidden bool
	)
	err := s.Pool.QueryRow(ctx, selectTable, s.Tables.Schema, name).Scan(&oid, &role, &hidden)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fault.Wrap(fault.ProviderError, errNoTable, fmt.Sprintf("the database has no table %s: name the tables of your Better Auth server in options.source "+
			"(schema, user_table, session_table)", t.name))
	}
	if err != nil {
		return nil, s.explain(ctx, "look at table "+t.name, err)
	}
	if hidden {
		return nil, fault.Wrap(fault.CredentialsRefused, errHidden, fmt.Sprintf("row level security hides rows of %s from the role %q: "+
			"let a role read it that has BYPASSRLS or owns the table", t.name, role))
	}
	rows, err := s.Pool.Query(ctx, selectColumns, oid)
	if err == nil {
		t.columns, err = pgx.CollectRows(rows, pgx.RowToStructByPos[column])
	}
	if err != nil {
		return nil, s.explain(ctx, "look at table "+t.name, err)
	}
	t.columns = slices.DeleteFunc(t.columns, func(c column) bool { return !c.Readable })
	if len(t.columns) == 0 {
		return nil, fault.Wrap(fault.CredentialsRefused, errHidden, fmt.Sprintf(
			"the role %q may not read %s. As its owner, run: GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %[2]s TO %[4]s",
			role, t.name, pgx.Identifier{s.Tables.Schema}.Sanitize(), pgx.Identifier{role}.Sanitize()))
	}
	return t, nil
}

func (t *table) find(name string) (column, bool) {
	i := slices.IndexFunc(t.columns, func(c column) bool { return c.Name == name })
	if i < 0 {
		return column{}, false
	}
	return t.columns[i], true
}

// need is find for a required column.
func (t *table) need(field string, names map[string]string) (column, error) {
	name := field
	if names[field] != "" {
		name = names[field]
	}
	c, ok := t.find(name)
	if !ok {
		return c, fault.Newf(fault.ProviderError, "table %s has no column %s that may be read, for %s: name it in options.source.columns (or session_columns), "+
			"and grant SELECT on it", t.name, pgx.Identifier{name}.Sanitize(), field)
	}
	return c, nil
}

// isPrivate reports, by name, columns that no mirror should store. Better Auth keeps passwords and
// tokens in other tables, but some customers do not.
func (c column) isPrivate() bool {
	name := strings.ToLower(c.Name)
	for _, part := range []string{"password", "secret", "token"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

const (
	timestamp   = "timestamp without time zone"
	timestamptz = "timestamp with time zone"
)

// expression is the column's value. Timestamps without a zone are in UTC, as libraries that use
// them write them.
func (c column) expression(alias string) string {
	e := alias + "." + pgx.Identifier{c.Name}.Sanitize()
	if c.Base == timestamp {
		e += " AT TIME ZONE 'UTC'"
	}
	return e
}

// printed is the column's value as it appears in a Better Auth user object, whose hooks and API
// print JavaScript values: an id is a string, whatever its column; a timestamp has milliseconds and
// is in UTC; and numbers that JavaScript cannot represent are strings.
func (c column) printed(field, alias string) string {
	name := alias + "." + pgx.Identifier{c.Name}.Sanitize()
	switch {
	case field == "id", c.Base == "bigint", c.Base == "numeric":
		return name + "::text"
	case c.Base == timestamptz:
		name += " AT TIME ZONE 'UTC'"
		fallthrough
	case c.Base == timestamp:
		return `pg_catalog.to_char(` + name + `, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
	default:
		return name
	}
}

// queries are the statements for one pair of tables. $1 is the number of rows, $2 an id as text. id
// is that of castOf.
type queries struct{ count, first, next, one, id string }

// castOf is the statement that casts a text to the type of an id column.
func castOf(id column) string { return "SELECT $1::text::" + id.Type }

func newQueries(users, sessions *table, t provider.UserTables) (*queries, error) {
	id, err := users.need("id", t.Columns)
	if err != nil {
		return nil, err
	}
	fieldOf := map[string]string{}
	for field, name := range t.Columns {
		if _, ok := users.find(name); !ok {
			_, err := users.need(field, t.Columns)
			return nil, err
		}
		fieldOf[name] = field
	}
	var list []string
	for _, c := range users.columns {
		field := fieldOf[c.Name]
		switch {
		case field == "" && (c.isPrivate() || t.Columns[c.Name] != ""): // another column has taken its name
			continue
		case field == "":
			field = c.Name
		}
		list = append(list, c.printed(field, "u")+" AS "+pgx.Identifier{field}.Sanitize())
	}
	key := "u." + pgx.Identifier{id.Name}.Sanitize()
	given := "$2::text::" + id.Type
	signIn, join, err := lastSignIn(sessions, id, t)
	if err != nil {
		return nil, err
	}
	page := func(where string) string {
		return `WITH page AS MATERIALIZED (SELECT ` + key + ` AS key, (SELECT pg_catalog.row_to_json(o) FROM (SELECT ` + strings.Join(list, ", ") + `) AS o) AS object` +
			` FROM ` + users.name + ` AS u ` + where + ` ORDER BY ` + key + ` LIMIT $1)` +
			` SELECT p.key::text, p.object, ` + signIn + ` FROM page AS p ` + join + ` ORDER BY p.key`
	}
	return &queries{
		count: `SELECT count(` + key + `) FROM ` + users.name + ` AS u`, first: page("WHERE " + key + " IS NOT NULL"), next: page("WHERE " + key + " > " + given), one: page("WHERE " + key + " = " + given),
		id: castOf(id),
	}, nil
}

// lastSignIn is the newest session of each user of the page: a lower bound, because sessions end
// and are deleted.
func lastSignIn(sessions *table, id column, t provider.UserTables) (value, join string, err error) {
	const none = "NULL::timestamptz"
	if sessions == nil {
		return none, "", nil
	}
	user, err := sessions.need("userId", t.SessionColumns)
	if err == nil {
		var created column
		if created, err = sessions.need("createdAt", t.SessionColumns); err == nil {
			owner := "s." + pgx.Identifier{user.Name}.Sanitize()
			own := `p.key`
			ids := `(SELECT key FROM page)`
			if user.Type != id.Type {
				owner, own, ids = owner+"::text", own+"::text", `(SELECT key::text FROM page)`
			}
			return "s.at", `LEFT JOIN (SELECT ` + owner + ` AS owner, max(` + created.expression("s") + `)::timestamptz AS at FROM ` + sessions.name +
				` AS s WHERE ` + owner + ` IN ` + ids + ` GROUP BY 1) AS s ON s.owner = ` + own, nil
		}
	}
	if t.SessionTable == "" && len(t.SessionColumns) == 0 { // not configured
		return none, "", nil
	}
	return "", "", err
}

// explain explains a database error. It does not repeat the text, which may contain data.
func (s *source) explain(ctx context.Context, what string, err error) error {
	code := pgdb.Code(err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	case errors.As(err, new(*pgdb.FloodError)):
		return fault.New(fault.ProviderError, what+": "+pgdb.Describe(err))
	case pgdb.Connecting(err) && !pgdb.Passing(err), strings.HasPrefix(code, "28"): // invalid_authorization_specification, invalid_password
		return fault.New(fault.CredentialsRefused, s.What+": "+pgdb.Describe(err))
	case pgdb.Connecting(err):
		return fault.New(fault.ProviderUnavailable, s.What+": "+pgdb.Describe(err))
	case code == "42501": // insufficient_privilege
		return fault.Wrap(fault.CredentialsRefused, errHidden,
			what+": the database role lacks a right: GRANT SELECT ON the tables that are read to it, also on those behind a view (SQLSTATE 42501)")
	case code == "42P01", code == "42703": // undefined_table, undefined_column
		s.queries.Store(nil) // they are examined again
		return fault.New(fault.ProviderUnavailable, what+": the tables were changed just now (SQLSTATE "+code+")")
	case pgdb.Unavailable(err), pgdb.Retryable(err), code == "57014", code == "": // query_canceled, by a timeout
		return fault.New(fault.ProviderUnavailable, strings.TrimSpace(what+": the database cannot answer now "+sqlState(code)))
	default:
		return fault.Newf(fault.ProviderError, "%s: the database refuses the query %s", what, sqlState(code))
	}
}

func sqlState(code string) string {
	if code == "" {
		return ""
	}
	return "(SQLSTATE " + code + ")"
}
