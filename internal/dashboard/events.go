package dashboard

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// eventsData is the list of events.
type eventsData struct {
	Filter      map[string]string
	IsFiltered  bool
	Outcomes    []string
	Providers   []string
	RecordTypes []string
	Events      []wire.Event
	First, Next string // paths of other pages; empty: there is none
	ReplayPath  string // of the page that asks whether to replay what matches
	Fault       *problemError
}

// formField is a text field of a form.
type formField struct{ Name, Label, Example, Value, Fault string }

// Field is a field of the form, with what was entered and what is wrong with it.
func (d eventsData) Field(name, label, example string) formField {
	return formField{Name: name, Label: label, Example: example, Value: d.Filter[name], Fault: d.Fault.Of(name)}
}

// Of is what is wrong with a parameter; empty: nothing.
func (p *problemError) Of(field string) string {
	if p != nil {
		for _, one := range p.Errors {
			if one.Field == field {
				return one.Detail
			}
		}
	}
	return ""
}

// isInvalid finds a problem with what was asked for, which the form can show.
func isInvalid(err error) (*problemError, bool) {
	var refused *problemError
	ok := errors.As(err, &refused) && (refused.Status == http.StatusUnprocessableEntity || refused.Status == http.StatusBadRequest)
	return refused, ok
}

func listEvents(v *visit) (view, error) {
	query := v.given()
	data := eventsData{
		Filter: map[string]string{}, IsFiltered: isFiltered(query), Providers: provider.Names(), RecordTypes: record.Names(),
		Outcomes: []string{"pending", "applied", "stale", "duplicate", "ignored", "failed"},
	}
	for name := range query {
		data.Filter[name] = query.Get(name)
	}
	shown := view{template: "events", title: "Events of " + v.project.Name, section: "events"}
	page, err := get[wire.Page[wire.Event]](v, query, "projects", v.project.ID, "events")
	if invalid, ok := isInvalid(err); ok {
		data.Fault, shown.status = invalid, invalid.Status
	} else if err != nil {
		return view{}, err
	}
	data.Events = page.Data
	data.ReplayPath = withValues(pathOf("projects", v.project.ID, "replay"), replayFilter(query))
	data.First, data.Next = otherPages(v.URL.EscapedPath(), query, page.NextCursor)
	shown.data = data
	return shown, nil
}

// isFiltered reports whether a list was asked for in part: the place in it does not count.
func isFiltered(query url.Values) bool {
	return len(query) > 1 || len(query) == 1 && !query.Has("cursor")
}

// otherPages are the paths of the first and the next page of a list.
func otherPages(path string, query url.Values, next *string) (first, following string) {
	isLater := query.Has("cursor")
	query.Del("cursor")
	if isLater {
		first = path + "?" + query.Encode()
	}
	if next != nil {
		query.Set("cursor", *next)
		following = path + "?" + query.Encode()
	}
	return first, following
}
