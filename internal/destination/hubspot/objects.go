package hubspot

import (
	"maps"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/record"
)

// ObjectOptions are the options about contacts, or about companies.
type ObjectOptions struct {
	// Properties add to or replace the default ones; null removes one.
	Properties map[string]*string `json:"properties"`
	IDProperty string             `json:"id_property"`
	IDPath     string             `json:"id_path"`
	Missing    string             `json:"missing"`
	OnDelete   onDelete           `json:"on_delete"`
	OnRestore  setting            `json:"on_restore"`
}

// objects are the contacts of users or the companies of organizations, with their validated options.
type objects struct {
	ObjectOptions

	record record.Type
	// name and plural are HubSpot's, and option is what the names of the options begin with.
	name, plural, option string
	// defaults are the default properties: name → expression.
	defaults map[string]string
	// byEmail is set if HubSpot finds them by their e-mail address as well.
	byEmail   bool
	mapping   []property
	onRestore map[string]string
}

func newContacts(o *Options) *objects {
	return &objects{
		ObjectOptions: ObjectOptions{
			Properties: o.Properties, IDProperty: o.IDProperty, IDPath: o.IDPath, Missing: o.Missing, OnDelete: o.OnDelete, OnRestore: o.OnRestore,
		},
		record: record.User, name: "contact", plural: "contacts", byEmail: true,
		defaults: map[string]string{"email": ".user.email", "firstname": ".user.first_name", "lastname": ".user.last_name"},
	}
}

// newCompanies gives a company a name in any case: HubSpot wants a name or a domain, and an organization may
// have neither.
func newCompanies(o *ObjectOptions) *objects {
	return &objects{
		ObjectOptions: *o,
		record:        record.Organization, name: "company", plural: "companies", option: "companies.",
		defaults: map[string]string{"name": ".organization.name // .organization.slug // .organization.id"},
	}
}

func (o *objects) path() string { return "/crm/v3/objects/" + o.plural }

// scopes are those of a private app that the objects need.
func (o *objects) scopes() []string {
	return []string{"crm.objects." + o.plural + ".read", "crm.objects." + o.plural + ".write"}
}

// idExpression is the expression for the record's id.
func (o *objects) idExpression() string { return "." + string(o.record) + ".id" }

// check validates the options and fills in defaults.
func (o *objects) check() error {
	if err := o.checkProperties(); err != nil {
		return err
	}
	return o.checkChoices()
}

func (o *objects) checkProperties() error {
	if o.byEmail && o.IDProperty == "email" {
		return invalid("id_property is a property of your own with unique values that holds the user's id; leave it out to find contacts by e-mail")
	}
	sources := maps.Clone(o.defaults)
	for name, source := range o.Properties {
		if source == nil {
			delete(sources, name)
			continue
		}
		sources[name] = *source
	}
	if _, mapped := sources[o.IDProperty]; o.IDProperty != "" && !mapped {
		sources[o.IDProperty] = o.idExpression()
	}
	o.onRestore = o.OnRestore.properties()
	for _, names := range []map[string]string{sources, o.OnDelete.set, o.onRestore} {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if !propertyName().MatchString(name) {
				return invalid("%.100q is no name of a HubSpot property: those are lower case, such as firstname (Settings → Properties → the property → </>)", name)
			}
		}
	}
	if _, mapped := sources["email"]; o.byEmail && !mapped && o.IDProperty == "" {
		return invalid("map the property email, or name an id_property: without either no contact can be found again")
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		e, err := jq.Compile("options."+o.option+"properties."+name, sources[name])
		if err != nil {
			return invalid("%s", err)
		}
		o.mapping = append(o.mapping, property{name: name, expression: e})
	}
	return nil
}

func (o *objects) checkChoices() error {
	if o.Missing == "" {
		o.Missing = missingCreate
	}
	if !slices.Contains([]string{missingCreate, missingSkip, missingLog}, o.Missing) {
		return invalid("%smissing is %q; it is create, skip or log", o.option, o.Missing)
	}
	if o.OnDelete.do == "" {
		o.OnDelete.do = deleteNothing
	}
	if !slices.Contains([]string{deleteNothing, deleteArchive, deleteSet}, o.OnDelete.do) || o.OnDelete.do == deleteSet && len(o.OnDelete.set) == 0 {
		return invalid(`%son_delete is "nothing", "archive", or {"set": {"property": "value"}}`, o.option)
	}
	if o.IDPath != "" && !idPath().MatchString(o.IDPath) {
		return invalid("%sid_path %q is no path into the %s, such as raw.app_metadata.hubspot_%s_id", o.option, o.IDPath, o.record, o.name)
	}
	return nil
}

// checkLinkable requires that an object is found by the id of its record alone: that is all that a membership says
// of its user.
func (o *objects) checkLinkable() error {
	if o.IDProperty == "" {
		return invalid("companies need %sid_property, the name of a %s property with unique values that holds the id of the %s: memberships are matched by it",
			o.option, o.name, o.record)
	}
	if source := o.Properties[o.IDProperty]; source != nil && strings.TrimSpace(*source) != o.idExpression() {
		return invalid("companies need the id of the %s in %sid_property: leave %q out of %sproperties, or map it to %s",
			o.record, o.option, o.IDProperty, o.option, o.idExpression())
	}
	return nil
}

// releases reports whether the object of a deleted record loses the record's id.
func (o *objects) releases() bool {
	value, set := o.OnDelete.set[o.IDProperty]
	return set && value == ""
}

// mayCreate reports whether a missing object may be created.
func (o *objects) mayCreate(m *destination.Message) bool {
	switch m.Kind() {
	case record.Deleted:
		return false
	case record.Created:
		return true
	case record.Restored:
		return o.Missing == missingCreate || o.OnDelete.do == deleteArchive
	default:
		return o.Missing == missingCreate
	}
}
