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

// entry is a field of a form, with what was entered and what is wrong with it.
type entry struct {
	Name, Label, Hint, Example string
	Kind                       optionKind
	Choices                    []choice
	Value, Fault               string
	// Normal is what holds if nothing else is chosen.
	Normal string
	// Secret says that what is entered is not shown, and never sent back.
	Secret bool
}

// requestEntry is the request for an event type.
type requestEntry struct {
	Number int
	Fields []entry
	// IsNew says that nothing is entered yet.
	IsNew bool
}

// secretEntry is a secret of any name.
type secretEntry struct {
	Number      int
	Name, Value entry
}

// eventGroup are the event types of a record type.
type eventGroup struct {
	Type  record.Type
	Table string
	Types []eventCheck // the one for all of them first
}

// eventCheck is an event type to be chosen.
type eventCheck struct {
	Value, Label string
	Checked      bool
}

// groups are the event types by record type that destinations of a type can be sent, users first.
func (t *destinationType) groups() (groups []eventGroup) {
	capabilities := destination.Capabilities{RecordTypes: t.RecordTypes}
	for _, eventType := range destination.EventTypes() {
		of, kind := destination.SplitEventType(eventType)
		if !capabilities.Takes(of) {
			continue
		}
		if len(groups) == 0 || groups[len(groups)-1].Type != of {
			d, _ := record.Of(of)
			groups = append(groups, eventGroup{Type: of, Table: d.Table, Types: []eventCheck{{Value: destination.AllOf(of), Label: "all"}}})
		}
		last := &groups[len(groups)-1]
		last.Types = append(last.Types, eventCheck{Value: eventType, Label: kind})
	}
	return groups
}

// destinationForm is the page with the form that creates or changes a destination.
type destinationForm struct {
	destinationType

	// Existing is what is changed; nil: one is created.
	Existing *wire.Destination
	Action   string
	Back     string
	// Alert is what is wrong, if that is about no field, and Blamed are the fields that something is wrong with.
	Alert  string
	Blamed []entry

	NameField, Condition, Fields entry
	Since, SinceTime             entry
	Groups                       []eventGroup
	Choices, Others              []entry // Options and More
	Requests                     []requestEntry
	Known                        []entry // secrets of which the name is known
	Removed                      map[string]bool
	Added                        []secretEntry
}

// Any reports whether one of the fields has a fault or something in it, so that they are shown open.
func (destinationForm) Any(entries []entry) bool {
	return slices.ContainsFunc(entries, func(e entry) bool { return e.Fault != "" || e.Value != e.Normal })
}

// newForm is the form of a type with what is in it.
func (t *destinationType) newForm(form url.Values, existing *wire.Destination, fault *problemError) destinationForm {
	f := destinationForm{destinationType: *t, Existing: existing, Groups: t.groups(), Removed: map[string]bool{}}
	field := func(e entry) entry {
		if !e.Secret {
			e.Value = form.Get(e.Name)
		}
		return e
	}
	f.NameField = field(entry{Name: "name", Label: "Name", Kind: asText, Example: "crm", Hint: "Of a-z, 0-9, _ and -; it is part of commands and addresses."})
	f.Condition = field(entry{Name: "condition", Label: "Condition", Kind: asExpression, Example: ".user.raw.app_metadata.consent == true", Hint: "Only changes of which it is true are sent. Empty: all. " + jqHint})
	f.Fields = field(entry{Name: "fields", Label: "Fields", Kind: asLines, Example: "email", Hint: "Paths such as email or raw.app_metadata.plan, one on each line: a change is sent if one of them changed. Deletions are always sent. Empty: all."})
	f.Since = field(entry{Name: "since", Label: "Send changes", Kind: asChoice, Choices: []choice{{"now", "from now on"}, {"beginning", "from the beginning: all that the change feed has"}, {"time", "since a time"}}})
	f.SinceTime = field(entry{Name: "since_time", Label: "Time (UTC)", Kind: asText, Example: "2026-05-04T10:20:30Z", Hint: "Only with “since a time”."})
	for i := range f.Groups {
		for j := range f.Groups[i].Types {
			check := &f.Groups[i].Types[j]
			check.Checked = slices.Contains(form["event_types"], check.Value)
		}
	}
	for _, o := range t.Options {
		f.Choices = append(f.Choices, field(o.entry()))
	}
	for _, o := range t.More {
		f.Others = append(f.Others, field(o.entry()))
	}
	if t.HasRequests {
		f.Requests = t.requestEntries(form, field)
	}
	t.secretEntries(&f, form, field)
	f.blame(fault)
	return f
}

