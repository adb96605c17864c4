package dashboard

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/record"
)

// recordsData is the list of the records of a type.
type recordsData struct {
	Type       string
	Table      string
	Filter     filterForm
	IsFiltered bool
	ByName     bool // they come in the order of their names
	Columns    []string
	Rows       []recordRow
	First      string // paths of other pages; empty: there is none
	Next       string
	Fault      *problemError
}

// recordRow is a record in the list.
type recordRow struct {
	ID    string
	Cells []recordCell
}

// recordCell is a value, and the page of the record that it names, if it does.
type recordCell struct {
	value

	Link string
	// IsID says that it is an id, which people copy.
	IsID bool
}

// cellOf is the value of a column, of which that many bytes are shown.
func cellOf(projectID, column string, raw json.RawMessage, limit int) recordCell {
	c := recordCell{value: valueOf(raw, isTime(column), limit), Link: linkOf(projectID, column, raw)}
	c.IsID = (column == "id" || strings.HasSuffix(column, "_id")) && !c.None && !c.Long && c.Cut == 0
	return c
}

func listRecords(v *visit) (view, error) {
	d, known := record.Of(record.Type(v.PathValue("type")))
	if !known { // the API says which there are
		_, err := get[json.RawMessage](v, nil, "projects", v.project.ID, "records", v.PathValue("type"))
		return view{}, err
	}
	query := v.given()
	if id := query.Get("id"); id != "" { // its page says whether there is such a record
		return view{redirect: pathOf("projects", v.project.ID, "records", string(d.Type), id)}, nil
	}
	data, shown := newRecords(v, d, query)
	page, err := get[wire.Page[wire.ListedRecord[map[string]json.RawMessage]]](v, query, "projects", v.project.ID, "records", data.Type)
	if invalid, ok := isInvalid(err); ok {
		data.Fault, shown.status = invalid, invalid.Status
	} else if err != nil {
		return view{}, err
	}
	data.Filter = recordFilter(v, d, query, data.Fault)
	for _, r := range page.Data {
		row := recordRow{ID: r.RecordID}
		for _, column := range data.Columns {
			row.Cells = append(row.Cells, cellOf(v.project.ID, column, r.Record[column], maxChangeShown))
		}
		data.Rows = append(data.Rows, row)
	}
	data.First, data.Next = otherPages(v.URL.EscapedPath(), query, page.NextCursor)
	shown.data = data
	return shown, nil
}

// newRecords is a list without records.
func newRecords(v *visit, d record.Definition, query url.Values) (recordsData, view) {
	data := recordsData{Type: string(d.Type), Table: d.Table, Columns: listedColumns(d), IsFiltered: isFiltered(query), ByName: query.Has("name")}
	return data, view{template: "records", title: v.project.Name + ": " + d.Table, section: d.Table}
}

// noSuchRecord is in place of the page of a record that the mirror does not have: the list, in which none has the id.
func noSuchRecord(v *visit, d record.Definition, id string) view {
	query := url.Values{"id": {id}}
	data, shown := newRecords(v, d, query)
	data.Filter = recordFilter(v, d, query, nil)
	shown.status, shown.data = http.StatusNotFound, data
	return shown
}

// recordFilter has what records can be chosen by: all by id, and some by name, e-mail or what they belong to.
func recordFilter(v *visit, d record.Definition, query url.Values, fault *problemError) filterForm {
	id := formField{Name: "id", Label: "Id"}
	if d.Type == record.Membership {
		id.Label = "Id (organization/user)"
	}
	fields := []formField{id}
	if d.Type == record.User || d.Type == record.Organization {
		fields = append(fields, formField{Name: "name", Label: "Name (how it begins)"})
	}
	if d.Has("email") {
		fields = append(fields, formField{Name: "email", Label: "E-mail (exact)"})
	}
	if d.Has("organization_id") {
		fields = append(fields, formField{Name: "organization_id", Label: "Organization id"})
	}
	if d.Has("user_id") {
		fields = append(fields, userField())
	}
	return newFilter(pathOf("projects", v.project.ID, "records", string(d.Type)), "Search "+d.Table, "Search", query, fault, fields...)
}

// listedColumns are the columns of a list besides the id, without those that are long.
func listedColumns(d record.Definition) (columns []string) {
	if len(d.Key) > 1 {
		columns = append(columns, d.Key...)
	}
	long := []record.Column{record.Raw, record.ImageURL, record.Permissions, record.UpdatedAt, record.DeletedAt, record.ID}
	for _, column := range d.Columns {
		if !slices.Contains(long, column) {
			columns = append(columns, string(column))
		}
	}
	if d.Type == record.User {
		columns = append(columns, "provider")
	}
	if d.Type == record.Session {
		return append(columns, "ended_at")
	}
	return append(columns, "deleted_at")
}

func isTime(column string) bool {
	return slices.Contains([]string{"ended_at", "last_event_processed", "own_deleted_at", "placeholder_since"}, column) || record.Column(column).SQLType() == "timestamptz"
}

// linkOf is the page of the record that a value names; empty: it names none.
func linkOf(projectID, column string, raw json.RawMessage) string {
	var id string
	if json.Unmarshal(raw, &id) != nil || id == "" {
		return ""
	}
	switch column {
	case "organization_id":
		return pathOf("projects", projectID, "records", string(record.Organization), id)
	case "user_id":
		return pathOf("projects", projectID, "records", string(record.User), id)
	default:
		return ""
	}
}
