package dashboard

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/api/wire"
)

// replayData is the page that asks before events are replayed.
type replayData struct {
	Filters []formField // what chooses the events
	Matched int
	// Most says that there may be more than Matched.
	Most bool
	Path string // of the list of these events
}

// replayFilter is what chooses events, as the API takes it. All of it are texts.
func replayFilter(chosen url.Values) map[string]any {
	filter := map[string]any{}
	for name := range chosen {
		if name != once && name != "cursor" && name != "limit" && chosen.Get(name) != "" {
			filter[name] = chosen.Get(name)
		}
	}
	return filter
}

func askReplay(v *visit) (view, error) {
	filter := replayFilter(v.given())
	data := replayData{Path: withValues(pathOf("projects", v.project.ID, "events"), filter)}
	for _, name := range slices.Sorted(maps.Keys(filter)) {
		value, _ := filter[name].(string)
		data.Filters = append(data.Filters, formField{Name: name, Label: strings.ReplaceAll(name, "_", " "), Value: value})
	}
	filter["dry_run"] = true
	counted, err := send[wire.Replay](v, http.MethodPost, filter, "projects", v.project.ID, "events", "replay")
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
	if _, err := send[wire.Replay](v, http.MethodPost, filter, "projects", v.project.ID, "events", "replay"); err != nil {
		return done{}, err
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
func withValues(path string, values map[string]any) string {
	query := url.Values{}
	for name, value := range values {
		if text, ok := value.(string); ok {
			query.Set(name, text)
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}
