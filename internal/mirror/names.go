package mirror

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
)

// MaxName is how many characters of a name are indexed, so that no name is too long for an index: its event would fail.
const MaxName = 64

// nameKey is what records are found by, in the words of its index (migrations/project): for other words the planner reads
// the table.
type nameKey struct {
	key string
	// where is the predicate of the index.
	where string
}

// nameKeys are the names of the records that have some. The bytes of COLLATE "C" are the only order in which a prefix is a
// range, whatever the database's own collation is; lower is that of the database.
func nameKeys(t record.Type) []nameKey {
	switch t {
	case record.User:
		return []nameKey{
			{
				key:   `(lower("left"(coalesce(r.first_name || ' ' || r.last_name, r.first_name, r.last_name, r.username), 64)) COLLATE "C")`,
				where: `coalesce(r.first_name, r.last_name, r.username) IS NOT NULL`,
			},
			{
				key:   `(lower("left"(r.last_name, 64)) COLLATE "C")`,
				where: `r.first_name IS NOT NULL AND r.last_name IS NOT NULL`,
			},
		}
	case record.Organization:
		return []nameKey{{key: `(lower("left"(r.name, 64)) COLLATE "C")`, where: `r.name IS NOT NULL`}}
	default:
		return nil
	}
}

// HasNames reports whether records of a type are found by name.
func HasNames(t record.Type) bool { return nameKeys(t) != nil }

// NameFits reports whether a prefix is short enough to be looked for.
func NameFits(prefix string) bool { return utf8.RuneCountInString(prefix) <= MaxName }

// likePrefix is a pattern that matches what begins with a text.
func likePrefix(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}

// selectNamed lists the records of which a name begins with a text, in the order of these names. Each index contributes as
// many rows as the page has, from where the page before ended. A record is listed once, by the first of its names.
func selectNamed(d record.Definition, f RecordFilter) (query string, args []any) {
	args = []any{likePrefix(f.Name), f.AfterName, f.After, f.Limit}
	var parts []string
	others := ""
	for _, n := range nameKeys(d.Type) {
		matches := n.key + " LIKE lower($1)"
		parts = append(parts, fmt.Sprintf(`(SELECT r.id, %s AS name, to_jsonb(r) - 'raw' - %s AS row
			FROM capydb_auth.%s AS r
			WHERE %s AND %s AND (%s, r.id) > ($2, $3)%s
			ORDER BY %[1]s, r.id LIMIT $4)`, n.key, ofVersions, d.Table, n.where, matches, n.key, others))
		others += " AND (" + matches + ") IS NOT TRUE"
	}
	return "SELECT f.id, f.name, f.row FROM (" + strings.Join(parts, " UNION ALL ") + ") AS f ORDER BY f.name, f.id LIMIT $4", args
}

// inOrder reads a page of a list from the index that has its order: whatever the planner believes of the table, it costs what
// it returns.
func inOrder[T any](ctx context.Context, t *tenant, query string, args ...any) (page []T, err error) {
	err = pgx.BeginTxFunc(ctx, t.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		for _, setting := range []string{pgdb.FromIndexes, pgdb.InOrder} {
			if _, err := tx.Exec(ctx, setting); err != nil {
				return err
			}
		}
		page, err = collect[T](ctx, tx, query, append([]any{planned}, args...)...)
		return err
	})
	return page, err
}
