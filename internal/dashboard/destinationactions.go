package dashboard

import (
	"maps"
	"net/http"
	"net/url"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/plural"
)

// previewData is the page that shows what a destination would be sent.
type previewData struct {
	Destination wire.Destination
	Path        string
	Filter      filterForm
	Fault       *problemError
	// Preview is nil until a record is named.
	Preview *wire.Preview
	Shown   []shownRequest
	// RecordPath is the page of the record.
	RecordPath string
}

// previewDestination shows the requests for the newest change of a record; nothing is sent.
func previewDestination(v *visit) (view, error) {
	d, t, err := findDestination(v)
	if err != nil {
		return view{}, err
	}
	given := v.given()
	data := previewData{Destination: d, Path: destinationPath(v, d)}
	shown := view{template: "destinationpreview", title: "Preview of " + d.Name, section: "destinations"}
	if v.URL.Query().Has("record_id") {
		order := wire.PreviewOrder{RecordType: given.Get("record_type"), RecordID: given.Get("record_id")}
		preview, err := send[wire.Preview](v, http.MethodPost, order, "projects", v.project.ID, "destinations", d.ID, "preview")
		invalid, ok := isInvalid(err)
		switch {
		case ok:
			data.Fault, shown.status = invalid, invalid.Status
		case isNotFound(err):
			data.Fault = problemOf(http.StatusNotFound, "The mirror has no such record, or no change of it is left in the change feed.")
			shown.status = data.Fault.Status
		case err != nil:
			return view{}, err
		default:
			data.Preview, data.Shown = &preview, shownRequests(preview.Requests)
			data.RecordPath = pathOf("projects", v.project.ID, "records", order.RecordType, order.RecordID)
		}
	}
	data.Filter = previewFilter(data.Path, &t, given, data.Fault)
	shown.data = data
	return shown, nil
}

// previewFilter chooses the record of a preview.
func previewFilter(path string, t *destinationType, entered url.Values, fault *problemError) filterForm {
	f := newFilter(
		path+"/preview", "Preview", "Preview", entered, fault,
		formField{Name: "record_type", Label: "Record type", Choices: choicesOf(recordTypesOf(t))},
		formField{Name: "record_id", Label: "Record id", Example: "user_2xKq9"},
	)
	f.Clear = "" // without a record there is none
	return f
}

// destinationReplay is the page that asks before a destination is sent something again.
type destinationReplay struct {
	Destination wire.Destination
	Path        string
	Filter      filterForm
	Chosen      []formField // by what the deliveries are chosen
	Matched     *int64      // nil: nothing is chosen yet
	Fault       *problemError
}

// finishedStates are those from which deliveries can be sent again.
func finishedStates() []string { return []string{"failed", "delivered", "coalesced", "cancelled"} }

func deliveriesOrder(chosen url.Values) wire.ReplayOrder {
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
	data := destinationReplay{Destination: d, Path: destinationPath(v, d)}
	shown := view{template: "destinationreplay", title: "Replay deliveries to " + d.Name, section: "destinations"}
	if len(v.URL.Query()) > 0 { // without a choice the API says what there is to choose
		order := deliveriesOrder(given)
		order.DryRun = true
		counted, err := send[wire.Replayed](v, http.MethodPost, order, "projects", v.project.ID, "destinations", d.ID, "replay")
		if invalid, ok := isInvalid(err); ok {
			data.Fault, shown.status = invalid, invalid.Status
		} else if err != nil {
			return view{}, err
		} else {
			data.Matched = &counted.Matched
		}
		data.Chosen = chosenBy(given)
	}
	state := chooseOf("state", "State", finishedStates())
	state.All = "all but coalesced"
	data.Filter = newFilter(
		data.Path+"/replay", "Choose deliveries", "Count them", given, data.Fault, state, eventTypeField(), recordTypeField(), recordField(), userField(),
		timeField("since", "Since"), timeField("until", "Until"),
	)
	beginning := maps.Clone(given)
	beginning.Del("until")
	beginning.Set("since", "beginning")
	data.Filter.Presets = append(data.Filter.Presets, preset{Label: "From the beginning", Path: data.Path + "/replay?" + beginning.Encode()})
	shown.data = data
	return shown, nil
}

func replayDestination(v *visit) (done, error) {
	replayed, err := send[wire.Replayed](v, http.MethodPost, deliveriesOrder(v.form), "projects", v.project.ID, "destinations", v.PathValue("destination"), "replay")
	if err != nil {
		return done{}, err
	}
	return done{
		page:   pathOf("projects", v.project.ID, "destinations", v.PathValue("destination")),
		notice: plural.Of(replayed.Requeued, "delivery") + plural.Word(replayed.Requeued, " is", " are") + " queued again.",
	}, nil
}

// MatchedText is what a replay would send again.
func (d destinationReplay) MatchedText() string { return plural.Of(*d.Matched, "delivery") }
