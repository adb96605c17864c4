package dashboard

import (
	"net/http"
	"net/url"

	"github.com/authsync/authsync/internal/api/wire"
)

// replayData is the page that asks before events are replayed.
type replayData struct {
	Chosen  []formField // by what the events are chosen
	Matched int
	// Most says that there may be more than Matched.
	Most bool
	Path string // of the list of these events
	// Rest continues a replay of which a part is queued; empty: none is.
	Rest string
}

// restOf is the parameter that continues a replay. The cursor of a list is another one.
const restOf = "rest"

// replayFilter is by what events are chosen: all that the list of events was asked for by, so that a replay counts, shows
// and takes up the same events.
func replayFilter(chosen url.Values) url.Values {
	filter := url.Values{}
	for name := range chosen {
		if name != once && name != restOf && name != "cursor" && name != "limit" && chosen.Get(name) != "" {
			filter.Set(name, chosen.Get(name))
		}
	}
	return filter
}

// replayOrder is a filter as the API takes it in a body. rest continues a replay of which a part is queued.
func replayOrder(filter url.Values, rest string) map[string]any {
	order := map[string]any{}
	for name := range filter {
		order[name] = filter.Get(name)
	}
	if rest != "" {
		order["cursor"] = rest
	}
	return order
}

func askReplay(v *visit) (view, error) {
	query := v.given()
	filter, rest := replayFilter(query), query.Get(restOf)
	data := replayData{Rest: rest, Path: withValues(pathOf("projects", v.project.ID, "events"), filter), Chosen: chosenBy(filter)}
	order := replayOrder(filter, rest)
	order["dry_run"] = true
	counted, err := send[wire.Replay](v, http.MethodPost, order, "projects", v.project.ID, "events", "replay")
	if err != nil {
		return view{}, err
	}
	if counted.Matched != nil {
		data.Matched, data.Most = *counted.Matched, *counted.Matched == wire.MaxMatched
	}
	return view{template: "replay", title: "Replay events of " + v.project.Name, section: "events", data: data}, nil
}

func replayEvents(v *visit) (done, error) {
	filter := replayFilter(v.form)
	made, err := send[wire.Replay](v, http.MethodPost, replayOrder(filter, v.form.Get(restOf)), "projects", v.project.ID, "events", "replay")
	if err != nil {
		return done{}, err
	}
	if made.NextCursor != nil {
		filter.Set(restOf, *made.NextCursor)
		return done{page: withValues(pathOf("projects", v.project.ID, "replay"), filter), notice: "The oldest messages are queued again. Continue with the others."}, nil
	}
	return done{
		page:   withValues(pathOf("projects", v.project.ID, "events"), filter),
		notice: "The messages are queued again. Those that were applied change nothing; the outcomes appear here.",
	}, nil
}

func replayEvent(v *visit) (done, error) {
	event := v.PathValue("event")
	if _, err := send[wire.Replay](v, http.MethodPost, nil, "projects", v.project.ID, "events", event, "replay"); err != nil {
		return done{}, err
	}
	return done{page: pathOf("projects", v.project.ID, "events", event), notice: "The event is queued again; its outcome appears here."}, nil
}

// withValues adds parameters to a path.
func withValues(path string, values url.Values) string {
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}
