package dashboard

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/project"
)

// destinationPages adds the pages of destinations and deliveries to a router.
func (d *Dashboard) destinationPages(routes *http.ServeMux) {
	const (
		all      = ProjectsPath + "/{project}/destinations"
		one      = all + "/{destination}"
		sent     = ProjectsPath + "/{project}/deliveries"
		delivery = sent + "/{delivery}"
	)
	routes.HandleFunc("GET "+all, d.page(listDestinations))
	routes.HandleFunc("POST "+all, d.act(d.createDestination))
	routes.HandleFunc("GET "+all+"/new", d.page(only(project.Admin, chooseType)))
	routes.HandleFunc("GET "+one, d.page(d.showDestination))
	routes.HandleFunc("GET "+one+"/change", d.page(only(project.Admin, changeDestinationPage)))
	routes.HandleFunc("POST "+one+"/change", d.act(changeDestination))
	routes.HandleFunc("POST "+one+"/pause", d.act(pauseDestination))
	routes.HandleFunc("POST "+one+"/resume", d.act(resumeDestination))
	routes.HandleFunc("POST "+one+"/rotate", d.act(d.rotateSecret))
	routes.HandleFunc("GET "+one+"/rotate", d.page(d.showDestination)) // the answer is that page, at this address
	routes.HandleFunc("POST "+one+"/test", d.act(d.testDestination))
	routes.HandleFunc("GET "+one+"/test", d.page(d.showDestination)) // likewise
	routes.HandleFunc("GET "+one+"/preview", d.page(previewDestination))
	routes.HandleFunc("GET "+one+"/replay", d.page(only(project.Operator, askDestinationReplay)))
	routes.HandleFunc("POST "+one+"/replay", d.act(replayDestination))
	routes.HandleFunc("GET "+one+"/confirm", d.page(only(project.Operator, askDestinationConfirm)))
	routes.HandleFunc("POST "+one+"/confirm", d.act(confirmDestination))
	routes.HandleFunc("POST "+one+"/delete", d.act(deleteDestination))
	routes.HandleFunc("GET "+sent, d.page(listDeliveries))
	routes.HandleFunc("GET "+delivery, d.page(showDelivery))
	routes.HandleFunc("POST "+delivery+"/retry", d.act(retryDelivery))
	routes.HandleFunc("POST "+delivery+"/cancel", d.act(cancelDelivery))
	routes.HandleFunc("POST "+delivery+"/confirm", d.act(confirmDelivery))
}

// destinationPath is the page of a destination. One may be named as the page that creates them.
func destinationPath(v *visit, d wire.Destination) string {
	return pathOfDestination(v.project.ID, d.Name, d.ID)
}

func pathOfDestination(projectID, name, id string) string {
	if name == "new" {
		name = id
	}
	return pathOf("projects", projectID, "destinations", name)
}

// destinationsData is the list of destinations.
type destinationsData struct {
	Destinations []listedDestination
	First, Next  string
}

// listedDestination is a row of the list.
type listedDestination struct {
	wire.Destination

	Path  string
	State destinationState
}

// heldBack is how many deliveries a destination holds back, and until when.
type heldBack struct {
	Deliveries int64
	Until      *time.Time // of the first
	Path       string     // of the list of them
}

func heldBackOf(projectID, name string, deliveries int64, until *time.Time) heldBack {
	return heldBack{deliveries, until, withQuery(pathOf("projects", projectID, "deliveries"), "destination", name, "state", "held")}
}

func listDestinations(v *visit) (view, error) {
	query := v.given()
	page, err := get[wire.Page[wire.Destination]](v, query, "projects", v.project.ID, "destinations")
	if err != nil {
		return view{}, err
	}
	data := destinationsData{}
	for _, d := range page.Data {
		data.Destinations = append(data.Destinations, listedDestination{d, destinationPath(v, d), stateOf(d)})
	}
	data.First, data.Next = otherPages(v.URL.EscapedPath(), query, page.NextCursor)
	return view{template: "destinations", title: "Destinations of " + v.project.Name, section: "destinations", data: data}, nil
}

// destinationState is the state of a destination in words.
type destinationState struct {
	// Name is the state in a word or two, and Class how it looks.
	Name, Class string
	What, Do    string
}

