package dashboard

import (
	"net/http"
	"net/url"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/plural"
)

// confirmOrder chooses held deliveries of a destination.
func confirmOrder(destinationID string, chosen url.Values) wire.ConfirmOrder {
	return wire.ConfirmOrder{
		Destination: destinationID, UserID: chosen.Get("user_id"), RecordType: chosen.Get("record_type"), RecordID: chosen.Get("record_id"),
		EventType: chosen.Get("event_type"),
	}
}

// askDestinationConfirm is the page that asks before a destination is sent deletions that are held back.
func askDestinationConfirm(v *visit) (view, error) {
	d, _, err := findDestination(v)
	if err != nil {
		return view{}, err
	}
	given := v.given()
	data := destinationReplay{Destination: d, Path: destinationPath(v, d), Chosen: chosenBy(given)}
	shown := view{template: "destinationconfirm", title: "Confirm deletions of " + d.Name, section: "destinations"}
	order := confirmOrder(d.ID, given)
	order.DryRun = true
	counted, err := send[wire.Confirmed](v, http.MethodPost, order, "projects", v.project.ID, "deliveries", "confirm")
	if invalid, ok := isInvalid(err); ok {
		data.Fault, shown.status = invalid, invalid.Status
	} else if err != nil {
		return view{}, err
	} else {
		data.Matched = &counted.Matched
	}
	data.Filter = newFilter(
		data.Path+"/confirm", "Choose deliveries", "Count them", given, data.Fault, eventTypeField(), recordTypeField(), recordField(), userField(),
	)
	shown.data = data
	return shown, nil
}

func confirmDestination(v *visit) (done, error) {
	name := v.PathValue("destination")
	confirmed, err := send[wire.Confirmed](v, http.MethodPost, confirmOrder(name, v.form), "projects", v.project.ID, "deliveries", "confirm")
	if err != nil {
		return done{}, err
	}
	return done{
		page:   pathOf("projects", v.project.ID, "destinations", name),
		notice: plural.Of(confirmed.Confirmed, "delivery") + plural.Word(confirmed.Confirmed, " is", " are") + " held no longer.",
	}, nil
}
