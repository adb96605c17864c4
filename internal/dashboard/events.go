package dashboard

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/provider"
)

// eventsData is the list of events.
type eventsData struct {
	Filter      filterForm
	IsFiltered  bool
	Events      []wire.Event
	First, Next string // paths of other pages; empty: there is none
	ReplayPath  string // of the page that asks whether to replay what matches
	Fault       *problemError
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
	data := eventsData{IsFiltered: isFiltered(query)}
	shown := view{template: "events", title: "Events of " + v.project.Name, section: "events"}
	page, err := get[wire.Page[wire.Event]](v, query, "projects", v.project.ID, "events")
	if invalid, ok := isInvalid(err); ok {
		data.Fault, shown.status = invalid, invalid.Status
	} else if err != nil {
		return view{}, err
	}
	data.Events, data.Filter = page.Data, eventFilter(v, query, data.Fault)
	if !query.Has("id_contains") { // which a replay does not take
		data.ReplayPath = withValues(pathOf("projects", v.project.ID, "replay"), replayFilter(query))
	}
	data.First, data.Next = otherPages(v.URL.EscapedPath(), query, page.NextCursor)
	shown.data = data
	return shown, nil
}

// eventFilter has all that events can be chosen by.
func eventFilter(v *visit, query url.Values, fault *problemError) filterForm {
	providers := formField{Name: "provider", Label: "Provider", All: "all"}
	for _, name := range slices.Concat(provider.Names(), provider.Presets()) {
		providers.Choices = append(providers.Choices, choice{name, provider.Title(name)})
	}
	return newFilter(
		pathOf("projects", v.project.ID, "events"), "Filter events", "Filter", query, fault,
		chooseOf("outcome", "Outcome", []string{"pending", "applied", "stale", "duplicate", "ignored", "failed"}), providers,
		formField{Name: "type", Label: "Type", Example: "user.created"}, userField(), recordTypeField(), recordField(),
		formField{Name: "event_id", Label: "Event id", Example: "of the provider"},
		formField{Name: "id_contains", Label: "Text in an id", Example: "part of any id"},
		timeField("since", "Since"), timeField("until", "Until"),
	)
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
