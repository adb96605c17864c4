package dashboard

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/record"
)

// filterForm is the form above a list, which chooses what is in it; see template filter.
type filterForm struct {
	// Action is the page that it leads to, and Label what it is called where it cannot be seen.
	Action, Label string
	Button        string
	Fields        []formField
	// Presets are often wanted times to begin at; nil: it has no field for that.
	Presets []preset
	// Clear is the page of the whole list; empty: it is shown, or there is none.
	Clear string
}

// preset is a time to begin at, so many seconds ago, with the page that has the list since then.
type preset struct {
	Label   string
	Seconds int
	Path    string
}

// presetsOf are those for a list, which stays filtered by what else was entered.
func presetsOf(action string, entered url.Values, now time.Time) []preset {
	presets := []preset{{Label: "Last hour", Seconds: 3600}, {Label: "Last 24 hours", Seconds: 24 * 3600}, {Label: "Last 7 days", Seconds: 7 * 24 * 3600}}
	query := maps.Clone(entered)
	if query == nil {
		query = url.Values{}
	}
	query.Del("until")
	query.Del("cursor")
	for i := range presets {
		query.Set("since", now.Add(-time.Duration(presets[i].Seconds)*time.Second).UTC().Format(time.RFC3339))
		presets[i].Path = action + "?" + query.Encode()
	}
	return presets
}

// formField is a field of a filter, with what was entered and what is wrong with it.
type formField struct {
	Name, Label, Example string
	// Choices are what it may be; nil: any text. All is what the choice of none of them is called; empty: one must be chosen.
	Choices      []choice
	All          string
	Value, Fault string
	// IsTime says that it is an instant, which is in UTC in addresses.
	IsTime bool
}

// newFilter is a filter as it is filled in.
func newFilter(action, label, button string, entered url.Values, fault *problemError, fields ...formField) filterForm {
	for i := range fields {
		fields[i].Value, fields[i].Fault = entered.Get(fields[i].Name), fault.Of(fields[i].Name)
	}
	f := filterForm{Action: action, Label: label, Button: button, Fields: fields}
	if slices.ContainsFunc(fields, func(field formField) bool { return field.Name == "since" }) {
		f.Presets = presetsOf(action, entered, time.Now())
	}
	if isFiltered(entered) {
		f.Clear = action
	}
	return f
}

// chooseOf is a field with one of some names.
func chooseOf(name, label string, names []string) formField {
	return formField{Name: name, Label: label, All: "all", Choices: choicesOf(names)}
}

func choicesOf(names []string) (choices []choice) {
	for _, name := range names {
		choices = append(choices, choice{name, name})
	}
	return choices
}

// Fields that several filters have.
func userField() formField       { return formField{Name: "user_id", Label: "User id"} }
func recordTypeField() formField { return chooseOf("record_type", "Record type", record.Names()) }

func recordField() formField {
	return formField{Name: "record_id", Label: "Record id", Example: "with a record type"}
}

func eventTypeField() formField {
	return chooseOf("event_type", "Event type", destination.EventTypes())
}

func timeField(name, label string) formField {
	return formField{Name: name, Label: label, Example: "2026-05-04T10:20:30Z", IsTime: true}
}

// chosenBy are the values that choose what is worked on, as a page shows them before.
func chosenBy(entered url.Values) (chosen []formField) {
	for _, name := range slices.Sorted(maps.Keys(entered)) {
		chosen = append(chosen, formField{Name: name, Label: strings.ReplaceAll(name, "_", " "), Value: entered.Get(name)})
	}
	return chosen
}

// isFiltered reports whether a list was asked for in part: the place in it does not count.
func isFiltered(query url.Values) bool {
	return len(query) > 1 || len(query) == 1 && !query.Has("cursor")
}