// stateOf is the most serious of what is true of a destination, with what a user has to do.
func stateOf(d wire.Destination) destinationState {
	why := strings.TrimSuffix(text(d.StateReason), ".")
	if why != "" {
		why = ": " + why
	}
	switch {
	case d.Fault != "":
		return destinationState{"unusable", "failed", "It cannot be used: " + d.Fault, "Nothing is lost: its changes wait. Remove the cause, or set its secrets again."}
	case d.State == project.Disabled:
		return destinationState{"disabled", "disabled", "authsync has disabled it" + why + ".", "Its changes are kept. Remove the cause at the other side, then resume it."}
	case d.State == project.Paused && d.StateBy == project.ByAuthsync:
		return destinationState{"paused", "failed", "authsync has paused it" + why + ".", "Its changes are kept. Remove the cause, by changing it here or at the other side, then resume it."}
	case d.State != project.Active:
		return destinationState{"paused", "paused", "A user has paused it" + why + ".", "Its changes are kept, and are sent in order once it is resumed."}
	case d.BreakerOpenUntil != nil:
		return destinationState{"failing", "failed", "Its requests keep failing, so all but one at a time are held back.", "Remove the cause at the other side. It goes on by itself; “Resume” tries at once."}
	case d.WaitReason != nil:
		return destinationState{"waiting", "waiting", "Nothing is sent now: " + strings.TrimSuffix(*d.WaitReason, ".") + ".", "It goes on by itself."}
	case d.FailingSince != nil:
		return destinationState{"retrying", "retrying", "Its last requests failed and are retried.", "It goes on by itself once the cause is removed."}
	case why != "":
		return destinationState{"active", "active", "Changes are sent as they happen. Notice" + why + ".", "See to it; “Resume” takes the notice away."}
	case d.Failed > 0:
		return destinationState{"active", "active", "Changes are sent as they happen, but " + plural.Of(d.Failed, "delivery") + " failed.", "See why, remove the cause, then replay them."}
	default:
		return destinationState{"active", "active", "Changes are sent as they happen.", ""}
	}
}

// destinationData is the page of a destination.
type destinationData struct {
	wire.Destination

	Type destinationType
	Path string
	Now  destinationState
	// Made is a secret that was made just now, and is shown now only; IsNew says that the destination was, too.
	Made  *wire.MadeSecret
	IsNew bool
	// Tested is what it answered to a test event.
	Tested    *testResult
	TestTypes []choice
	// PreviewFilter chooses the record of a preview.
	PreviewFilter filterForm
	Options       excerpt
	Secrets       []secretShown
	// Plot is nil if nothing has finished lately, and Troubled if no delivery was tried in vain.
	Plot     *plot
	Troubled *troubledDelivery
}

// secretShown is what is shown of a secret.
type secretShown struct {
	Name string
	wire.SecretState
}

func findDestination(v *visit) (d wire.Destination, t destinationType, err error) {
	d, err = get[wire.Destination](v, nil, "projects", v.project.ID, "destinations", v.PathValue("destination"))
	if err != nil {
		return d, t, err
	}
	return d, typeOr(d.Type), nil
}

func (d *Dashboard) showDestination(v *visit) (view, error) {
	found, _, err := findDestination(v)
	if err != nil {
		return view{}, err
	}
	return d.destinationView(v, destinationData{Destination: found}), nil
}

// destinationView is the page with what a form has led to.
func (d *Dashboard) destinationView(v *visit, data destinationData) view {
	of := data.Destination
	data.Type = typeOr(of.Type)
	data.Path, data.Now = destinationPath(v, of), stateOf(of)
	data.PreviewFilter = previewFilter(data.Path, &data.Type, nil, nil)
	options, _ := pretty(string(of.Options))
	data.Options = excerptOf(options, maxBodyShown)
	for _, name := range slices.Sorted(maps.Keys(of.Secrets)) {
		data.Secrets = append(data.Secrets, secretShown{name, of.Secrets[name]})
	}
	data.TestTypes = testTypes(of.EventTypes)
	var err error
	if data.Plot, data.Troubled, err = readAttempts(v.Context(), d.config.Views, of.ProjectID, of.ID); err != nil {
		d.config.Log.LogAttrs(v.Context(), troubleLevel(v.Request, err), "attempts_not_read", about(v.Request, err)...) // the page may have a secret that no other has
	}
	return view{template: "destination", title: "Destination " + of.Name, section: "destinations", data: data}
}

// recordTypesOf are the record types that a destination takes, users first.
func recordTypesOf(t *destinationType) (names []string) {
	for _, g := range t.groups() {
		names = append(names, string(g.Type))
	}
	return names
}

