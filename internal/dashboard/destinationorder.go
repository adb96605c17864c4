package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/record"
)

// destinationOrder is what a form creates or changes, as the API takes it; what is nil is not given.
type destinationOrder struct {
	Name       string             `json:"name"`
	Type       string             `json:"type,omitempty"`
	EventTypes []string           `json:"event_types"`
	Fields     []string           `json:"fields"`
	Condition  *string            `json:"condition"`
	Holdback   string             `json:"holdback"`
	Options    map[string]any     `json:"options,omitempty"`
	Secrets    map[string]*string `json:"secrets,omitempty"`
	Since      string             `json:"since,omitempty"`
}

// order reads the form.
func (t *destinationType) order(form url.Values, existing []string) (destinationOrder, error) {
	order := destinationOrder{
		Name: strings.TrimSpace(form.Get("name")), EventTypes: slices.Concat([]string{}, form["event_types"]),
		Fields: []string{}, Holdback: strings.TrimSpace(form.Get("holdback")), Secrets: t.secretsOf(form, existing),
	}
	for line := range strings.SplitSeq(cleanText(form.Get("fields")), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			order.Fields = append(order.Fields, line)
		}
	}
	if condition := cleanText(form.Get("condition")); condition != "" {
		order.Condition = &condition
	}
	var err error
	order.Options, err = t.optionsOf(form)
	return order, err
}

// refused finds why what was entered was not taken, other than that the key may not: the form is shown again with it.
func refused(err error) (*problemError, bool) {
	var known *problemError
	ok := errors.As(err, &known) && known.Status != http.StatusNotFound && known.Status != http.StatusForbidden && !known.mayBeDone()
	return known, ok
}

// chooseType is the page that begins a destination: the types, or the form of the chosen one.
func chooseType(v *visit) (view, error) {
	given := v.given()
	if !given.Has("type") {
		return view{template: "destinationnew", title: "Create a destination", section: "destinations", data: destinationTypes()}, nil
	}
	t, known := typeOf(given.Get("type"))
	if !known {
		return view{}, problemOf(http.StatusNotFound, "There is no such type of destinations.")
	}
	form := url.Values{"event_types": {destination.AllOf(record.User)}, "since": {"now"}}
	if err := t.enter(form, json.RawMessage("{}")); err != nil {
		return view{}, err
	}
	return createView(v, &t, form, nil), nil
}

func createView(v *visit, t *destinationType, form url.Values, fault *problemError) view {
	f := t.newForm(form, nil, fault)
	f.Action, f.Back = pathOf("projects", v.project.ID, "destinations"), pathOf("projects", v.project.ID, "destinations", "new")
	return formView(f, "Create a destination", fault)
}

func formView(f destinationForm, title string, fault *problemError) view {
	shown := view{template: "destinationform", title: title, section: "destinations", data: f}
	if fault != nil {
		shown.status = fault.Status
	}
	return shown
}

// createDestination creates a destination and shows it, with the secret that was made: no later page has it.
func (d *Dashboard) createDestination(v *visit) (done, error) {
	t, known := typeOf(v.form.Get("type"))
	if !known {
		return done{}, problemOf(http.StatusUnprocessableEntity, "There is no such type of destinations.")
	}
	if v.entered("do") == "preview" {
		return t.draftPage(v, nil, func(fault *problemError) view { return createView(v, &t, v.form, fault) })
	}
	order, err := t.order(v.form, nil)
	var made wire.Destination
	if err == nil {
		order.Type = t.Name
		if order.Since = v.entered("since"); order.Since == "time" {
			order.Since = v.entered("since_time")
		}
		made, err = send[wire.Destination](v, http.MethodPost, order, "projects", v.project.ID, "destinations")
	}
	if invalid, ok := refused(err); ok {
		shown := createView(v, &t, v.form, invalid)
		return done{shown: &shown}, nil
	}
	if err != nil {
		return done{}, err
	}
	if made.Secret == nil {
		return done{page: destinationPath(v, made), notice: "Destination " + made.Name + " is created. Look at a preview, or send a test event, before it has work to do."}, nil
	}
	shown := d.destinationView(v, destinationData{Destination: made, Made: made.Secret, IsNew: true})
	return done{shown: &shown}, nil
}

// changeDestinationPage is the form with what the destination has.
func changeDestinationPage(v *visit) (view, error) {
	d, t, err := findDestination(v)
	if err != nil {
		return view{}, err
	}
	form, err := t.formOf(d)
	if err != nil {
		return view{}, err
	}
	return changeView(v, &t, d, form, nil), nil
}

// formOf is the form as it is filled in with a destination.
func (t *destinationType) formOf(d wire.Destination) (url.Values, error) {
	form := url.Values{"name": {d.Name}, "event_types": d.EventTypes, "fields": {strings.Join(d.Fields, "\n")}, "condition": {text(d.Condition)}, "holdback": {text(d.Holdback)}}
	if err := t.enter(form, d.Options); err != nil {
		return nil, fmt.Errorf("destination %s: %w", d.ID, err)
	}
	return form, nil
}

func changeView(v *visit, t *destinationType, d wire.Destination, form url.Values, fault *problemError) view {
	f := t.newForm(form, &d, fault)
	f.Back = destinationPath(v, d)
	f.Action = f.Back + "/change"
	return formView(f, "Change destination "+d.Name, fault)
}

// changeDestination changes a destination to what was entered.
func changeDestination(v *visit) (done, error) {
	d, t, err := findDestination(v)
	if err != nil {
		return done{}, err
	}
	if v.entered("do") == "preview" {
		existing := slices.Collect(maps.Keys(d.Secrets))
		return t.draftPage(v, existing, func(fault *problemError) view { return changeView(v, &t, d, v.form, fault) })
	}
	changed, err := t.change(v, d)
	if invalid, ok := refused(err); ok {
		shown := changeView(v, &t, d, v.form, invalid)
		return done{shown: &shown}, nil
	}
	return done{page: destinationPath(v, changed), notice: "Destination " + changed.Name + " is changed."}, err
}

// change sends what was entered. Options that are the same are not sent, because others are taken for the repair of what
// authsync stopped, which then goes on.
func (t *destinationType) change(v *visit, d wire.Destination) (changed wire.Destination, err error) {
	order, err := t.order(v.form, slices.Collect(maps.Keys(d.Secrets)))
	if err != nil {
		return changed, err
	}
	before, err := t.formOf(d)
	if err != nil {
		return changed, err
	}
	if same, err := t.optionsOf(before); err == nil && reflect.DeepEqual(order.Options, same) {
		order.Options = nil
	}
	return send[wire.Destination](v, http.MethodPatch, order, "projects", v.project.ID, "destinations", d.ID)
}
