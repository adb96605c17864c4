package hubspottest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Object is a contact or a company of a portal.
type Object struct {
	ID         string
	Properties map[string]string
	// Secondary are further e-mail addresses of a contact, which identify it too.
	Secondary []string
	// versions are what search knows, the oldest first.
	versions []version
}

type version struct {
	at         time.Time
	properties map[string]string
}

// store holds the objects of one kind.
type store struct {
	*HubSpot

	name, plural string
	builtin      []string
	properties   map[string]Property // the custom ones
	objects      map[string]*Object
	merged       map[string]string // ids of objects that are part of another
}

func newStore(h *HubSpot, name, plural string, properties map[string]Property, builtin ...string) *store {
	if properties == nil {
		properties = map[string]Property{}
	}
	return &store{HubSpot: h, name: name, plural: plural, builtin: builtin, properties: properties, objects: map[string]*Object{}, merged: map[string]string{}}
}

func number(id string) int {
	n, err := strconv.Atoi(id)
	if err != nil {
		return 0
	}
	return n
}

func (s *store) add(properties map[string]string) *Object {
	s.lastID++
	c := &Object{ID: strconv.Itoa(s.lastID), Properties: map[string]string{}}
	s.objects[c.ID] = c
	s.set(c, properties)
	return c
}

// set changes an object; an empty value clears.
func (s *store) set(c *Object, properties map[string]string) {
	for name, value := range properties {
		if value == "" {
			delete(c.Properties, name)
			continue
		}
		if name == "email" {
			value = strings.ToLower(value)
		}
		c.Properties[name] = value
	}
	c.versions = append(c.versions, version{at: s.config.Now(), properties: maps.Clone(c.Properties)})
}

// known reports whether there is a property of that name.
func (s *store) known(name string) bool {
	_, custom := s.properties[name]
	return custom || slices.Contains(s.builtin, name)
}

func (s *store) unique(name string) bool {
	return name == "email" || s.properties[name].Unique
}

// find finds an object by record id or by a unique property.
func (s *store) find(id, idProperty string) *Object {
	if idProperty == "" {
		if into := s.merged[id]; into != "" {
			id = into
		}
		return s.objects[id]
	}
	for _, c := range s.objects {
		if value := c.Properties[idProperty]; value != "" && same(idProperty, value, id) {
			return c
		}
	}
	return nil
}

func same(property, a, b string) bool {
	return a == b || property == "email" && strings.EqualFold(a, b)
}

// holder is another object that holds one of the unique values.
func (s *store) holder(self *Object, properties map[string]string) (other *Object, property string) {
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		value := properties[name]
		if value == "" || !s.unique(name) {
			continue
		}
		for _, c := range s.objects {
			if c == self {
				continue
			}
			if same(name, c.Properties[name], value) || name == "email" && slices.ContainsFunc(c.Secondary, func(address string) bool { return strings.EqualFold(address, value) }) {
				return c, name
			}
		}
	}
	return nil, ""
}

// check says what is wrong with properties that are to be written to an object; nil: a new one.
func (s *store) check(self *Object, properties map[string]string) *answer {
	if fault := s.checkValues(properties); fault != nil {
		return fault
	}
	if self == nil && s.plural == companies && properties["name"] == "" && properties["domain"] == "" {
		return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "A company needs a name or a domain")
	}
	other, name := s.holder(self, properties)
	switch {
	case other == nil:
		return nil
	case name == "email":
		return refuse(http.StatusConflict, "CONFLICT", "Contact already exists. Existing ID: "+other.ID)
	case self == nil:
		return refuse(http.StatusBadRequest, "VALIDATION_ERROR", fmt.Sprintf("Property values were not valid: %s already has that value for %s.", other.ID, name))
	default:
		return refuse(http.StatusBadRequest, "VALIDATION_ERROR",
			fmt.Sprintf("Cannot set %s on %s. %s already has that value.", name, self.ID, other.ID))
	}
}

func (s *store) checkValues(properties map[string]string) *answer {
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		value, options := properties[name], s.properties[name].Options
		switch {
		case !s.known(name):
			return badValue("PROPERTY_DOESNT_EXIST", name, fmt.Sprintf("Property %q does not exist", name))
		case value == "":
		case name == "email" && !validEmail(value):
			return badValue("INVALID_EMAIL", name, "Email address "+value+" is invalid")
		case options != nil && !slices.Contains(options, value):
			return badValue("INVALID_OPTION", name, value+" was not one of the allowed options")
		}
	}
	return nil
}

func validEmail(email string) bool {
	local, domain, at := strings.Cut(email, "@")
	return at && local != "" && strings.Contains(domain, ".") && !strings.ContainsAny(email, " ,")
}

// badValue has the code twice, as HubSpot's answers have: in a list of details, and
// as JSON within the message.
func badValue(code, name, message string) *answer {
	text := fmt.Sprintf(`Property values were not valid: [{"isValid":false,"message":%q,"error":%q,"name":%q}]`, message, code, name)
	a := refuse(http.StatusBadRequest, "VALIDATION_ERROR", text)
	if code != "INVALID_EMAIL" { // which has been seen without details
		a.body = withDetail(a.body, detail{Message: message, Code: code, Context: map[string][]string{"propertyName": {name}}})
	}
	return a
}

// object is an object on the wire.
type object struct {
	ID         string            `json:"id"`
	Properties map[string]string `json:"properties"`
	Archived   bool              `json:"archived"`
	New        *bool             `json:"new,omitempty"`
	Trace      string            `json:"objectWriteTraceId,omitempty"`
}

type change struct {
	Properties map[string]string `json:"properties"`
}

func wire(c *Object) object { return object{ID: c.ID, Properties: maps.Clone(c.Properties)} }

func (s *store) create(in change) *answer {
	if fault := s.check(nil, in.Properties); fault != nil {
		return fault
	}
	return &answer{status: http.StatusCreated, body: wire(s.add(in.Properties))}
}

func (s *store) update(id, idProperty string, in change) *answer {
	if idProperty != "" && !s.unique(idProperty) {
		return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "Unable to perform update by non-unique property "+idProperty)
	}
	c := s.find(id, idProperty)
	if c == nil {
		return notFound()
	}
	if fault := s.check(c, in.Properties); fault != nil {
		return fault
	}
	s.set(c, in.Properties)
	return &answer{status: http.StatusOK, body: wire(c)}
}

func (s *store) read(id, idProperty string, properties []string) *answer {
	if idProperty != "" && !s.unique(idProperty) {
		return badValue("PROPERTY_DOESNT_EXIST", idProperty, fmt.Sprintf("Property %q does not exist", idProperty))
	}
	c := s.find(id, idProperty)
	if c == nil {
		return notFound()
	}
	out := wire(c)
	maps.DeleteFunc(out.Properties, func(name, _ string) bool { return !slices.Contains(properties, name) })
	return &answer{status: http.StatusOK, body: out}
}

// erasure is a request to erase a contact.
type erasure struct {
	ObjectID   string `json:"objectId"`
	IDProperty string `json:"idProperty"`
}

// erase erases a contact for ever. An address that nobody has is blocked from then on, which no caller here may want.
func (s *store) erase(in erasure) *answer {
	if in.IDProperty == "email" {
		return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "a contact is to be erased by its address")
	}
	found := s.find(in.ObjectID, in.IDProperty)
	if found == nil {
		return notFound()
	}
	s.drop(found.ID)
	return &answer{status: http.StatusNoContent}
}

func (s *store) archive(id string) *answer {
	if s.objects[id] == nil {
		return notFound()
	}
	s.drop(id)
	return &answer{status: http.StatusNoContent}
}
