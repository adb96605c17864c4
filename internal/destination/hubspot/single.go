package hubspot

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/authsync/authsync/internal/destination"
)

// collisions is the number of attempts to set an e-mail address that another contact holds. That contact may
// be about to change its address; if not, a user has to decide.
const collisions = 5

// match is a contact or company found in HubSpot.
type match struct {
	id string
	// owner is the id of the record in id_property; empty if there is none.
	owner string
}

func (s *sending) single(ctx context.Context, r *row) *destination.Result {
	if r.erased() {
		return s.erase(ctx, r)
	}
	known, properties := r.link != "", r.change
	if r.doubtful() {
		c, trouble := s.read(ctx, r.of, lookup{r.link, ""}, r)
		if trouble != nil {
			return trouble
		}
		known = c != nil && (c.owner == "" || c.owner == r.key)
		if known && c.owner == "" && !r.deleted() {
			properties = r.full // it was released, and the record is there again
		}
	}
	if known {
		if result := s.write(ctx, r, r.link, properties); result != nil {
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

// write updates or archives an object. It returns nil if there is none with that id.
func (s *sending) write(ctx context.Context, r *row, id string, properties map[string]string) *destination.Result {
	if r.deleted() && r.of.OnDelete.do == deleteArchive {
		return s.archive(ctx, r, id)
	}
	a, trouble := s.call(ctx, r.of.patch(id, properties), share{row: r})
	if trouble != nil {
		return trouble
	}
	other, collides := conflict(a)
	switch {
	case a.ok():
		return s.delivered(a, r)
	case a.status == http.StatusNotFound:
		return nil
	case collides && !r.deleted() && r.of.byEmail:
		return s.writeRest(ctx, r, id, other, properties)
	case collides && !r.deleted():
		return collision(r, "company "+id+" cannot get a unique value of the organization, which "+named(r.of, other)+" has")
	default:
		return s.refused(r.of, a)
	}
}

// writeRest writes everything except the e-mail address, which another contact holds.
func (s *sending) writeRest(ctx context.Context, r *row, id, other string, properties map[string]string) *destination.Result {
	rest := maps.Clone(properties)
	delete(rest, "email")
	if len(rest) > 0 {
		a, trouble := s.call(ctx, r.of.patch(id, rest), share{row: r})
		if trouble != nil {
			return trouble
		}
		if _, collides := conflict(a); !a.ok() && !collides {
			return s.refused(r.of, a)
		}
	}
	result := collision(r, "contact "+id+" cannot get the user's e-mail address, which "+named(r.of, other)+" has")
	result.ExternalID = &id
	return result
}

// collision returns the result if two objects, or two records, claim the same unique value, such as an e-mail address.
func collision(r *row, what string) *destination.Result {
	if r.message.Attempt < collisions {
		return &destination.Result{Outcome: destination.Retry, Status: http.StatusConflict, Reason: what + "; it is tried again, in case that changes"}
	}
	return &destination.Result{
		Outcome: destination.GiveUp, Status: http.StatusConflict,
		Reason: what + ": merge the two in HubSpot or change one, then retry the delivery",
	}
}

func named(of *objects, id string) string {
	if id == "" {
		return "another " + of.name
	}
	return of.name + " " + id
}

// archive archives an object. It returns nil if there is none with that id.
func (s *sending) archive(ctx context.Context, r *row, id string) *destination.Result {
	of := r.of
	a, trouble := s.call(ctx, request{method: http.MethodDelete, path: of.pathOf(id)}, share{row: r})
	switch {
	case trouble != nil:
		return trouble
	case a.status == http.StatusNotFound:
		return nil
	case !a.ok():
		return s.refused(of, a)
	}
	result := s.result(a, destination.Delivered, "%s %s was archived", of.name, id)
	result.ExternalID = new(string)
	return result
}

// delivered returns the result of a write, alone or in a batch. It stores the id from the response, which
// differs from the requested one after a merge, or deletes it if the object was released.
func (s *sending) delivered(a *answer, r *row) *destination.Result {
	var said object
	if json.Unmarshal(a.body, &said) != nil || said.ID == "" {
		return s.unnamed(r.of, a)
	}
	result := s.result(a, destination.Delivered, "")
	result.ExternalID = &said.ID
	if r.deleted() && r.of.releases() {
		result.ExternalID = new(string)
	}
	return result
}

func (s *sending) refused(of *objects, a *answer) *destination.Result {
	return s.judge(of, a, readRefusal(a.body))
}

// unnamed returns the result of a success that does not say which object it is about.
func (s *sending) unnamed(of *objects, a *answer) *destination.Result {
	return s.result(a, destination.Retry, "HubSpot's answer names no %s", of.name)
}

// object is a contact or company in HubSpot's JSON.
type object struct {
	ID         string            `json:"id"`
	Properties map[string]string `json:"properties"`
}

func (o *objects) pathOf(id string) string { return o.path() + "/" + url.PathEscape(id) }

func (o *objects) patch(id string, properties map[string]string) request {
	return request{http.MethodPatch, o.pathOf(id), nil, map[string]any{"properties": properties}}
}

func (o *objects) creation(properties map[string]string) request {
	properties = maps.Clone(properties)
	maps.DeleteFunc(properties, func(_, value string) bool { return value == "" })
	return request{http.MethodPost, o.path(), nil, map[string]any{"properties": properties}}
}

// lookup is one way to find an object. by is the identifying property; empty means the record id.
type lookup struct{ value, by string }

func (l lookup) request(of *objects) request {
	query := url.Values{}
	if l.by != "" {
		query.Set("idProperty", l.by)
	}
	if of.IDProperty != "" {
		query.Set("properties", of.IDProperty)
	}
	return request{http.MethodGet, of.pathOf(l.value), query, nil}
}

// lookups returns the ways to find an object without a stored id, in order.
func (r *row) lookups() []lookup {
	var out []lookup
	if r.key != "" {
		out = append(out, lookup{r.key, r.of.IDProperty})
	}
	if r.path != "" {
		out = append(out, lookup{r.path, ""})
	}
	for _, address := range r.emails {
		out = append(out, lookup{address, "email"})
	}
	return out
}

// find looks for the object of a record. It returns nil if there is none.
func (s *sending) find(ctx context.Context, r *row) (*match, *destination.Result) {
	for _, l := range r.lookups() {
		found, trouble := s.read(ctx, r.of, l, r)
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
	return nil, nil //nolint:nilnil // that there is none is not an error
}

// owned returns the result if the object with a unique value of the record belongs to another record.
func (s *sending) owned(r *row, c *match) *destination.Result {
	unique := "unique value"
	if r.of.byEmail {
		unique = "e-mail address"
	}
	return collision(r, fmt.Sprintf("%s %s has the %[3]s's %[4]s, and is another %[3]s's by its property %[5]s",
		r.of.name, c.id, r.of.record, unique, r.of.IDProperty))
}

// read reads an object for rows.
func (s *sending) read(ctx context.Context, of *objects, l lookup, rows ...*row) (*match, *destination.Result) {
	a, trouble := s.call(ctx, l.request(of), shares(rows)...)
	if trouble != nil {
		return nil, trouble
	}
	var said object
	switch {
	case a.status == http.StatusNotFound:
		return nil, nil //nolint:nilnil // that there is none is not an error
	case !a.ok() && l.by == of.IDProperty && l.by != "":
		return nil, s.unusable(of, a)
	case !a.ok():
		return nil, s.refused(of, a)
	case json.Unmarshal(a.body, &said) != nil || said.ID == "":
		return nil, s.unnamed(of, a)
	}
	found := &match{id: said.ID, owner: said.Properties[of.IDProperty]}
	for _, r := range rows {
		r.hideOther(found.owner)
	}
	return found, nil
}

// unusable returns the result if objects cannot be read by id_property.
func (s *sending) unusable(of *objects, a *answer) *destination.Result {
	return s.result(a, destination.Pause,
		"HubSpot finds no %s by the property %q of the option %sid_property: it must exist and have unique values (hasUniqueValue), which only the API can set when it is made; then resume the destination. HubSpot says: %s",
		of.plural, of.IDProperty, of.option, s.said(a))
}

// absent handles a record without an object.
func (s *sending) absent(ctx context.Context, r *row) *destination.Result {
	forget, person, name := new(string), string(r.of.record), r.of.name
	switch {
	case r.deleted():
		return &destination.Result{Outcome: destination.Delivered, Reason: "the " + person + " is deleted and has no " + name + "; none was made", ExternalID: forget}
	case !r.of.mayCreate(&r.message) && r.of.Missing == missingSkip:
		return &destination.Result{Outcome: destination.Delivered, Reason: "skipped: the " + person + " has no " + name + ", and missing is skip", ExternalID: forget}
	case !r.of.mayCreate(&r.message):
		return &destination.Result{
			Outcome: destination.GiveUp, ExternalID: forget,
			Reason: "the " + person + " has no " + name + ", and missing is log: make or restore the " + name + " in HubSpot, then retry the delivery",
		}
	case r.key == "" && r.email == "":
		return &destination.Result{
			Outcome: destination.GiveUp, ExternalID: forget,
			Reason: "the user has no e-mail address, so that no contact could be found again: set the option id_property, or leave such users out with the condition .user.email != null",
		}
	}
	return s.create(ctx, r)
}

// create creates an object. If HubSpot reports an existing one, which another run created or which has the
// address as a secondary one, create updates that one.
func (s *sending) create(ctx context.Context, r *row) *destination.Result {
	a, trouble := s.call(ctx, r.of.creation(r.full), share{row: r})
	if trouble != nil {
		return trouble
	}
	if a.ok() {
		return s.delivered(a, r)
	}
	id, exists := conflict(a)
	if !exists {
		return s.refused(r.of, a)
	}
	again := s.result(a, destination.Retry, "HubSpot says that the %s exists, and does not find it yet", r.of.name)
	if id == "" {
		return again
	}
	found, trouble := s.read(ctx, r.of, lookup{id, ""}, r)
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
