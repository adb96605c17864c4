package schema

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"text/template"

	"github.com/authsync/authsync/internal/record"
)

// A file of sql/ that ends in .sql.tmpl is rendered from the record types. One whose name contains TABLE or TYPE is
// rendered for each of them, and is named after it; see sql/README.md.
const (
	templateSuffix = ".sql.tmpl"
	perTable       = "TABLE"
	perType        = "TYPE"
)

// recordType is what a template knows of a record type.
type recordType struct {
	record.Definition

	// A is the type with its article.
	A string
	// ExampleID is an id as people know them from their provider.
	ExampleID string
	Keys      []keyColumn
	Mirrored  []mirroredColumn
	// DeletedAt is the value of deleted_at as readers of the table see it, in apply_TABLE.
	DeletedAt string
	HasSignIn bool
	HasRoles  bool
	SignInBit int
}

// keyColumn is a column of the primary key and the attribute of capydb_auth.event that it comes from.
type keyColumn struct{ Name, From string }

// Parent returns the type of record that the column refers to.
func (k keyColumn) Parent() string { return strings.TrimSuffix(k.Name, "_id") }

// mirroredColumn is a mirrored column in the terms of apply_TABLE.
type mirroredColumn struct {
	Name string // the attribute of capydb_auth.event
	Bit  int
	// Shown is the column that readers see, StoredColumn the one that keeps what events set. They differ where
	// deleted_at is computed.
	Shown, StoredColumn string
	// Stored is the name of the stored value in apply_TABLE, Value the new one as readers see it, Decided its name
	// after that.
	Stored, Value, Decided string
	// FromJSON is the value that merge_record gives.
	FromJSON string
	// Differs is whether the value of an event e is another one than that of the row h.row, in compare_TABLE.
	Differs string
}

// RecordID returns the id of a row of the table, by the alias of that.
func (t recordType) RecordID(alias string) string {
	if t.Type == record.Membership {
		return "capydb_auth.membership_id(" + alias + ".organization_id, " + alias + ".user_id)"
	}
	return alias + ".id"
}

// OrganizationID returns the organization that a row of the table belongs to, NULL where there is none.
func (t recordType) OrganizationID(alias string) string {
	if t.Has(string(record.OrganizationID)) {
		return alias + ".organization_id"
	}
	return "NULL::text"
}

// InFeed returns the columns that a change has in before and after.
func (t recordType) InFeed() []mirroredColumn {
	return slices.DeleteFunc(slices.Clone(t.Mirrored), func(c mirroredColumn) bool { return c.Name == string(record.Raw) })
}

// Where returns the condition by which the row i of an event e is found: a range that only the primary key has in the order of
// Order. Compared with a constant, the key would be looked for in other indexes that end with it, if the planner believes that
// they are as small. indent is how far the WHERE is indented.
func (t recordType) Where(indent int) string {
	values := make([]string, len(t.Keys))
	for i, k := range t.Keys {
		values[i] = "e." + k.From
	}
	key, value := t.Order(), strings.Join(values, ", ")
	return "(" + key + ") >= (" + value + ")\n" + strings.Repeat(" ", indent) + "  AND (" + key + ") <= (" + value + ")"
}

// Order returns the key of the row i.
func (t recordType) Order() string {
	names := make([]string, len(t.Keys))
	for i, k := range t.Keys {
		names[i] = "i." + k.Name
	}
	return strings.Join(names, ", ")
}

func newRecordType(d record.Definition) recordType {
	t := recordType{
		Definition: d, A: d.Type.WithArticle(), ExampleID: "auth0|123 or user_123", DeletedAt: "v.deleted_at",
		HasSignIn: slices.Contains(d.Columns, record.LastSignInAt), SignInBit: record.LastSignInAt.Bit(),
		HasRoles: slices.Contains(d.Columns, record.Roles),
	}
	if d.Type == record.Organization {
		t.ExampleID = "org_123"
	}
	if d.ByParents {
		t.DeletedAt = "w.deleted_at"
	}
	for _, key := range d.Key {
		from := key
		if key == "id" {
			from = "record_id"
		}
		t.Keys = append(t.Keys, keyColumn{Name: key, From: from})
	}
	for _, column := range d.Columns {
		t.Mirrored = append(t.Mirrored, newMirroredColumn(d, column))
	}
	return t
}

func newMirroredColumn(d record.Definition, column record.Column) mirroredColumn {
	name := string(column)
	c := mirroredColumn{
		Name: name, Bit: column.Bit(), Shown: d.Shown(column), StoredColumn: name, Stored: name, Value: "v." + name, Decided: name,
	}
	switch member := "m.shown -> '" + name + "'"; column.SQLType() {
	case "jsonb":
		c.FromJSON = member
	case "text[]":
		c.FromJSON = "(SELECT r." + name + " FROM jsonb_to_record(m.shown) AS r (" + name + " text[]))"
	case "text":
		c.FromJSON = "m.shown ->> '" + name + "'"
	default:
		c.FromJSON = "(m.shown ->> '" + name + "')::" + column.SQLType()
	}
	if column == record.DeletedAt {
		c.StoredColumn = d.Deletion
		if d.ByParents {
			c.Stored, c.Value, c.Decided = d.Deletion, "w.deleted_at", "shown_deleted_at"
		}
	}
	c.Differs = differs(column, c.StoredColumn)
	return c
}

