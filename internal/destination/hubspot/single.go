package hubspot

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/authsync/authsync/internal/destination"
)

// collisions is the number of attempts to set an e-mail address that another contact holds. That contact may
// be about to change its address; if not, a user has to decide.
const collisions = 5

// contact is a contact found in HubSpot.
type contact struct {
	id string
	// owner is the user id in id_property; empty if there is none.
	owner string
}

func (s *sending) single(ctx context.Context, r *row) *destination.Result {
	known := r.link != ""
	if s.doubtful(r) {
		c, trouble := s.read(ctx, lookup{r.link, ""})
		if trouble != nil {
			return trouble
		}
		known = c != nil && (c.owner == "" || c.owner == r.key)
	}
	if known {
		if result := s.write(ctx, r, r.link, r.change); result != nil {
			return result
		}
	}
	found, trouble := s.find(ctx, r)
	if trouble != nil {
		return trouble
	}
	if found != nil {
		if result := s.write(ctx, r, found.id, r.full); result != nil {
			return result
		}
	}
	return s.absent(ctx, r)
}

// write updates or archives a contact. It returns nil if there is none with that id.
func (s *sending) write(ctx context.Context, r *row, id string, properties map[string]string) *destination.Result {
	if r.deleted() && s.OnDelete.do == deleteArchive {
		return s.archive(ctx, id)
	}
	a, trouble := s.call(ctx, patch(id, properties))
	if trouble != nil {
		return trouble
	}
	other, collides := conflict(a)
	switch {
	case a.ok():
		return s.delivered(a, r)
	case a.status == http.StatusNotFound:
		return nil
	case collides && !r.deleted():
		return s.writeRest(ctx, r, id, other, properties)
	default:
		return s.refused(a)
	}
}

// writeRest writes everything except the e-mail address, which another contact holds.
func (s *sending) writeRest(ctx context.Context, r *row, id, other string, properties map[string]string) *destination.Result {
	rest := maps.Clone(properties)
	delete(rest, "email")
	if len(rest) > 0 {
		a, trouble := s.call(ctx, patch(id, rest))
		if trouble != nil {
			return trouble
		}
		if _, collides := conflict(a); !a.ok() && !collides {
			return s.refused(a)
		}
	}
	result := collision(r, "contact "+id+" cannot get the user's e-mail address, which "+named(other)+" has")
	result.ExternalID = &id
	return result
}

// collision returns the result if two contacts, or two users, claim the same e-mail address.
func collision(r *row, what string) *destination.Result {
	if r.message.Attempt < collisions {
		return &destination.Result{Outcome: destination.Retry, Status: http.StatusConflict, Reason: what + "; it is tried again, in case that changes"}
	}
	return &destination.Result{
		Outcome: destination.GiveUp, Status: http.StatusConflict,
		Reason: what + ": merge the two in HubSpot or change one, then retry the delivery",
	}
}

func named(id string) string {
	if id == "" {
		return "another contact"
	}
	return "contact " + id
}

// archive archives a contact. It returns nil if there is none with that id.
func (s *sending) archive(ctx context.Context, id string) *destination.Result {
	a, trouble := s.call(ctx, request{method: http.MethodDelete, path: contactPath(id)})
	switch {
	case trouble != nil:
		return trouble
	case a.status == http.StatusNotFound:
		return nil
	case !a.ok():
		return s.refused(a)
	}
	result := s.result(a, destination.Delivered, "contact %s was archived", id)
	result.ExternalID = new(string)
	return result
}

// delivered returns the result of a write, alone or in a batch. It stores the id from the response, which
// differs from the requested one after a merge, or deletes it if the contact was released.
func (s *sending) delivered(a *answer, r *row) *destination.Result {
	var said object
	if json.Unmarshal(a.body, &said) != nil || said.ID == "" {
		return s.result(a, destination.Retry, "HubSpot's answer names no contact")
	}
	result := s.result(a, destination.Delivered, "")
	result.ExternalID = &said.ID
	if value, set := s.OnDelete.set[s.IDProperty]; r.deleted() && set && value == "" {
		result.ExternalID = new(string)
	}
	return result
}

func (s *sending) refused(a *answer) *destination.Result { return s.judge(a, readRefusal(a.body)) }

// object is a contact in HubSpot's JSON.
type object struct {
	ID         string            `json:"id"`
	Properties map[string]string `json:"properties"`
}

func contactPath(id string) string { return contactsPath + "/" + url.PathEscape(id) }

func patch(id string, properties map[string]string) request {
	return request{http.MethodPatch, contactPath(id), nil, map[string]any{"properties": properties}}
}

func creation(properties map[string]string) request {
	properties = maps.Clone(properties)
	maps.DeleteFunc(properties, func(_, value string) bool { return value == "" })
	return request{http.MethodPost, contactsPath, nil, map[string]any{"properties": properties}}
}

