package hubspottest

import (
	"maps"
	"slices"
)

// Contacts are the contacts there are, in the order of their creation.
func (h *HubSpot) Contacts() []Object { return h.contacts.all() }

// Companies are the companies there are, in the order of their creation.
func (h *HubSpot) Companies() []Object { return h.companies.all() }

func (s *store) all() []Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Object, 0, len(s.objects))
	for _, o := range s.objects {
		out = append(out, Object{ID: o.ID, Properties: maps.Clone(o.Properties), Secondary: slices.Clone(o.Secondary)})
	}
	slices.SortFunc(out, func(a, b Object) int { return number(a.ID) - number(b.ID) })
	return out
}

// Contact is one contact; nil: there is none with that id.
func (h *HubSpot) Contact(id string) map[string]string { return h.contacts.one(id) }

// Company is one company; nil: there is none with that id.
func (h *HubSpot) Company(id string) map[string]string { return h.companies.one(id) }

func (s *store) one(id string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[id]; o != nil {
		return maps.Clone(o.Properties)
	}
	return nil
}

// Add makes a contact, as a person in HubSpot does, and returns its id.
func (h *HubSpot) Add(properties map[string]string, secondary ...string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.contacts.add(properties)
	c.Secondary = secondary
	return c.ID
}

// AddCompany makes a company, as a person in HubSpot does, and returns its id.
func (h *HubSpot) AddCompany(properties map[string]string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.companies.add(properties).ID
}

// Set changes properties of a contact, as a person in HubSpot does; an empty value clears.
func (h *HubSpot) Set(id string, properties map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.contacts.set(h.contacts.objects[id], properties)
}

// Remove removes a contact, as a person in HubSpot does.
func (h *HubSpot) Remove(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.contacts.drop(id)
}

// RemoveCompany removes a company, as a person in HubSpot does.
func (h *HubSpot) RemoveCompany(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.companies.drop(id)
}

// Merge merges a contact into another, as a person in HubSpot does: the id of either is
// then one of the other, and so are the e-mail address and the companies.
func (h *HubSpot) Merge(id, into string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if address := h.contacts.objects[id].Properties["email"]; address != "" {
		h.contacts.objects[into].Secondary = append(h.contacts.objects[into].Secondary, address)
	}
	for pair := range h.associations {
		if pair.Contact == id {
			h.associations[Association{into, pair.Company}] = true
		}
	}
	h.contacts.drop(id)
	h.contacts.merged[id] = into
}

// MergeCompany is Merge for companies.
func (h *HubSpot) MergeCompany(id, into string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for pair := range h.associations {
		if pair.Company == id {
			h.associations[Association{pair.Contact, into}] = true
		}
	}
	h.companies.drop(id)
	h.companies.merged[id] = into
}

// drop removes an object with its associations.
func (s *store) drop(id string) {
	delete(s.objects, id)
	maps.DeleteFunc(s.associations, func(a Association, _ bool) bool {
		return s.plural == contacts && a.Contact == id || s.plural == companies && a.Company == id
	})
}
