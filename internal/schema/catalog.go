package schema

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// object identifies something in a schema the way the catalog does.
type object struct {
	Kind     string // function, procedure, view, trigger; table, column, constraint, index, type
	Identity string // capydb_auth.apply_events(capydb_auth.event[]); projects_bump on authsync.projects
}

func (o object) String() string { return o.Kind + " " + o.Identity }

// isCode distinguishes what sql/ creates from what migrations/ create.
func (o object) isCode() bool {
	switch o.Kind {
	case "function", "procedure", "view", "trigger":
		return true
	default:
		return false
	}
}

// table returns the table of a column or constraint, and the object's own identity for others.
func (o object) table() string {
	switch o.Kind {
	case "column":
		return o.Identity[:strings.LastIndex(o.Identity, ".")]
	case "constraint":
		_, table, _ := strings.Cut(o.Identity, " on ")
		return table
	default:
		return o.Identity
	}
}

// definitions map objects to their catalog definitions.
type definitions map[object]string

// selectCatalog lists the contents of a schema, except River's and extensions' objects and
// partitions, which are covered by their parent. Definitions of code are digests, because they are
// only compared. PUBLIC's EXECUTE privilege is part of a function's definition, because sql/ sets
// it.
const selectCatalog = `
	SELECT CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END AS kind,
	       p.oid::regprocedure::text AS identity,
	       encode(sha256(convert_to(pg_get_functiondef(p.oid) || CASE WHEN EXISTS (
	           SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
	           WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE') THEN ' PUBLIC' ELSE '' END, 'UTF8')), 'hex') AS definition
	FROM pg_proc AS p
	WHERE p.pronamespace = to_regnamespace($1) AND p.prokind IN ('f', 'p', 'w') AND p.proname NOT LIKE 'river\_%'
	AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
	UNION ALL
	SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
	                      WHEN 'f' THEN 'foreign table' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' ELSE 'table' END,
	       c.oid::regclass::text,
	       CASE WHEN c.relkind = 'v' THEN encode(sha256(convert_to(pg_get_viewdef(c.oid) || coalesce(c.reloptions::text, ''), 'UTF8')), 'hex')
	            WHEN c.relkind IN ('i', 'I') THEN pg_get_indexdef(c.oid)
	            ELSE concat(c.relkind, c.relpersistence) END
	FROM pg_class AS c
	LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
	LEFT JOIN pg_class AS t ON t.oid = i.indrelid
	WHERE c.relnamespace = to_regnamespace($1) AND c.relkind <> 'c' AND coalesce(t.relname, c.relname) NOT LIKE 'river\_%'
	AND NOT (c.relispartition AND c.relkind IN ('i', 'I')) AND NOT coalesce(t.relispartition, false)
	AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x'))
	AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
	                AND (d.deptype = 'e' OR (d.deptype = 'i' AND c.relkind = 'S')))
	UNION ALL
	SELECT 'column', c.oid::regclass::text || '.' || quote_ident(a.attname),
	       concat_ws(' ', format_type(a.atttypid, a.atttypmod),
	           CASE WHEN a.attcollation <> y.typcollation THEN 'COLLATE ' || a.attcollation::regcollation::text END,
	           CASE WHEN a.attnotnull THEN 'NOT NULL' END,
	           CASE WHEN a.attidentity <> '' THEN 'IDENTITY ' || a.attidentity::text END,
	           CASE WHEN a.attgenerated <> '' THEN 'GENERATED' END,
	           'DEFAULT ' || pg_get_expr(f.adbin, f.adrelid))
	FROM pg_attribute AS a
	JOIN pg_class AS c ON c.oid = a.attrelid
	JOIN pg_type AS y ON y.oid = a.atttypid
	LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
	WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
	AND c.relname NOT LIKE 'river\_%' AND a.attnum > 0 AND NOT a.attisdropped
	UNION ALL
	SELECT 'constraint', format('%I on %s', k.conname, c.oid::regclass), pg_get_constraintdef(k.oid)
	FROM pg_constraint AS k
	JOIN pg_class AS c ON c.oid = k.conrelid
	WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
	AND c.relname NOT LIKE 'river\_%' AND k.contype IN ('p', 'u', 'c', 'x', 'f')
	UNION ALL
	SELECT 'type', y.oid::regtype::text,
	       CASE y.typtype
	           WHEN 'c' THEN (SELECT string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
	                              CASE WHEN a.attcollation <> 0 THEN a.attcollation::regcollation::text END), ', ' ORDER BY a.attnum)
	                          FROM pg_attribute AS a WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
	           WHEN 'e' THEN (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = y.oid)
	           ELSE format_type(y.typbasetype, y.typtypmod) END
	FROM pg_type AS y
	LEFT JOIN pg_class AS c ON c.oid = y.typrelid
	WHERE y.typnamespace = to_regnamespace($1) AND y.typname NOT LIKE 'river\_%'
	AND (y.typtype IN ('e', 'd', 'r') OR (y.typtype = 'c' AND c.relkind = 'c'))
	AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_type'::regclass AND d.objid = y.oid AND d.deptype = 'e')
	UNION ALL
	SELECT 'trigger', format('%I on %s', t.tgname, c.oid::regclass), t.tgenabled::text || ' ' || pg_get_triggerdef(t.oid)
	FROM pg_trigger AS t
	JOIN pg_class AS c ON c.oid = t.tgrelid
	WHERE c.relnamespace = to_regnamespace($1) AND c.relname NOT LIKE 'river\_%' AND NOT t.tgisinternal AND t.tgparentid = 0`

// plainSettings make the catalog print schema-qualified names and constants in a fixed format,
// whatever the session's settings, until the transaction ends.
const plainSettings = `
	SELECT set_config('search_path', '', true), set_config('quote_all_identifiers', 'off', true),
	       set_config('DateStyle', 'ISO, MDY', true), set_config('IntervalStyle', 'postgres', true), set_config('TimeZone', 'UTC', true),
	       set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '1', true),
	       set_config('standard_conforming_strings', 'on', true)`

func (s source) readCatalog(ctx context.Context, tx pgx.Tx) (definitions, error) {
	if _, err := tx.Exec(ctx, plainSettings); err != nil {
		return nil, fmt.Errorf("prepare to read the catalog: %w", err)
	}
	return readDefinitions(ctx, tx, selectCatalog, s.kind.Name())
}

func readDefinitions(ctx context.Context, tx pgx.Tx, query string, args ...any) (definitions, error) {
	rows, err := tx.Query(ctx, `SELECT kind, identity, coalesce(definition, '') FROM (`+query+`) AS o`, args...)
	if err != nil {
		return nil, fmt.Errorf("list the objects of the schema: %w", err)
	}
	found := definitions{}
	var o object
	var definition string
	_, err = pgx.ForEachRow(rows, []any{&o.Kind, &o.Identity, &definition}, func() error {
		found[o] = definition
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the objects of the schema: %w", err)
	}
	return found, nil
}

// catalog is readCatalog in its own transaction.
func (in *installer) catalog(ctx context.Context) (found definitions, err error) {
	err = pgdb.InTx(ctx, in.conn, func(tx pgx.Tx) error {
		found, err = in.readCatalog(ctx, tx)
		return err
	})
	return found, err
}
