package schema

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// What a file creates is known before it runs: a file of sql/ declares it in its COMMENT ON, which
// has a function's full signature; a migration in its CREATE.

// declaredBy matches the declaration in a file of sql/.
var declaredBy = regexp.MustCompile(`(?ms)^COMMENT ON (FUNCTION|PROCEDURE|VIEW|TRIGGER)\s+(.+?)\s+IS\s`)

// declared returns the object that the file creates, as written in the file. Grants create none.
func (f codeFile) declared() (object, error) {
	if f.layer == "grants" {
		return object{}, nil
	}
	match := declaredBy.FindStringSubmatch(f.text)
	if match == nil {
		return object{}, fmt.Errorf("%s has no COMMENT ON, which declares its object", f.name())
	}
	return object{Kind: strings.ToLower(match[1]), Identity: match[2]}, nil
}

// selectResolved finds objects by their names in the files. It also finds an object of another kind
// with the same name, because that is in the way.
const selectResolved = `
	SELECT d.kind AS declared_kind, d.name AS declared_name, o.kind, o.identity
	FROM unnest($1::text[], $2::text[]) AS d (kind, name)
	CROSS JOIN LATERAL (
		SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END AS kind, p.oid::regprocedure::text AS identity
		FROM pg_proc AS p
		WHERE p.oid = CASE WHEN d.kind IN ('function', 'procedure') THEN to_regprocedure(d.name) END
		UNION ALL
		SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type'
		                      WHEN 'f' THEN 'foreign table' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' ELSE 'table' END,
		       c.oid::regclass::text
		FROM pg_class AS c
		WHERE c.oid = CASE WHEN d.kind = 'view' THEN to_regclass(d.name) END
		UNION ALL
		SELECT 'trigger', format('%I on %s', t.tgname, t.tgrelid::regclass)
		FROM pg_trigger AS t
		WHERE t.tgrelid = CASE WHEN d.kind = 'trigger' THEN to_regclass(split_part(d.name, ' ON ', 2)) END
		AND NOT t.tgisinternal AND t.tgname = split_part(d.name, ' ON ', 1)
	) AS o`

// resolve returns the declared objects that exist.
func resolve(ctx context.Context, tx pgx.Tx, declared []object) (map[object]object, error) {
	var kinds, names []string
	for _, o := range declared {
		kinds, names = append(kinds, o.Kind), append(names, o.Identity)
	}
	rows, err := tx.Query(ctx, selectResolved, kinds, names)
	if err != nil {
		return nil, fmt.Errorf("look for the objects of sql/: %w", err)
	}
	found := map[object]object{}
	var as, is object
	_, err = pgx.ForEachRow(rows, []any{&as.Kind, &as.Identity, &is.Kind, &is.Identity}, func() error {
		found[as] = is
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for the objects of sql/: %w", err)
	}
	return found, nil
}

// made holds what migrations created and did not drop, by name: the kind and, for an index, the
// table. Columns and constraints are not included.
type made map[string]struct{ kind, table string }

// Statements in migrations/ that create, drop or rename something. Tests compare the result with
// the catalog.
var (
	createsTable = regexp.MustCompile(`(?m)^CREATE (?:UNLOGGED )?(TABLE|TYPE|DOMAIN|SEQUENCE) (?:IF NOT EXISTS )?(\w+\.\w+)`)
	createsIndex = regexp.MustCompile(`(?m)^CREATE (?:UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?(\w+)\s+ON (\w+)\.(\w+)`)
	dropsObjects = regexp.MustCompile(`(?m)^DROP (?:TABLE|TYPE|DOMAIN|SEQUENCE|INDEX) (?:CONCURRENTLY )?(?:IF EXISTS )?([\w., \n]+)`)
	renamesOne   = regexp.MustCompile(`(?m)^ALTER (?:TABLE|TYPE|DOMAIN|SEQUENCE|INDEX) (\w+)\.(\w+)\s+RENAME TO (\w+)`)
)

func (m made) run(text string) {
	for _, match := range renamesOne.FindAllStringSubmatch(text, -1) {
		from, to := match[1]+"."+match[2], match[1]+"."+match[3]
		m[to] = m[from]
		delete(m, from)
		for name, o := range m {
			if o.table == from {
				o.table = to
				m[name] = o
			}
		}
	}
	for _, match := range dropsObjects.FindAllStringSubmatch(text, -1) {
		for name := range strings.SplitSeq(match[1], ",") {
			name = strings.TrimSpace(name)
			delete(m, name)
			for index, o := range m {
				if o.table == name {
					delete(m, index)
				}
			}
		}
	}
	for _, match := range createsTable.FindAllStringSubmatch(text, -1) {
		m[match[2]] = struct{ kind, table string }{kind: strings.ToLower(match[1])}
	}
	for _, match := range createsIndex.FindAllStringSubmatch(text, -1) {
		m[match[2]+"."+match[1]] = struct{ kind, table string }{"index", match[2] + "." + match[3]}
	}
}

// madeBetween returns what the migrations after one version, up to another, create.
func (s source) madeBetween(after, upTo uint) made {
	m := made{}
	for _, version := range s.versions() {
		if version <= after || version > upTo {
			continue
		}
		file := s.fileOf(int(version), up)
		m.run(withoutComments(file.text))
	}
	return m
}

// owns reports whether migrations created the object or its table.
func (m made) owns(o object) bool {
	if o.isCode() {
		return false
	}
	known, is := m[o.table()]
	if o.Kind == "type" && known.kind == "domain" {
		return is
	}
	return is && (o.Kind == known.kind || o.Kind == "column" || o.Kind == "constraint")
}

func withoutComments(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// breaking returns the newest migration whose header says "Breaking": a binary that does not know
// it cannot work with the migrated tables. It returns 0 if there is none.
func (s source) breaking() uint {
	var last uint
	for _, version := range s.versions() {
		file := s.fileOf(int(version), up)
		if strings.Contains("\n"+file.text, "\n-- Breaking: ") {
			last = version
		}
	}
	return last
}
