package mirror

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/record"
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

// readable is a table or view of the mirror. The views are read with the rights of whoever reads them, so the policies
// of their tables hold for them.
type readable struct {
	name   string
	tables []string // whose policies hold for it
	// repeats are the tables whose values it has too, without their policies.
	repeats []string
}

// readables lists what is granted to readers, without the views that show the rows of one table as they are.
func readables() []readable {
	var all, sources []readable
	var tables, placeholders []string
	for _, name := range record.Names() {
		d, _ := record.Of(record.Type(name))
		tables = append(tables, d.Table)
		all = append(all, readable{name: d.Table, tables: []string{d.Table}})
		sources = append(sources, readable{name: name + "_sources", tables: []string{d.Table}})
		if d.Placeholders {
			placeholders = append(placeholders, d.Table)
		}
	}
	all = append(all, readable{name: "placeholders", tables: placeholders})
	all = append(all, sources...)
	return append(all,
		readable{name: "user_changes", tables: []string{"changes"}, repeats: []string{"users"}},
		readable{name: "record_changes", tables: []string{"changes"}, repeats: tables},
		readable{name: "changes", tables: []string{"changes"}, repeats: tables})
}

const (
	selectReadable = `
		SELECT v.name FROM unnest($2::text[]) AS v (name)
		WHERE has_any_column_privilege($1, to_regclass('capydb_auth.' || v.name), 'SELECT')`

	// The tables with row-level security, and the policies that decide for the role.
	selectSecured = `
		SELECT t.relname::text AS name, r.rolbypassrls AS bypasses,
		       array(SELECT p.polname::text FROM pg_policy AS p
		             WHERE p.polrelid = t.oid AND p.polcmd IN ('r', '*') AND p.polpermissive
		             AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) AS m (oid) WHERE pg_has_role(r.oid, m.oid, 'USAGE')))
		             ORDER BY 1) AS allowing,
		       array(SELECT p.polname::text FROM pg_policy AS p
		             WHERE p.polrelid = t.oid AND p.polcmd IN ('r', '*') AND NOT p.polpermissive
		             AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) AS m (oid) WHERE pg_has_role(r.oid, m.oid, 'USAGE')))
		             ORDER BY 1) AS restricting
		FROM pg_class AS t
		JOIN pg_roles AS r ON r.rolname = $1
		WHERE t.relnamespace = 'capydb_auth'::regnamespace AND t.relkind = 'r' AND t.relrowsecurity`
)

type securedTable struct {
	Name        string
	Bypasses    bool
	Allowing    []string
	Restricting []string
}

// visibilities lists what the role may read, and the policies that decide about it.
func visibilities(ctx context.Context, tx pgx.Tx, role string) ([]Visibility, error) {
	all := readables()
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.name
	}
	granted, err := texts(ctx, tx, selectReadable, role, names)
	if err != nil {
		return nil, fmt.Errorf("list what the role may read: %w", err)
	}
	found, err := collect[securedTable](ctx, tx, selectSecured, role)
	if err != nil {
		return nil, fmt.Errorf("read what the role sees: %w", err)
	}
	secured := make(map[string]securedTable, len(found))
	for _, t := range found {
		secured[t.Name] = t
	}
	visible := []Visibility{}
	for _, r := range all {
		if slices.Contains(granted, r.name) {
			visible = append(visible, r.visibility(secured))
		}
	}
	return visible, nil
}

func (r readable) visibility(secured map[string]securedTable) Visibility {
	v := Visibility{Relation: "capydb_auth." + r.name, Policies: []string{}}
	var sentences, apart []string
	for _, name := range r.tables {
		rows := "every row: " + r.open(secured)
		if t, is := secured[name]; is {
			rows = t.rows()
			v.RowSecurity = v.RowSecurity || !t.Bypasses
			v.Policies = slices.Concat(v.Policies, t.Allowing, t.Restricting)
		}
		sentences = append(sentences, rows)
		apart = append(apart, "of capydb_auth."+name+" "+rows)
	}
	if v.Rows = sentences[0]; len(slices.Compact(sentences)) > 1 {
		v.Rows = strings.Join(apart, "; ")
	}
	return v
}

// open says why no policy decides about the rows.
func (r readable) open(secured map[string]securedTable) string {
	var aside []string
	for _, name := range r.repeats {
		if _, is := secured[name]; is {
			aside = append(aside, "capydb_auth."+name)
		}
	}
	if len(aside) == 0 {
		return "there is no row-level security"
	}
	return "row-level security of " + strings.Join(aside, " and ") + " does not hold here"
}

func (t securedTable) rows() string {
	switch {
	case t.Bypasses:
		return "every row: the role has BYPASSRLS"
	case len(t.Allowing) == 0:
		return "no row: row-level security is on, and no policy for SELECT holds for the role; CREATE POLICY … ON capydb_auth." + t.Name + " FOR SELECT TO … USING (…)"
	case len(t.Restricting) > 0:
		return "the rows that policy " + strings.Join(t.Allowing, " or ") + " allows and policy " + strings.Join(t.Restricting, " and ") + " does not forbid"
	default:
		return "the rows that policy " + strings.Join(t.Allowing, " or ") + " allows"
	}
}