// testTypes are the event types to choose a test event from, those that the destination is sent first.
func testTypes(eventTypes []string) (types []choice) {
	expanded, err := destination.ExpandEventTypes(eventTypes)
	if err != nil { // of a newer authsync
		expanded = nil
	}
	if slices.Contains(expanded, destination.UserUpdated) {
		types = append(types, choice{destination.UserUpdated, destination.UserUpdated})
	}
	for _, name := range slices.Concat(expanded, destination.EventTypes()) {
		if one := (choice{name, name}); !slices.Contains(types, one) {
			types = append(types, one)
		}
	}
	return types
}

func pauseDestination(v *visit) (done, error) {
	d, err := send[wire.Destination](v, http.MethodPost, wire.PauseOrder{Reason: v.entered("reason")}, "projects", v.project.ID, "destinations", v.PathValue("destination"), "pause")
	if err != nil {
		return done{}, err
	}
	return done{page: destinationPath(v, d), notice: "Destination " + d.Name + " is paused. Requests that were under way may still arrive."}, nil
}

func resumeDestination(v *visit) (done, error) {
	d, err := send[wire.Destination](v, http.MethodPost, nil, "projects", v.project.ID, "destinations", v.PathValue("destination"), "resume")
	if err != nil {
		return done{}, err
	}
	return done{page: destinationPath(v, d), notice: "Destination " + d.Name + " is resumed. What waited is sent in order."}, nil
}

// rotateSecret shows the new secret: no later page has it.
func (d *Dashboard) rotateSecret(v *visit) (done, error) {
	var order wire.RotateOrder
	given := v.entered("value")
	if given != "" {
		order.Value = &given
	}
	rotated, err := send[wire.Destination](v, http.MethodPost, order, "projects", v.project.ID, "destinations", v.PathValue("destination"), "rotate")
	if err != nil {
		return done{}, err
	}
	if given != "" {
		return done{page: destinationPath(v, rotated), notice: "The secret is replaced. Requests carry signatures by the new and the old one for 24 hours."}, nil
	}
	shown := d.destinationView(v, destinationData{Destination: rotated, Made: rotated.Secret})
	return done{shown: &shown}, nil
}

func deleteDestination(v *visit) (done, error) {
	name := v.PathValue("destination")
	if _, err := send[any](v, http.MethodDelete, nil, "projects", v.project.ID, "destinations", name); err != nil {
		return done{}, err
	}
	return done{page: pathOf("projects", v.project.ID, "destinations"), notice: "The destination is deleted, with its deliveries."}, nil
}

// shownRequest is a request as it is shown.
type shownRequest struct {
	wire.Request

	HeaderNames []string
	Body        excerpt
	IsJSON      bool
}

// testResult is the outcome of a test event.
type testResult struct {
	wire.TestResult

	EventType string
	Shown     []shownRequest
	Answer    excerpt
}

// testDestination sends a test event and shows what was answered.
func (d *Dashboard) testDestination(v *visit) (done, error) {
	order := wire.TestOrder{EventType: v.entered("event_type")}
	result, err := send[wire.TestResult](v, http.MethodPost, order, "projects", v.project.ID, "destinations", v.PathValue("destination"), "test")
	if err != nil {
		return done{}, err
	}
	found, _, err := findDestination(v)
	if err != nil {
		return done{}, err
	}
	shown := d.destinationView(v, destinationData{Destination: found, Tested: &testResult{
		TestResult: result, EventType: order.EventType, Shown: shownRequests(result.Requests), Answer: excerptOf(result.Response, maxChangeShown),
	}})
	return done{shown: &shown}, nil
}

func shownRequests(requests []wire.Request) (shown []shownRequest) {
	for _, r := range requests {
		one := shownRequest{Request: r, HeaderNames: slices.Sorted(maps.Keys(r.Headers))}
		one.Body, one.IsJSON = bodyOf(r.Body)
		shown = append(shown, one)
	}
	return shown
}

// bodyOf is the body of a request, which is JSON, or another text as a JSON string.
func bodyOf(raw json.RawMessage) (body excerpt, isJSON bool) {
	var other string
	if json.Unmarshal(raw, &other) == nil {
		return excerptOf(other, maxBodyShown), false
	}
	if indented, ok := pretty(string(bytes.TrimSpace(raw))); ok {
		return excerptOf(indented, maxBodyShown), true
	}
	return excerptOf(string(raw), maxBodyShown), false
}
