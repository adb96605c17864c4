package hubspot

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/authsync/authsync/internal/destination"
)

// Preview returns the requests for a first attempt of the message on its own, in order, with their conditions.
func (h *hubspot) Preview(ctx context.Context, m destination.Message) ([]destination.Request, error) {
	m.Attempt = 1
	r := h.row(ctx, m)
	if r.result != nil {
		return nil, invalid("%s", r.result.Reason)
	}
	s := &sending{hubspot: h}
	if s.needless(r) {
		return nil, nil
	}
	p := preview{h: h}
	if r.link != "" {
		p.add(s.writing(r, r.link, r.change), "The contact is remembered. The others follow only if HubSpot answers 404: it was merged or deleted.")
	}
	for _, l := range h.lookups(r) {
		by := l.by
		if by == "" {
			by = "record id"
		}
		p.add(l.request(h.IDProperty), fmt.Sprintf("Looks for the contact by %s. The next follows only if HubSpot answers 404.", by))
	}
	p.add(s.writing(r, "{id}", r.full), "If one was found.")
	switch {
	case s.mayCreate(r) && (r.key != "" || r.email != ""):
		p.add(creation(r.full), "If none was found.")
	case len(p.out) > 0 && !r.deleted():
		p.out[len(p.out)-1].Note += " If none was found, nothing is made: missing is " + h.Missing + "."
	}
	return p.out, p.err
}

// writing returns the request that updates a contact.
func (s *sending) writing(r *row, id string, properties map[string]string) request {
	if r.deleted() && s.OnDelete.do == deleteArchive {
		return request{method: "DELETE", path: contactsPath + "/" + id}
	}
	out := patch(id, properties)
	out.path = contactsPath + "/" + id
	return out
}

type preview struct {
	h   *hubspot
	out []destination.Request
	err error
}

func (p *preview) add(r request, note string) {
	shown := destination.Request{Method: r.method, URL: r.url(p.h.BaseURL), Header: header("Bearer "+destination.Masked, r.body != nil), Note: note}
	if r.body != nil {
		shown.Body, p.err = json.Marshal(r.body)
	}
	p.out = append(p.out, shown)
}
