// Package configfile is configuration as code: a YAML file with projects, their integrations and destinations, which
// is written of what a server has, compared with it, and applied to it. It knows the management API's client only. On
// the road of a webhook it stands where the commands integrations and destinations do.
//
// A file never holds a secret: References say where its reader finds each. What a server has is a File too (see Load),
// so that the difference of two Files is the plan (see Compare), and a plan is what Apply carries out. Secrets cannot
// be read back from a server: of those, a File of a server only tells which are set.
package configfile

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/http"
	"github.com/authsync/authsync/internal/destination/hubspot"
	"github.com/authsync/authsync/internal/destination/webhook"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/strictyaml"
)

// Version is the version of the format.
const Version = 1

// SchemaURL is where editors find docs/authsync.schema.json.
const SchemaURL = "https://raw.githubusercontent.com/authsync/authsync/main/docs/authsync.schema.json"

// File is a configuration file. The texts in doc are the descriptions of docs/authsync.schema.json.
type File struct {
	Version  int                `json:"version" doc:"The version of this format: 1."`
	Projects map[string]Project `json:"projects,omitempty" doc:"The projects by name. Projects of the server that are missing here are left alone."`
}

// Project is a project of a File.
type Project struct {
	DatabaseURL  *Reference             `json:"database_url,omitempty" doc:"The connection URL of the project's database. A new project without one gets a database on the control server."`
	CloneOf      *CloneOf               `json:"clone_of,omitempty" doc:"Makes it a clone of another project, whose mirror it copies. docs/environments.md."`
	KeepDays     *KeepDays              `json:"keep_days,omitempty" doc:"How many days parts of the project's history are kept. A part that is missing here is kept as long as the server's default."`
	Integrations map[string]Integration `json:"integrations,omitempty" doc:"The integrations by provider."`
	Destinations map[string]Destination `json:"destinations,omitempty" doc:"The destinations by name."`
}

// KeepDays is how many days parts of a Project's history are kept.
type KeepDays struct {
	Inbox      int `json:"inbox,omitempty" doc:"Messages and the outcomes of their events: 1 to 400."`
	Ledger     int `json:"ledger,omitempty" doc:"Ids of processed events: at least 7, and at least as long as messages are kept."`
	Changes    int `json:"changes,omitempty" doc:"Changes in the feed: 1 to 3650. The newest one of each record stays."`
	Deliveries int `json:"deliveries,omitempty" doc:"Finished deliveries: 1 to 3650."`
}

// days are the settings by name; those that are missing have the server's default.
func (k *KeepDays) days() map[string]any {
	days := map[string]any{}
	if k == nil {
		return days
	}
	for name, n := range map[string]int{"inbox": k.Inbox, "ledger": k.Ledger, "changes": k.Changes, "deliveries": k.Deliveries} {
		if n != 0 {
			days[name] = json.Number(strconv.Itoa(n))
		}
	}
	return days
}

// settings are what can be compared of a project.
func (p Project) settings() map[string]any {
	all := map[string]any{}
	if days := p.KeepDays.days(); len(days) > 0 {
		all[keepDays] = days
	}
	if p.CloneOf != nil {
		all[cloneOf] = p.CloneOf.settings()
	}
	return all
}

// given are the settings of a project in the form in which the API takes them: what is missing has the server's default.
func (p Project) given() map[string]any {
	days := map[string]any{"inbox": nil, "ledger": nil, "changes": nil, "deliveries": nil}
	maps.Copy(days, p.KeepDays.days())
	all := map[string]any{keepDays: days}
	if p.CloneOf != nil {
		all[cloneOf] = p.CloneOf.settings()
	}
	return all
}

const keepDays = "keep_days"

// Integration is an integration of a Project. Options are those of provider.Options.
type Integration struct {
	Credentials map[string]Reference `json:"credentials,omitempty" doc:"Where each credential is found. One that is set on the server and missing here stays as it is."`
	Options     map[string]any       `json:"options,omitempty" doc:"The options, as in authsync integrations set --option. An option that is missing here has its default."`
}

