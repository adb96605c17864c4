package dashboard

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// maxChangesShown is how many changes a page has at most.
const maxChangesShown = 50

// recordData is the page of a record.
type recordData struct {
	Type, Table, ID string
	IsDeleted       bool
	IsListed        bool // its provider can be asked about it
	Columns         []recordColumn
	// EventsRead is of how many events the values that lost are, the newest, and HasMore says that there are older ones.
	EventsRead int
	HasMore    bool
	Sent       []wire.Delivery // the newest deliveries
	Changes    []recordChange  // newest first
	Newest     string          // path of the newest changes; empty: they are shown
	Older      string          // empty: there are none
}

// recordColumn is a column and who set it.
type recordColumn struct {
	Name  string
	Value recordCell
	// Source is nil for a column that no event sets.
	Source *wire.Source
	// Lost are the values that lost against it, of the newest events.
	Lost []lostValue
}

// lostValue is a value that a column does not show.
type lostValue struct {
	Event wire.Event
	Value value
}

// recordChange is an entry of the timeline.
type recordChange struct {
	wire.Change

	Differences []difference
}

// difference is a column before and after a change.
type difference struct {
	Column        string
	Before, After value
}

func showRecord(v *visit) (view, error) {
	id := v.PathValue("id")
	d, known := record.Of(record.Type(v.PathValue("type")))
	query := v.given()
	asked := maps.Clone(query)
	asked.Set("limit", strconv.Itoa(maxChangesShown))
	found, err := get[wire.Record[map[string]json.RawMessage]](v, asked, "projects", v.project.ID, "records", v.PathValue("type"), id)
	if known && isNotFound(err) {
		return noSuchRecord(v, d, id), nil
	}
	if err != nil {
		return view{}, err
	}
	data := recordData{Type: found.RecordType, Table: d.Table, IsListed: d.Listed, ID: id, Columns: columnsOf(v.project.ID, d, found)}
	if err := data.addLost(v, id); err != nil {
		return view{}, err
	}
	for _, column := range []string{"deleted_at", "ended_at"} {
		data.IsDeleted = data.IsDeleted || !valueOf(found.Record[column], false, maxValueShown).None
	}
	if data.Sent, err = sentOf(v, d, id); err != nil {
		return view{}, err
	}
	slices.Reverse(found.Changes)
	for _, c := range found.Changes {
		data.Changes = append(data.Changes, recordChange{c, differencesOf(c)})
	}
	data.Newest, data.Older = otherPages(v.URL.EscapedPath(), query, found.NextCursor)
	return view{template: "record", title: data.Type + " " + id, section: d.Table, data: data}, nil
}

// addLost adds to each column the values that lost.
func (d *recordData) addLost(v *visit, id string) error {
	values, err := get[wire.RecordValues](v, nil, "projects", v.project.ID, "records", d.Type, id, "values")
	if err != nil {
		return err
	}
	lost := map[string][]lostValue{}
	for _, c := range values.Columns {
		for _, l := range c.Lost {
			raw, err := json.Marshal(l.Value)
			if err != nil {
				return err
			}
			lost[c.Column] = append(lost[c.Column], lostValue{l.Event, valueOf(raw, isTime(c.Column), maxChangeShown)})
		}
	}
	for i := range d.Columns {
		d.Columns[i].Lost = lost[d.Columns[i].Name]
	}
	d.EventsRead, d.HasMore = values.EventsRead, values.HasMore
	return nil
}

// columnsOf has the columns in the sequence of the table, and others after them.
func columnsOf(projectID string, d record.Definition, found wire.Record[map[string]json.RawMessage]) (columns []recordColumn) {
	sources := make(map[string]*wire.Source, len(found.Sources))
	for i := range found.Sources {
		sources[found.Sources[i].Column] = &found.Sources[i]
	}
	names := slices.Clone(d.Key)
	for _, column := range d.Columns {
		names = append(names, string(column))
	}
	names = append(names, slices.Sorted(maps.Keys(found.Record))...)
	seen := map[string]bool{}
	for _, name := range names {
		raw, is := found.Record[name]
		if !is || seen[name] {
			continue
		}
		seen[name] = true
		columns = append(columns, recordColumn{Name: name, Value: cellOf(projectID, name, raw, maxValueShown), Source: sources[name]})
	}
	return columns
}

// differencesOf reads the columns that a change changed.
func differencesOf(c wire.Change) (differences []difference) {
	var before, after map[string]json.RawMessage
	_ = json.Unmarshal(c.Before, &before) // null for a new record
	_ = json.Unmarshal(c.After, &after)   // null for one that is gone
	for _, column := range c.Changed {
		differences = append(differences, difference{
			column, valueOf(before[column], isTime(column), maxChangeShown), valueOf(after[column], isTime(column), maxChangeShown),
		})
	}
	return differences
}

// refreshRecord reads one record from the provider.
func refreshRecord(v *visit) (done, error) {
	path := []string{"projects", v.project.ID, "records", v.PathValue("type"), v.PathValue("id")}
	repair, err := send[wire.Repair](v, http.MethodPost, nil, append(path, "refresh")...)
	if err != nil {
		return done{}, err
	}
	return done{page: pathOf(path...), notice: repairText(repair)}, nil
}

// repairText is what a refresh has found and done, in a sentence.
func repairText(r wire.Repair) string {
	found := map[string]string{
		"equal": "The mirror has what " + provider.Title(r.Provider) + " has.", "missing": "The " + r.RecordType + " was missing in the mirror.",
		"differing": "The mirror differed in " + strings.Join(r.Columns, ", ") + ".", "deleted_here": "The " + r.RecordType + " was deleted in the mirror, but not at the provider.",
		"gone": "The provider has no such " + r.RecordType + ".", "recent": "The mirror has newer values than the provider is certain to know.",
	}[r.Found]
	if r.Done != "nothing" {
		found += " It is " + r.Done + " now."
	}
	if r.Note != nil {
		found += " " + *r.Note
	}
	return found
}