func (o *option) entry() entry {
	return entry{Name: inOptions + o.path, Label: o.label, Hint: o.hint, Example: o.example, Kind: o.kind, Choices: o.choices, Normal: o.normal}
}

// spareRequests is how many requests a form has besides those with something in them.
const spareRequests = 2

func (t *destinationType) requestEntries(form url.Values, field func(entry) entry) (requests []requestEntry) {
	eventTypes := []choice{{eventTypeOfOthers, "all others (default)"}}
	for _, name := range t.eventTypesOf() {
		eventTypes = append(eventTypes, choice{name, name})
	}
	methods := []choice{{"", http.MethodPost}}
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet} {
		methods = append(methods, choice{method, method})
	}
	spare := 0
	for n := range maxRequests {
		isNew := form.Get(requestField(n, "url")) == "" && form.Get(requestField(n, "headers")) == "" && form.Get(requestField(n, "body")) == ""
		if isNew && len(requests) > 0 {
			if spare++; spare > spareRequests {
				break
			}
		}
		requests = append(requests, requestEntry{Number: n + 1, IsNew: isNew && n > 0, Fields: []entry{
			field(entry{Name: requestField(n, "event_type"), Label: "For event type", Kind: asChoice, Choices: eventTypes}),
			field(entry{Name: requestField(n, "method"), Label: "Method", Kind: asChoice, Choices: methods}),
			field(entry{
				Name: requestField(n, "url"), Label: "URL", Kind: asText, Example: "https://api.example.com/v1/users/{{ .user.id }}",
				Hint: "With jq expressions in {{ }}; the host has none.",
			}),
			field(entry{Name: requestField(n, "body"), Label: "Body", Kind: asExpression, Example: "{email: .user.email, name: .user.first_name}", Hint: jqHint + " Secrets are $secrets.name. Empty: no body."}),
			field(entry{Name: requestField(n, "headers"), Label: "Headers of this request", Kind: asLines, Hint: "They override those of all requests."}),
		}})
	}
	return requests
}

func (t *destinationType) secretEntries(f *destinationForm, form url.Values, field func(entry) entry) {
	add := func(name, label, hint string) {
		if f.Existing != nil && f.Existing.Secrets[name].Set {
			hint = "It is set. Leave this empty to keep it; a new value replaces it at once."
		}
		f.Known = append(f.Known, field(entry{Name: inSecrets + name, Label: label, Hint: hint, Kind: asText, Secret: true}))
	}
	for _, s := range t.Secrets {
		add(s.name, s.label, s.hint)
	}
	if !t.NamesSecrets {
		return
	}
	if f.Existing != nil {
		for _, name := range slices.Sorted(maps.Keys(f.Existing.Secrets)) {
			add(name, "Secret "+name, "")
			f.Removed[inSecrets+name] = form.Get("remove."+name) != ""
		}
	}
	for n := range newSecrets {
		f.Added = append(f.Added, secretEntry{
			Number: n + 1,
			Name:   field(entry{Name: newSecretField(n, "name"), Label: "Name", Kind: asText, Example: "api_key"}),
			Value:  field(entry{Name: newSecretField(n, "value"), Label: "Value", Kind: asText, Secret: true}),
		})
	}
}

