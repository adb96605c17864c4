package hubspot

import (
	"cmp"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/destination"
)

// refusal is HubSpot's error about a request or a row of a batch.
type refusal struct {
	Message  string         `json:"message"`
	Category string         `json:"category"`
	Code     string         `json:"code"`
	Errors   []refusal      `json:"errors"`
	Context  refusalContext `json:"context"`
}

type refusalContext struct {
	PropertyName texts `json:"propertyName"`
	Scopes       texts `json:"requiredGranularScopes"`
	MoreScopes   texts `json:"requiredScopes"`
	Trace        texts `json:"objectWriteTraceId"`
	IDs          texts `json:"ids"`
	// Invalid are objects that an association names and that do not exist.
	Invalid texts `json:"INVALID_OBJECT_IDS"`
}

// texts is a list of strings or a single string; HubSpot sends both.
type texts []string

// UnmarshalJSON accepts both and ignores anything else.
func (t *texts) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = texts{one}
		return nil
	}
	json.Unmarshal(data, (*[]string)(t)) //nolint:errcheck,gosec // see above
	return nil
}

func readRefusal(body []byte) refusal {
	var out refusal
	json.Unmarshal(body, &out) //nolint:errcheck,gosec // a proxy's response has no details
	return out
}

// said returns HubSpot's error message.
func (h *hubspot) said(a *answer) string {
	return h.clean(cmp.Or(readRefusal(a.body).Message, http.StatusText(a.status)))
}

// scopes returns the scopes that HubSpot requires; if it does not name them, those that the request needs.
func scopes(r request, a *answer) string {
	said := readRefusal(a.body)
	var out []string
	for _, e := range append(said.Errors, said) {
		out = append(out, append(e.Context.Scopes, e.Context.MoreScopes...)...)
	}
	isNamed := len(out) > 0
	for _, of := range []*objects{{plural: "companies"}, {plural: "contacts"}} {
		if !isNamed && strings.Contains(r.path, "/"+of.plural) {
			out = append(out, of.scopes()...)
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}

// propertyFault is a rejected property with HubSpot's error code.
type propertyFault struct{ code, name string }

// propertyFaults returns the properties named by a refusal, in its details or as JSON within its message.
func (r refusal) propertyFaults() []propertyFault {
	var out []propertyFault
	for _, e := range r.Errors {
		if len(e.Context.PropertyName) > 0 && e.Code != "" {
			out = append(out, propertyFault{e.Code, e.Context.PropertyName[0]})
		}
	}
	from, to := strings.Index(r.Message, "[{"), strings.LastIndex(r.Message, "}]")
	if len(out) > 0 || from < 0 || to < from {
		return out
	}
	var inside []struct {
		Error string `json:"error"`
		Name  string `json:"name"`
	}
	if json.Unmarshal([]byte(r.Message[from:to+2]), &inside) == nil {
		for _, e := range inside {
			out = append(out, propertyFault{e.Error, e.Name})
		}
	}
	return out
}

// judge returns the result of a message whose content was rejected.
func (h *hubspot) judge(of *objects, a *answer, r refusal) *destination.Result {
	faults := r.propertyFaults()
	for _, f := range faults {
		if f.code == "PROPERTY_DOESNT_EXIST" {
			return h.result(a, destination.Pause,
				"HubSpot has no %s property %q: make it there (Settings → Properties → %s properties), or take it out of %s; then resume the destination",
				of.name, h.clean(f.name), strings.ToUpper(of.name[:1])+of.name[1:], of.optionOf(f.name))
		}
	}
	for _, f := range faults {
		return h.result(a, destination.GiveUp, "HubSpot does not accept the value of property %s (%s): %s",
			h.clean(f.name), h.clean(f.code), h.clean(r.Message))
	}
	return h.result(a, destination.GiveUp, "HubSpot refuses it with %d: %s", a.status, h.clean(cmp.Or(r.Message, http.StatusText(a.status))))
}

// optionOf returns the option that names a property.
func (o *objects) optionOf(name string) string {
	_, deleting := o.OnDelete.set[name]
	_, restoring := o.onRestore[name]
	switch {
	case name == o.IDProperty:
		return "the option " + o.option + "id_property"
	case deleting:
		return "the option " + o.option + "on_delete"
	case restoring:
		return "the option " + o.option + "on_restore"
	default:
		return "the option " + o.option + "properties"
	}
}

// conflict reports whether another object holds a unique value, and its id if HubSpot names it.
func conflict(a *answer) (id string, yes bool) {
	r := readRefusal(a.body)
	if a.status != http.StatusConflict && a.status != http.StatusBadRequest {
		return "", false
	}
	for _, form := range []string{`Existing ID: (\d+)`, `(\d+) already has that value`} {
		if found := regexp.MustCompile(form).FindStringSubmatch(r.Message); found != nil {
			return found[1], true
		}
	}
	return "", a.status == http.StatusConflict || r.Category == "CONFLICT"
}