// lookup is one way to find a contact. by is the identifying property; empty means the record id.
type lookup struct{ value, by string }

func (l lookup) request(idProperty string) request {
	query := url.Values{}
	if l.by != "" {
		query.Set("idProperty", l.by)
	}
	if idProperty != "" {
		query.Set("properties", idProperty)
	}
	return request{http.MethodGet, contactPath(l.value), query, nil}
}

// lookups returns the ways to find a contact without a stored id, in order.
func (h *hubspot) lookups(r *row) []lookup {
	var out []lookup
	if r.key != "" {
		out = append(out, lookup{r.key, h.IDProperty})
	}
	if r.path != "" {
		out = append(out, lookup{r.path, ""})
	}
	for _, address := range r.emails {
		out = append(out, lookup{address, "email"})
	}
	return out
}

// find looks for the contact of a user. It returns nil if there is none.
func (s *sending) find(ctx context.Context, r *row) (*contact, *destination.Result) {
	for _, l := range s.lookups(r) {
		found, trouble := s.read(ctx, l)
		switch {
		case trouble != nil:
			return nil, trouble
		case found == nil:
		case found.owner == "" || found.owner == r.key:
			return found, nil
		case l.by == "email" && strings.EqualFold(l.value, r.email) && !r.deleted():
			return nil, s.owned(r, found)
		}
	}
	return nil, nil //nolint:nilnil // no contact is not an error
}

// owned returns the result if the contact with the user's e-mail address belongs to another user.
func (s *sending) owned(r *row, c *contact) *destination.Result {
	return collision(r, "contact "+c.id+" has the user's e-mail address, and is another user's by its property "+s.IDProperty)
}

func (s *sending) read(ctx context.Context, l lookup) (*contact, *destination.Result) {
	a, trouble := s.call(ctx, l.request(s.IDProperty))
	if trouble != nil {
		return nil, trouble
	}
	var said object
	switch {
	case a.status == http.StatusNotFound:
		return nil, nil //nolint:nilnil // no contact is not an error
	case !a.ok() && l.by == s.IDProperty && l.by != "":
		return nil, s.unusable(a)
	case !a.ok():
		return nil, s.refused(a)
	case json.Unmarshal(a.body, &said) != nil || said.ID == "":
		return nil, s.result(a, destination.Retry, "HubSpot's answer names no contact")
	}
	return &contact{id: said.ID, owner: said.Properties[s.IDProperty]}, nil
}

// unusable returns the result if contacts cannot be read by id_property.
func (s *sending) unusable(a *answer) *destination.Result {
	return s.result(a, destination.Pause,
		"HubSpot finds no contacts by the property %q of the option id_property: it must exist and have unique values (hasUniqueValue), which only the API can set when it is made; then resume the destination. HubSpot says: %s",
		s.IDProperty, s.said(a))
}

// absent handles a user without a contact.
func (s *sending) absent(ctx context.Context, r *row) *destination.Result {
	forget := new(string)
	switch {
	case r.deleted():
		return &destination.Result{Outcome: destination.Delivered, Reason: "the user is deleted and has no contact; none was made", ExternalID: forget}
	case !s.mayCreate(r) && s.Missing == missingSkip:
		return &destination.Result{Outcome: destination.Delivered, Reason: "skipped: the user has no contact, and missing is skip", ExternalID: forget}
	case !s.mayCreate(r):
		return &destination.Result{
			Outcome: destination.GiveUp, ExternalID: forget,
			Reason: "the user has no contact, and missing is log: make or restore the contact in HubSpot, then retry the delivery",
		}
	case r.key == "" && r.email == "":
		return &destination.Result{
			Outcome: destination.GiveUp, ExternalID: forget,
			Reason: "the user has no e-mail address, so that no contact could be found again: set the option id_property, or leave such users out with the condition .user.email != null",
		}
	}
	return s.create(ctx, r)
}

// create creates a contact. If HubSpot reports an existing one, which another run created or which has the
// address as a secondary one, create updates that one.
func (s *sending) create(ctx context.Context, r *row) *destination.Result {
	a, trouble := s.call(ctx, creation(r.full))
	if trouble != nil {
		return trouble
	}
	if a.ok() {
		return s.delivered(a, r)
	}
	id, exists := conflict(a)
	if !exists {
		return s.refused(a)
	}
	again := s.result(a, destination.Retry, "HubSpot says that the contact exists, and does not find it yet")
	if id == "" {
		return again
	}
	found, trouble := s.read(ctx, lookup{id, ""})
	switch {
	case trouble != nil:
		return trouble
	case found == nil:
		return again
	case found.owner != "" && found.owner != r.key:
		return s.owned(r, found)
	}
	return cmp.Or(s.write(ctx, r, found.id, r.full), again)
}