// Destination is a destination of a Project. Options are those of its type.
type Destination struct {
	Type        string               `json:"type" doc:"webhook, http or hubspot. It cannot be changed."`
	EventTypes  []string             `json:"event_types,omitempty" doc:"The event types to send, such as user.created or organization.*; missing: those of users."`
	Fields      []string             `json:"fields,omitempty" doc:"Only updates that change one of these, such as email or raw.app_metadata.plan; missing: all."`
	Condition   string               `json:"condition,omitempty" doc:"A jq expression that must be true of a change, such as .user.email != null."`
	Holdback    string               `json:"holdback,omitempty" doc:"How long a deletion is held back, from 1m to 720h, such as 24h: it is not sent at all if the record is restored meanwhile. Missing: deletions are sent at once."`
	Options     map[string]any       `json:"options,omitempty" doc:"The options of the type: docs/destinations."`
	Secrets     map[string]Reference `json:"secrets,omitempty" doc:"Where each secret is found. One that is set on the server and missing here stays as it is."`
	Paused      bool                 `json:"paused,omitempty" doc:"Nothing is sent, and changes are kept."`
	PauseReason string               `json:"pause_reason,omitempty" doc:"Why, for those who find it paused."`
}

// Reference says where a secret is found: exactly one of them is set.
type Reference struct {
	Env  string `json:"env,omitempty" doc:"The environment variable with the secret."`
	File string `json:"file,omitempty" doc:"The file with the secret, relative to this one."`
}

func (r Reference) String() string {
	if r.Env != "" {
		return "env " + r.Env
	}
	return "file " + r.File
}

// settings are what can be compared of an integration, as JSON has it: what is missing has its default.
func (i Integration) settings() map[string]any {
	options := withoutNulls(i.Options)
	var typed provider.Options
	if text, err := json.Marshal(options); err == nil && json.Unmarshal(text, &typed) == nil {
		known := strictyaml.Fields(reflect.TypeFor[provider.Options]())
		maps.DeleteFunc(options, func(name string, _ any) bool { return known[name].Name != "" }) // a newer server may have others
		maps.Copy(options, generic(typed))                                                        // as the server writes it
	}
	if len(options) == 0 {
		return nil
	}
	return map[string]any{"options": options}
}

// settings are what can be compared of a destination.
func (d Destination) settings() map[string]any {
	all := map[string]any{"type": d.Type, "event_types": list(effective(d.EventTypes)), "options": withoutNulls(d.Options)}
	if len(d.Fields) > 0 {
		all["fields"] = list(d.Fields)
	}
	if strings.TrimSpace(d.Condition) != "" {
		all["condition"] = d.Condition
	}
	if held, err := destination.ParseHoldback(d.Holdback); err != nil {
		all["holdback"] = d.Holdback
	} else if held != nil {
		all["holdback"] = destination.FormatHoldback(held)
	}
	if d.Paused {
		all["paused"] = true
	}
	if d.PauseReason != "" {
		all["pause_reason"] = d.PauseReason
	}
	return all
}

// given are the settings of a destination in the form in which the API takes them: an empty list is the default, and
// null would leave what is there.
func (d Destination) given() map[string]any {
	return map[string]any{
		"type": d.Type, "event_types": append([]string{}, d.EventTypes...), "fields": append([]string{}, d.Fields...),
		"condition": d.Condition, "holdback": d.Holdback, "options": withoutNulls(d.Options),
	}
}

// given are the settings of an integration in the form in which the API takes them.
func (i Integration) given() map[string]any {
	return map[string]any{"options": withoutNulls(i.Options)}
}

// effective are the event types that are meant; those that nobody knows are as they are given.
func effective(eventTypes []string) []string {
	if len(eventTypes) == 0 {
		return destination.DefaultEventTypes()
	}
	if all, err := destination.ExpandEventTypes(eventTypes); err == nil {
		return all
	}
	return eventTypes
}

// list is a list whose order and repetitions mean nothing.
func list(texts []string) []any {
	var all []any
	for _, text := range slices.Compact(slices.Sorted(slices.Values(texts))) {
		all = append(all, text)
	}
	return all
}

// withoutNulls leaves out the members that are null, which the API takes for missing. It is a copy.
func withoutNulls(object map[string]any) map[string]any {
	kept := map[string]any{}
	for name, value := range object {
		if value != nil {
			kept[name] = value
		}
	}
	return kept
}

// generic is a value as JSON has it, with its numbers as they are written.
func generic(v any) map[string]any {
	text, err := json.Marshal(v)
	if err != nil {
		return nil // a struct of options, which has only what JSON knows
	}
	object, _ := parseObject(text)
	return object
}

func parseObject(text []byte) (object map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&object)
	return object, err
}

// optionTypes are the Go types of the options by type of destination.
func optionTypes() map[string]reflect.Type {
	return map[string]reflect.Type{
		"webhook": reflect.TypeFor[webhook.Options](), "http": reflect.TypeFor[http.Options](), "hubspot": reflect.TypeFor[hubspot.Options](),
	}
}
