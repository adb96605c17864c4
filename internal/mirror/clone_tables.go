package mirror

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/authsync/authsync/internal/record"
)

// CloneTable is a table that a clone has from its source.
type CloneTable struct {
	Name string
	// Type is the type of its rows, as clone_allowed takes it: empty for the ledger, whose rows say it themselves.
	Type string

	key     []cloneColumn
	columns []string // all, with the key
	// placeholders: a row of which no event is known may have been made by whoever uses the database.
	placeholders bool
}

// cloneColumn is a column of a primary key.
type cloneColumn struct{ name, sqlType string }

// CloneTables returns the tables whose rows are copied, in the sequence in which they are: tombstones first, so that nothing of an
// erased user comes after them. The change feed is not among them.
func CloneTables() []CloneTable {
	return append([]CloneTable{
		{Name: "erasures", Type: "erasure", key: textColumns("digest"), columns: []string{"digest", "erased_at"}},
		{
			Name: "processed_events",
			key:  append(textColumns("provider", "event_id", "record_type", "record_id"), cloneColumn{"received_at", "timestamptz"}),
			columns: []string{
				"provider", "event_id", "record_type", "record_id", "received_at", "inbox_id", "inbox_ordinal", "outcome", "reason", "processed_at",
			},
		},
	}, CloneRecords()...)
}

// CloneRecords returns those of CloneTables that have records.
func CloneRecords() (all []CloneTable) {
	for _, d := range record.Types() {
		t := CloneTable{Name: d.Table, Type: string(d.Type), key: textColumns(d.Key...), placeholders: d.Placeholders}
		t.columns = append(t.columns, d.Key...)
		for _, c := range d.Columns {
			if c == record.DeletedAt {
				t.columns = append(t.columns, d.Deletion)
				continue
			}
			t.columns = append(t.columns, string(c))
		}
		if d.ByParents {
			t.columns = append(t.columns, string(record.DeletedAt))
		}
		if d.Placeholders {
			t.columns = append(t.columns, "placeholder_since")
		}
		t.columns = append(t.columns, "provider", "last_event_processed", "last_event_id", "last_event_sent_at", "last_event_fields", "field_versions")
		all = append(all, t)
	}
	return all
}

func textColumns(names ...string) (all []cloneColumn) {
	for _, name := range names {
		all = append(all, cloneColumn{name, "text"})
	}
	return all
}

// Key returns the key of a row, in the form that ClonePage takes.
func (t CloneTable) Key(row json.RawMessage) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(row, &all); err != nil {
		return nil, fmt.Errorf("read a row of %s: %w", t.Name, err)
	}
	key := make(map[string]json.RawMessage, len(t.key))
	for _, c := range t.key {
		key[c.name] = all[c.name]
	}
	return json.Marshal(key)
}

// keyColumns are the columns of the key of table t.
func (t CloneTable) keyColumns() string {
	return t.each(", ", func(c cloneColumn) string { return "t." + c.name })
}

func (t CloneTable) each(separator string, write func(c cloneColumn) string) string {
	parts := make([]string, len(t.key))
	for i, c := range t.key {
		parts[i] = write(c)
	}
	return strings.Join(parts, separator)
}

// is is the condition that the row has the key in a document.
func (t CloneTable) is(doc string) string {
	return t.each(" AND ", func(c cloneColumn) string {
		return fmt.Sprintf("t.%s = (%s ->> '%s')::%s", c.name, doc, c.name, c.sqlType)
	})
}

// behind is the condition that the row comes behind the one whose key is parameter 1. It is by primary key, in the order of the
// database that is asked.
func (t CloneTable) behind(after bool) string {
	if !after {
		return "$1::jsonb IS NULL"
	}
	return "(" + t.keyColumns() + ") > (" +
		t.each(", ", func(c cloneColumn) string { return fmt.Sprintf("($1::jsonb ->> '%s')::%s", c.name, c.sqlType) }) + ")"
}

func (t CloneTable) page(after bool) string {
	return `
	SELECT to_jsonb(t) AS doc
	FROM capydb_auth.` + t.Name + ` AS t
	WHERE ` + t.behind(after) + `
	ORDER BY ` + t.keyColumns() + `
	LIMIT $2`
}

func (t CloneTable) keys(after bool) string {
	return `
	SELECT jsonb_build_object(` + t.each(", ", func(c cloneColumn) string { return "'" + c.name + "', t." + c.name }) + `) AS doc
	FROM capydb_auth.` + t.Name + ` AS t
	WHERE ` + t.behind(after) + `
	ORDER BY ` + t.keyColumns() + `
	LIMIT $2`
}

// rows has a row for each key, null where there is none.
func (t CloneTable) rows() string {
	return `
	SELECT coalesce(f.doc, 'null') AS doc
	FROM unnest($1::jsonb[]) WITH ORDINALITY AS k (key, place)
	LEFT JOIN LATERAL (SELECT to_jsonb(t) AS doc FROM capydb_auth.` + t.Name + ` AS t WHERE ` + t.is("k.key") + ` LIMIT 1) AS f ON true
	ORDER BY k.place`
}

func (t CloneTable) missing() string {
	return `
	SELECT k.key AS doc
	FROM unnest($1::jsonb[]) AS k (key)
	WHERE NOT EXISTS (SELECT FROM capydb_auth.` + t.Name + ` AS t WHERE ` + t.is("k.key") + `)`
}

func (t CloneTable) remove() string {
	of := ""
	if t.placeholders {
		of = " AND t.placeholder_since IS NULL"
	}
	return `DELETE FROM capydb_auth.` + t.Name + ` AS t USING unnest($1::jsonb[]) AS k (key) WHERE ` + t.is("k.key") + of
}

// write leaves rows alone that are the same already.
func (t CloneTable) write() string {
	all := strings.Join(t.columns, ", ")
	set := make([]string, len(t.columns))
	for i, c := range t.columns {
		set[i] = c + " = excluded." + c
	}
	return `
	INSERT INTO capydb_auth.` + t.Name + ` AS t (` + all + `)
	SELECT r.` + strings.Join(t.columns, ", r.") + `
	FROM unnest(capydb_auth.clone_allowed($1, $2, $3)) AS u (doc)
	CROSS JOIN LATERAL jsonb_populate_record(NULL::capydb_auth.` + t.Name + `, u.doc) AS r
	ON CONFLICT (` + t.each(", ", func(c cloneColumn) string { return c.name }) + `) DO UPDATE SET ` + strings.Join(set, ", ") + `
	WHERE to_jsonb(t)::text IS DISTINCT FROM to_jsonb(excluded)::text`
}
