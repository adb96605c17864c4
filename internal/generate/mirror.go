package generate

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// mirrorJSON is what PostgreSQL's catalog says of an installed mirror; make golden writes it. So the models are
// those of the schema that this binary installs, and no list of columns is kept by hand.
//
//go:embed mirror.json
var mirrorJSON []byte

// Mirror is what is generated from.
type Mirror struct {
	// Relations are the tables and views that applications read.
	Relations []Relation `json:"relations"`
	// Tables are the names of all tables of the schema, those that are authsync's own matter included.
	Tables []string `json:"tables"`
}

// Relation is a table or a view.
type Relation struct {
	Name    string   `json:"name"`
	View    bool     `json:"view"`
	Comment string   `json:"comment"`
	Key     []string `json:"key"`
	Columns []Column `json:"columns"`

	// References are the columns that name a record of another table. They are no foreign keys in the database:
	// a membership may arrive before its organization.
	References []Reference `json:"-"`
	// Referenced are the references of other tables to this one.
	Referenced []Reference `json:"-"`
}

// Column is a column that applications read.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
	Comment  string `json:"comment"`
}

// Reference says that a column of one table has the id of a record of another.
type Reference struct {
	From, Column, To string
}

// Field is how the referring record calls the other: organization_id refers to its organization.
func (r Reference) Field() string { return strings.TrimSuffix(r.Column, "_id") }

// Single is the relation's only key column; empty if it has several or none.
func (r Relation) Single() string {
	if len(r.Key) == 1 {
		return r.Key[0]
	}
	return ""
}

// Has reports whether a column of the type is in the relation.
func (r Relation) Has(sqlType string) bool {
	return slices.ContainsFunc(r.Columns, func(c Column) bool { return c.Type == sqlType })
}

// load reads the mirror and adds what the names of its columns say.
func load() (Mirror, error) {
	var m Mirror
	if err := json.Unmarshal(mirrorJSON, &m); err != nil {
		return Mirror{}, fmt.Errorf("mirror.json: %w", err)
	}
	for i := range m.Relations {
		if m.Relations[i].View {
			continue
		}
		for _, c := range m.Relations[i].Columns {
			to, ok := strings.CutSuffix(c.Name, "_id")
			target := slices.IndexFunc(m.Relations, func(r Relation) bool { return r.Name == to+"s" && r.Single() == "id" })
			if !ok || target < 0 {
				continue
			}
			ref := Reference{From: m.Relations[i].Name, Column: c.Name, To: m.Relations[target].Name}
			m.Relations[i].References = append(m.Relations[i].References, ref)
			m.Relations[target].Referenced = append(m.Relations[target].Referenced, ref)
		}
	}
	return m, nil
}
