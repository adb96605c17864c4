package dashboard

import (
	"maps"
	"net/http"
	"net/url"
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
	Holdback                     entry
	Since, SinceTime             entry
	Groups                       []eventGroup
	Choices, Others              []entry // Options and More
	Requests                     []requestEntry
	Known                        []entry // secrets of which the name is known
	Removed                      map[string]bool
	Added                        []secretEntry
	Draft                        draft
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
	f.Holdback = field(entry{Name: "holdback", Label: "Hold deletions back for", Kind: asText, Example: "24h", Hint: "From 1m to 720h. A deletion is sent only after that time unless it is confirmed, and not at all if the record is restored meanwhile. It counts for what is held now, too. Empty: deletions are sent at once."})
	f.Since = field(entry{Name: "since", Label: "Send changes", Kind: asChoice, Choices: []choice{{"now", "from now on"}, {"beginning", "from the beginning: all that the change feed has"}, {"time", "since a time"}}})
	f.SinceTime = field(entry{Name: "since_time", Label: "Time", Kind: asTime, Example: "2026-05-04T10:20:30Z", Hint: "Only with “since a time”."})
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
	f.Draft = t.draftOf(form)
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
	for _, e := range []*entry{&f.NameField, &f.Condition, &f.Fields, &f.Holdback, &f.Since} {
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