// RemoveField is the field that removes the secret of an entry.
func (destinationForm) RemoveField(e entry) string {
	return "remove." + strings.TrimPrefix(e.Name, inSecrets)
}

// blame puts what is wrong at the fields that it is about.
func (f *destinationForm) blame(fault *problemError) {
	if fault == nil {
		return
	}
	at := map[string]*entry{} // by what the API calls it
	for _, e := range []*entry{&f.NameField, &f.Condition, &f.Fields, &f.Since} {
		at[e.Name] = e
	}
	at["since"] = &f.SinceTime
	if f.Since.Value != "time" {
		at["since"] = &f.Since
	}
	for _, list := range [][]entry{f.Choices, f.Others, f.Known} {
		for i := range list {
			at[list[i].Name] = &list[i]
		}
	}
	for n := range f.Requests {
		fields := f.Requests[n].Fields
		for i := range fields {
			_, name, _ := strings.Cut(strings.TrimPrefix(fields[i].Name, "requests."), ".")
			at[fields[i].Name] = &fields[i]
			if !f.Requests[n].IsNew {
				at[inRequests+"."+fields[0].Value+"."+name] = &fields[i]
			}
			if n == 0 && name == "url" {
				at[inRequests] = &fields[i]
			}
		}
	}
	for i := range f.Added {
		at[inSecrets+f.Added[i].Name.Value] = &f.Added[i].Value
	}
	for _, p := range fault.Errors {
		if e := at[aboutWhat(p.Field, p.Detail, slices.Collect(maps.Keys(at)))]; e != nil {
			e.Fault = p.Detail
			f.Blamed = append(f.Blamed, *e)
		}
	}
	if len(f.Blamed) == 0 {
		f.Alert = fault.Detail
	}
}

// aboutWhat is the name among some that a problem is about: the longest that it gives as its field or begins with.
// Empty: none.
func aboutWhat(field, detail string, names []string) (found string) {
	if strings.HasPrefix(detail, "the field ") {
		field = "fields"
	}
	begins := func(name, text string) bool {
		rest, has := strings.CutPrefix(text, name)
		return has && (rest == "" || !strings.ContainsAny(rest[:1], "abcdefghijklmnopqrstuvwxyz0123456789_"))
	}
	for _, name := range names {
		is := name == field || begins(name, detail) || field == strings.TrimSuffix(inOptions, ".") && begins(name, inOptions+detail)
		if is && len(name) > len(found) {
			found = name
		}
	}
	return found
}

// destinationOrder is what a form creates or changes, as the API takes it; what is nil is not given.
type destinationOrder struct {
	Name       string             `json:"name"`
	Type       string             `json:"type,omitempty"`
	EventTypes []string           `json:"event_types"`
	Fields     []string           `json:"fields"`
	Condition  *string            `json:"condition"`
	Options    map[string]any     `json:"options,omitempty"`
	Secrets    map[string]*string `json:"secrets,omitempty"`
	Since      string             `json:"since,omitempty"`
}

// order reads the form.
func (t *destinationType) order(form url.Values, existing []string) (destinationOrder, error) {
	order := destinationOrder{
		Name: strings.TrimSpace(form.Get("name")), EventTypes: slices.Concat([]string{}, form["event_types"]),
		Fields: []string{}, Secrets: t.secretsOf(form, existing),
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
	ok := errors.As(err, &known) && known.Status != http.StatusNotFound && known.Status != http.StatusForbidden
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
		return view{}, &problemError{Status: http.StatusNotFound, Detail: "There is no such type of destinations."}
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
		return done{}, &problemError{Status: http.StatusUnprocessableEntity, Detail: "There is no such type of destinations."}
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
	shown, err := d.destinationView(v, destinationData{Destination: made, Made: made.Secret, IsNew: true})
	return done{shown: &shown}, err
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
	form := url.Values{"name": {d.Name}, "event_types": d.EventTypes, "fields": {strings.Join(d.Fields, "\n")}, "condition": {text(d.Condition)}}
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
