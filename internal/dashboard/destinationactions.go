package dashboard

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/record"
)

// previewData is the page that shows what a destination would be sent.
type previewData struct {
	Destination wire.Destination
	Path        string
	RecordTypes []string
	Entered     map[string]string
	Fault       *problemError
	// Preview is nil until a record is named.
	Preview *wire.Preview
	Shown   []shownRequest
	// RecordPath is the page of the record.
	RecordPath string
}

// Field is a field of the form.
func (d previewData) Field(name, label, example string) formField {
	return formField{Name: name, Label: label, Example: example, Value: d.Entered[name], Fault: d.Fault.Of(name)}
}

// previewDestination shows the requests for the newest change of a record; nothing is sent.
func previewDestination(v *visit) (view, error) {
	d, t, err := findDestination(v)
	if err != nil {
		return view{}, err
	}
	given := v.given()
	data := previewData{Destination: d, Path: destinationPath(v, d), RecordTypes: recordTypesOf(&t), Entered: enteredOf(given)}
	shown := view{template: "destinationpreview", title: "Preview of " + d.Name, section: "destinations"}
	if v.URL.Query().Has("record_id") {
		order := wire.PreviewOrder{RecordType: given.Get("record_type"), RecordID: given.Get("record_id")}
		preview, err := send[wire.Preview](v, http.MethodPost, order, "projects", v.project.ID, "destinations", d.ID, "preview")
		invalid, ok := isInvalid(err)
		switch {
		case ok:
			data.Fault, shown.status = invalid, invalid.Status
		case isNotFound(err):
			data.Fault = &problemError{Detail: "The mirror has no such record, or no change of it is left in the change feed."}
			shown.status = http.StatusNotFound
		case err != nil:
			return view{}, err
		default:
			data.Preview, data.Shown = &preview, shownRequests(preview.Requests)
			data.RecordPath = pathOf("projects", v.project.ID, "records", order.RecordType, order.RecordID)
		}
	}
	shown.data = data
	return shown, nil
}

// enteredOf are the parameters of a query by name.
func enteredOf(query url.Values) map[string]string {
	entered := make(map[string]string, len(query))
	for name := range query {
		entered[name] = query.Get(name)
	}
	return entered
}

// destinationReplay is the page that asks before a destination is sent something again.
type destinationReplay struct {
	Destination wire.Destination
	Path        string
	States      []string
	RecordTypes []string
	EventTypes  []string
	Entered     map[string]string
	Filters     []formField // what chooses the deliveries
	Matched     *int64      // nil: nothing is chosen yet
	Fault       *problemError
}

// Field is a field of the form, with what was entered and what is wrong with it.
func (d destinationReplay) Field(name, label, example string) formField {
	return formField{Name: name, Label: label, Example: example, Value: d.Entered[name], Fault: d.Fault.Of(name)}
}

// finishedStates are those from which deliveries can be sent again.
func finishedStates() []string { return []string{"failed", "delivered", "coalesced", "cancelled"} }

func replayOrder(chosen url.Values) wire.ReplayOrder {
	return wire.ReplayOrder{
		Since: chosen.Get("since"), Until: chosen.Get("until"), UserID: chosen.Get("user_id"), RecordType: chosen.Get("record_type"),
		RecordID: chosen.Get("record_id"), EventType: chosen.Get("event_type"), State: chosen.Get("state"),
	}
}

func askDestinationReplay(v *visit) (view, error) {
	d, _, err := findDestination(v)
	if err != nil {
		return view{}, err
	}
	given := v.given()
	data := destinationReplay{
		Destination: d, Path: destinationPath(v, d), States: finishedStates(), RecordTypes: record.Names(),
		EventTypes: destination.EventTypes(), Entered: enteredOf(given),
	}
	shown := view{template: "destinationreplay", title: "Replay deliveries to " + d.Name, section: "destinations"}
	if len(v.URL.Query()) > 0 { // without a choice the API says what there is to choose
		order := replayOrder(given)
		order.DryRun = true
		counted, err := send[wire.Replayed](v, http.MethodPost, order, "projects", v.project.ID, "destinations", d.ID, "replay")
		if invalid, ok := isInvalid(err); ok {
			data.Fault, shown.status = invalid, invalid.Status
		} else if err != nil {
			return view{}, err
		} else {
			data.Matched = &counted.Matched
		}
		for _, name := range slices.Sorted(maps.Keys(data.Entered)) {
			data.Filters = append(data.Filters, formField{Name: name, Label: strings.ReplaceAll(name, "_", " "), Value: data.Entered[name]})
		}
	}
	shown.data = data
	return shown, nil
}

func replayDestination(v *visit) (done, error) {
	replayed, err := send[wire.Replayed](v, http.MethodPost, replayOrder(v.form), "projects", v.project.ID, "destinations", v.PathValue("destination"), "replay")
	if err != nil {
		return done{}, err
	}
	return done{
		page:   pathOf("projects", v.project.ID, "destinations", v.PathValue("destination")),
		notice: deliveriesText(replayed.Requeued) + " queued again.",
	}, nil
}

// deliveriesText is a number of deliveries in words.
func deliveriesText(n int64) string {
	if n == 1 {
		return "1 delivery"
	}
	return strconv.FormatInt(n, 10) + " deliveries"
}

// MatchedText is what a replay would send again.
func (d destinationReplay) MatchedText() string { return deliveriesText(*d.Matched) }
