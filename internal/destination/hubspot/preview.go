package hubspot

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
)

// Preview returns the requests for a first attempt of the message on its own, in order, with their conditions.
func (h *hubspot) Preview(ctx context.Context, m destination.Message) ([]destination.Request, error) {
	m.Attempt = 1
	r := h.row(ctx, m)
	if r.result != nil {
		return nil, noPreview(r.result)
	}
	p := preview{h: h}
	if m.RecordType == record.Membership {
		p.link(ctx, r)
		return p.out, p.err
	}
	s := &sending{hubspot: h}
	if s.needless(r) {
		return nil, nil
	}
	name := r.of.name
	if r.link != "" {
		p.add(r.writing(r.link, r.change), "The "+name+" is remembered. The others follow only if HubSpot answers 404: it was merged or deleted.")
	}
	for _, l := range r.lookups() {
		p.find(r.of, l, "The next follows only if HubSpot answers 404.")
	}
	p.add(r.writing("{id}", r.full), "If one was found.")
	switch {
	case r.of.mayCreate(&r.message) && (r.key != "" || r.email != ""):
		p.add(r.of.creation(r.full), "If none was found.")
	case len(p.out) > 0 && !r.deleted():
		p.out[len(p.out)-1].Note += " If none was found, nothing is made: missing is " + r.of.Missing + "."
	}
	if r.link == "" && !r.deleted() {
		for _, id := range m.OrganizationIDs {
			p.find(s.companies, lookup{id, s.companies.IDProperty}, "The user is a member of its organization, and the contact is new or newly found.")
			p.add(association("{id}", "{company}"), "If there is one.")
		}
	}
	return p.out, p.err
}

// noPreview is the error of a message of which the result is known before anything was sent.
func noPreview(r *destination.Result) error {
	if r.Outcome == destination.Deferred { // no worker was free for an expression
		return fault.New(fault.Unavailable, r.Reason)
	}
	return invalid("%s", r.Reason)
}

// link adds the requests for a membership.
func (p *preview) link(ctx context.Context, r *row) {
	l := newLink(r)
	if !r.deleted() && l.isKept() {
		return
	}
	contacts, companies := p.h.contacts, p.h.companies
	p.find(contacts, lookup{l.user, contacts.IDProperty}, "Without one, nothing is associated: a contact is made by its user.")
	p.find(companies, lookup{l.organization, companies.IDProperty}, "")
	if r.deleted() {
		contact, company, _ := l.stored()
		p.add(dissociation(cmp.Or(contact, "{contact}"), cmp.Or(company, "{company}")), "If there are both.")
		return
	}
	made := p.h.row(ctx, l.company())
	switch {
	case made.result != nil:
		p.err = noPreview(made.result)
		return
	case companies.Missing == missingCreate:
		p.add(companies.creation(made.full), "If there is no company: it is made of the organization as it is now.")
	default:
		p.out[len(p.out)-1].Note += " If there is none, the delivery is retried for some minutes; then missing applies, which is " + companies.Missing + "."
	}
	p.add(association("{contact}", "{company}"), "If there are both.")
}

// writing returns the request that updates or archives an object.
func (r *row) writing(id string, properties map[string]string) request {
	out := r.of.patch(id, properties)
	out.path = r.of.path() + "/" + id
	if r.deleted() && r.of.OnDelete.do == deleteArchive {
		out.method, out.body = http.MethodDelete, nil
	}
	return out
}

type preview struct {
	h   *hubspot
	out []destination.Request
	err error
}

// find adds a look-up.
func (p *preview) find(of *objects, l lookup, then string) {
	p.add(l.request(of), strings.TrimSpace(fmt.Sprintf("Looks for the %s by %s. %s", of.name, cmp.Or(l.by, "record id"), then)))
}

func (p *preview) add(r request, note string) {
	shown := destination.Request{Method: r.method, URL: r.url(p.h.BaseURL), Header: header("Bearer "+destination.Masked, r.body != nil), Note: note}
	if r.body != nil {
		shown.Body, p.err = json.Marshal(r.body)
	}
	p.out = append(p.out, shown)
}
