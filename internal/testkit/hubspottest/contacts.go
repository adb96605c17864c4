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

// Contact is a contact of a portal.
type Contact struct {
	ID         string
	Properties map[string]string
	// Secondary are further e-mail addresses, which identify it too.
	Secondary []string
	// versions are what search knows, the oldest first.
	versions []version
}

type version struct {
	at         time.Time
	properties map[string]string
}

// Contacts are the contacts there are, in the order of their creation.
func (h *HubSpot) Contacts() []Contact {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Contact, 0, len(h.contacts))
	for _, c := range h.contacts {
		out = append(out, Contact{ID: c.ID, Properties: maps.Clone(c.Properties), Secondary: slices.Clone(c.Secondary)})
	}
	slices.SortFunc(out, func(a, b Contact) int { return number(a.ID) - number(b.ID) })
	return out
}

// Contact is one contact; nil: there is none with that id.
func (h *HubSpot) Contact(id string) map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.contacts[id]; c != nil {
		return maps.Clone(c.Properties)
	}
	return nil
}

// Add makes a contact, as a person in HubSpot does, and returns its id.
func (h *HubSpot) Add(properties map[string]string, secondary ...string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.add(properties)
	c.Secondary = secondary
	return c.ID
}

// Remove removes a contact, as a person in HubSpot does.
func (h *HubSpot) Remove(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.contacts, id)
}

// Merge merges a contact into another, as a person in HubSpot does: the id of either is
// then one of the other, and so is the e-mail address.
func (h *HubSpot) Merge(id, into string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if address := h.contacts[id].Properties["email"]; address != "" {
		h.contacts[into].Secondary = append(h.contacts[into].Secondary, address)
	}
	delete(h.contacts, id)
	h.merged[id] = into
}

func number(id string) int {
	n, err := strconv.Atoi(id)
	if err != nil {
		return 0
	}
	return n
}

func (h *HubSpot) add(properties map[string]string) *Contact {
	h.lastID++
	c := &Contact{ID: strconv.Itoa(h.lastID), Properties: map[string]string{}}
	h.contacts[c.ID] = c
	h.set(c, properties)
	return c
}

// set changes a contact; an empty value clears.
func (h *HubSpot) set(c *Contact, properties map[string]string) {
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
	c.versions = append(c.versions, version{at: h.config.Now(), properties: maps.Clone(c.Properties)})
}

// known reports whether there is a property of that name.
func (h *HubSpot) known(name string) bool {
	_, custom := h.config.Properties[name]
	return custom || slices.Contains([]string{
		"email", "firstname", "lastname", "phone", "company", "website", "city", "lifecyclestage", "hs_lead_status",
	}, name)
}

func (h *HubSpot) unique(name string) bool {
	return name == "email" || h.config.Properties[name].Unique
}

// find finds a contact by record id or by a unique property.
func (h *HubSpot) find(id, idProperty string) *Contact {
	if idProperty == "" {
		if into := h.merged[id]; into != "" {
			id = into
		}
		return h.contacts[id]
	}
	for _, c := range h.contacts {
		if value := c.Properties[idProperty]; value != "" && same(idProperty, value, id) {
			return c
		}
	}
	return nil
}

func same(property, a, b string) bool {
	return a == b || property == "email" && strings.EqualFold(a, b)
}

// holder is another contact that holds one of the unique values.
func (h *HubSpot) holder(self *Contact, properties map[string]string) (other *Contact, property string) {
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		value := properties[name]
		if value == "" || !h.unique(name) {
			continue
		}
		for _, c := range h.contacts {
			if c == self {
				continue
			}
			if same(name, c.Properties[name], value) || name == "email" && slices.ContainsFunc(c.Secondary, func(s string) bool { return strings.EqualFold(s, value) }) {
				return c, name
			}
		}
	}
	return nil, ""
}

// check says what is wrong with properties that are to be written to a contact; nil: a new one.
func (h *HubSpot) check(self *Contact, properties map[string]string) *answer {
	if fault := h.checkValues(properties); fault != nil {
		return fault
	}
	other, name := h.holder(self, properties)
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

func (h *HubSpot) checkValues(properties map[string]string) *answer {
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		value, options := properties[name], h.config.Properties[name].Options
		switch {
		case !h.known(name):
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

// object is a contact on the wire.
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

func wire(c *Contact) object { return object{ID: c.ID, Properties: maps.Clone(c.Properties)} }

func (h *HubSpot) create(in change) *answer {
	if fault := h.check(nil, in.Properties); fault != nil {
		return fault
	}
	return &answer{status: http.StatusCreated, body: wire(h.add(in.Properties))}
}

func (h *HubSpot) update(id, idProperty string, in change) *answer {
	if idProperty != "" && !h.unique(idProperty) {
		return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "Unable to perform update by non-unique property "+idProperty)
	}
	c := h.find(id, idProperty)
	if c == nil {
		return notFound()
	}
	if fault := h.check(c, in.Properties); fault != nil {
		return fault
	}
	h.set(c, in.Properties)
	return &answer{status: http.StatusOK, body: wire(c)}
}

func (h *HubSpot) read(id, idProperty string, properties []string) *answer {
	if idProperty != "" && !h.unique(idProperty) {
		return badValue("PROPERTY_DOESNT_EXIST", idProperty, fmt.Sprintf("Property %q does not exist", idProperty))
	}
	c := h.find(id, idProperty)
	if c == nil {
		return notFound()
	}
	out := wire(c)
	maps.DeleteFunc(out.Properties, func(name, _ string) bool { return !slices.Contains(properties, name) })
	return &answer{status: http.StatusOK, body: out}
}

func (h *HubSpot) archive(id string) *answer {
	if h.contacts[id] == nil {
		return notFound()
	}
	delete(h.contacts, id)
	return &answer{status: http.StatusNoContent}
}
