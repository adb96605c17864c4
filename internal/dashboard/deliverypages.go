package dashboard

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/record"
)

// deliveriesData is the list of deliveries.
type deliveriesData struct {
	Filter      filterForm
	IsFiltered  bool
	Deliveries  []wire.Delivery
	First, Next string // paths of other pages; empty: there is none
	Fault       *problemError
}

// deliveryStates are the states of deliveries, with what they mean.
func deliveryStates() []choice {
	return []choice{
		{"held", "It is held back: it is not sent at all if the record is restored meanwhile."},
		{"blocked", "An earlier delivery of the same user or organization comes first."},
		{"ready", "It is sent next."},
		{"retrying", "It failed, and is tried again by itself."},
		{"delivered", "The destination has it."},
		{"coalesced", "A later change of the record was sent in its place."},
		{"failed", "It was given up. It is kept, and can be retried."},
		{"cancelled", "A user has cancelled it."},
	}
}

func listDeliveries(v *visit) (view, error) {
	query := v.given()
	data := deliveriesData{IsFiltered: isFiltered(query)}
	destinations, err := get[wire.Page[wire.Destination]](v, nil, "projects", v.project.ID, "destinations")
	if err != nil {
		return view{}, err
	}
	shown := view{template: "deliveries", title: "Deliveries of " + v.project.Name, section: "deliveries"}
	page, err := get[wire.Page[wire.Delivery]](v, query, "projects", v.project.ID, "deliveries")
	if invalid, ok := isInvalid(err); ok {
		data.Fault, shown.status = invalid, invalid.Status
	} else if err != nil {
		return view{}, err
	}
	data.Deliveries, data.Filter = page.Data, deliveryFilter(v, destinations.Data, query, data.Fault)
	data.First, data.Next = otherPages(v.URL.EscapedPath(), query, page.NextCursor)
	shown.data = data
	return shown, nil
}

// deliveryFilter has all that deliveries can be chosen by.
func deliveryFilter(v *visit, of []wire.Destination, query url.Values, fault *problemError) filterForm {
	var destinations, states []string
	for _, d := range of {
		destinations = append(destinations, d.Name)
	}
	for _, state := range deliveryStates() {
		states = append(states, state.Value)
	}
	return newFilter(
		pathOf("projects", v.project.ID, "deliveries"), "Filter deliveries", "Filter", query, fault,
		chooseOf("destination", "Destination", destinations), chooseOf("state", "State", states), eventTypeField(),
		userField(), recordTypeField(), recordField(),
	)
}

// deliveryData is the page of a delivery.
type deliveryData struct {
	wire.DeliveryDetail

	// Means is what its state means.
	Means string
	// Response is the beginning of the last answer.
	Response excerpt
	// MayRetry, MayConfirm and MayCancel say that its state allows it.
	MayRetry, MayConfirm, MayCancel bool
	// Tries are its attempts, newest first.
	Tries []shownAttempt
	// Shown are the requests that it would send now; Preview is nil if they cannot be made now, for the reason NoPreview.
	Shown     []shownRequest
	NoPreview string
	// IsLook says that the page looks for news: the preview has none, and is left out.
	IsLook          bool
	DestinationPath string
	JobPath         string // empty: it has none, or the key may not open it
}

func showDelivery(v *visit) (view, error) {
	found, noPreview, err := deliveryOf(v)
	if err != nil {
		return view{}, err
	}
	d := found.Delivery
	data := deliveryData{
		DeliveryDetail: found, NoPreview: noPreview, IsLook: isLook(v.Request), Tries: shownAttempts(found.AttemptLog),
		Response:        excerptOf(text(d.LastResponse), maxChangeShown),
		MayRetry:        slices.Contains([]string{"retrying", "failed", "cancelled"}, d.State),
		MayConfirm:      d.State == "held",
		MayCancel:       slices.Contains([]string{"held", "blocked", "ready", "retrying", "failed"}, d.State),
		DestinationPath: pathOfDestination(v.project.ID, d.Destination, d.DestinationID),
	}
	if found.Preview != nil {
		data.Shown = shownRequests(found.Preview.Requests)
	}
	for _, state := range deliveryStates() {
		if state.Value == d.State {
			data.Means = state.Label
		}
	}
	if d.JobID != nil && v.key.ProjectID == nil {
		data.JobPath = RiverPath + "/jobs/" + strconv.FormatInt(*d.JobID, 10)
	}
	return view{template: "delivery", title: "Delivery " + strconv.FormatInt(d.ID, 10) + " of " + v.project.Name, section: "deliveries", data: data}, nil
}

// deliveryOf reads a delivery with its preview, or without it and why: it is made of the project's database and of
// expressions, and the rest is to be seen whatever they do.
func deliveryOf(v *visit) (d wire.DeliveryDetail, noPreview string, err error) {
	path := []string{"projects", v.project.ID, "deliveries", v.PathValue("delivery")}
	if !isLook(v.Request) {
		d, err = get[wire.DeliveryDetail](v, url.Values{"preview": {"true"}}, path...)
		var refused *problemError
		if !errors.As(err, &refused) {
			return d, "", err
		}
		noPreview = refused.Detail
	}
	d, err = get[wire.DeliveryDetail](v, nil, path...)
	return d, noPreview, err
}

// MoreAttempts says that it had attempts that are no longer kept.
func (d deliveryData) MoreAttempts() bool {
	n := len(d.AttemptLog)
	return n > 0 && d.AttemptLog[n-1].Number > 1
}

func retryDelivery(v *visit) (done, error) {
	return onDelivery(v, "retry", "The delivery is queued again; its outcome appears here.")
}

func confirmDelivery(v *visit) (done, error) {
	return onDelivery(v, "confirm", "The delivery is held no longer; its outcome appears here.")
}

func cancelDelivery(v *visit) (done, error) {
	return onDelivery(v, "cancel", "The delivery is cancelled. A request that was under way may still arrive.")
}

func onDelivery(v *visit, verb, notice string) (done, error) {
	id := v.PathValue("delivery")
	_, err := send[wire.Delivery](v, http.MethodPost, nil, "projects", v.project.ID, "deliveries", id, verb)
	return done{page: pathOf("projects", v.project.ID, "deliveries", id), notice: notice}, err
}

// deliveriesOfRecord is how many deliveries the page of a record shows.
const deliveriesOfRecord = 5

// sentOf are the newest deliveries of a record.
func sentOf(v *visit, d record.Definition, id string) ([]wire.Delivery, error) {
	page, err := get[wire.Page[wire.Delivery]](v, url.Values{
		"record_type": {string(d.Type)}, "record_id": {id}, "limit": {strconv.Itoa(deliveriesOfRecord)},
	}, "projects", v.project.ID, "deliveries")
	return page.Data, err
}

// deliveryTable is a table of deliveries.
type deliveryTable struct {
	ProjectID, Caption string
	// Records says that they are of several records.
	Records bool
	List    []wire.Delivery
}

func newDeliveryTable(projectID, caption string, records bool, list []wire.Delivery) deliveryTable {
	return deliveryTable{projectID, caption, records, list}
}