// differs returns the condition that an event's value of a column is another one than the row's.
// JavaScript keeps milliseconds, PostgreSQL microseconds. Lists of texts are sets, and what nobody
// has listed is an empty one.
func differs(column record.Column, stored string) string {
	const line = "\n                            "
	here, there := "(h.row)."+stored, "e."+string(column)
	switch {
	case column == record.CreatedAt, column == record.UpdatedAt, column == record.LastSignInAt, column == record.ExpiresAt, column == record.LastActiveAt:
		condition := "date_trunc('milliseconds', " + there + ")" + line + "IS DISTINCT FROM date_trunc('milliseconds', " + here + ")"
		if column == record.LastSignInAt {
			condition += line + "AND (e.last_sign_in_at_is_least AND " + there + " < " + here + ") IS NOT TRUE"
		}
		return condition
	case column.SQLType() == "text[]":
		sorted := func(value string) string {
			return `ARRAY(SELECT a.v FROM unnest(` + value + `) AS a (v) ORDER BY a.v COLLATE "C")`
		}
		return sorted(there) + line + "<> " + sorted(here)
	default:
		return there + " IS DISTINCT FROM " + here
	}
}

// recordTypes is what a template that is rendered once knows.
type recordTypes struct {
	Types     []recordType
	ByParents []recordType
	Listed    []recordType
	Columns   []record.Column
	RolesBit  int
	// DeletedAtBit is that of deleted_at.
	DeletedAtBit int
}

// RowRaw returns the raw of the row that a change belongs to, NULL if the change is an erasure. The rows are written so that only the
// primary keys can be used, whatever the planner believes of the tables. indent is how far its lines are indented.
func (t recordTypes) RowRaw(change string, indent int) string {
	line := "\n" + strings.Repeat(" ", indent)
	var b strings.Builder
	fmt.Fprintf(&b, "CASE%s    WHEN %s.kind = 'erased' THEN NULL", line, change)
	for _, d := range t.Types {
		columns, values := make([]string, len(d.Keys)), make([]string, len(d.Keys))
		for i, k := range d.Keys {
			columns[i], values[i] = "r."+k.Name, "coalesce("+change+".after_"+k.Name+", "+change+".after ->> '"+k.Name+"')"
			if k.Name == "id" {
				values[i] = change + ".record_id"
			}
		}
		key, value := strings.Join(columns, ", "), strings.Join(values, ","+line+"            ")
		fmt.Fprintf(&b, "%[1]s    WHEN %[2]s.record_type = '%[3]s' THEN ("+
			"%[1]s        SELECT r.raw FROM capydb_auth.%[4]s AS r"+
			"%[1]s        WHERE (%[5]s) >= (%[6]s)"+
			"%[1]s          AND (%[5]s) <= (%[6]s)"+
			"%[1]s        ORDER BY %[5]s LIMIT 1"+
			"%[1]s    )", line, change, d.Type, d.Table, key, value)
	}
	b.WriteString(line + "END")
	return b.String()
}

// render returns the files that a template stands for.
func render(layer, name, text string) []codeFile {
	all := recordTypes{Columns: record.Columns(), RolesBit: record.Roles.Bit(), DeletedAtBit: record.DeletedAt.Bit()}
	for _, d := range record.Types() {
		t := newRecordType(d)
		all.Types = append(all.Types, t)
		if d.ByParents {
			all.ByParents = append(all.ByParents, t)
		}
		if d.Listed {
			all.Listed = append(all.Listed, t)
		}
	}
	object := strings.TrimSuffix(path.Base(name), templateSuffix)
	tmpl := template.Must(template.New(name).Option("missingkey=error").Parse(text)) // embedded, and rendered by tests
	execute := func(data any) string {
		var b strings.Builder
		if err := tmpl.Execute(&b, data); err != nil {
			panic(err) // likewise
		}
		return b.String()
	}
	if !strings.Contains(object, perTable) && !strings.Contains(object, perType) {
		return []codeFile{{layer: layer, object: object, text: execute(all)}}
	}
	var files []codeFile
	for _, t := range all.Types {
		rendered := execute(t)
		if strings.TrimSpace(rendered) == "" {
			continue // it is not for this type
		}
		named := strings.NewReplacer(perTable, t.Table, perType, string(t.Type)).Replace(object)
		files = append(files, codeFile{layer: layer, object: named, text: rendered})
	}
	return files
}
