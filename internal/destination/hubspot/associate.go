package hubspot

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/authsync/authsync/internal/destination"
)

// HubSpot's associations API, version 4. An association without a label is the default one; removing it removes all between
// the two objects.
const associationsPath = "/crm/v4/associations/contacts/companies/batch"

func association(contact, company string) request {
	return request{method: http.MethodPut, path: "/crm/v4/objects/contacts/" + contact + "/associations/default/companies/" + company}
}

func dissociation(contact, company string) request {
	return request{method: http.MethodDelete, path: "/crm/v4/objects/contacts/" + contact + "/associations/companies/" + company}
}

// end is one side of an association in HubSpot's JSON. Ids are texts; numbers are accepted.
type end struct {
	ID value `json:"id"`
}

type associated struct {
	From end `json:"from"`
	To   end `json:"to"`
}

// put associates the pairs of links, each of them once. A batch settles those that its response lists.
func (s *sending) put(ctx context.Context, links []*link) {
	if len(links) == 1 {
		l := links[0]
		s.putOrRemove(ctx, links, association(url.PathEscape(l.pair.contact), url.PathEscape(l.pair.company)), s.put, share{row: l.row})
		return
	}
	inputs, about := make([]associated, len(links)), make([]share, len(links))
	for i, l := range links {
		inputs[i] = associated{end{value(l.pair.contact)}, end{value(l.pair.company)}}
		about[i] = share{l.row, inputs[i]}
	}
	s.putOrRemove(ctx, links, request{http.MethodPost, associationsPath + "/associate/default", nil, map[string]any{"inputs": inputs}}, s.put, about...)
}

// remove removes all associations of the pairs of links, each of them once.
func (s *sending) remove(ctx context.Context, links []*link) {
	if len(links) == 1 {
		l := links[0]
		s.putOrRemove(ctx, links, dissociation(url.PathEscape(l.pair.contact), url.PathEscape(l.pair.company)), s.remove, share{row: l.row})
		return
	}
	type input struct {
		From end   `json:"from"`
		To   []end `json:"to"`
	}
	inputs, about := make([]input, len(links)), make([]share, len(links))
	for i, l := range links {
		inputs[i] = input{end{value(l.pair.contact)}, []end{{value(l.pair.company)}}}
		about[i] = share{l.row, inputs[i]}
	}
	s.putOrRemove(ctx, links, request{http.MethodPost, associationsPath + "/archive", nil, map[string]any{"inputs": inputs}}, s.remove, about...)
}

// putOrRemove sends a request about links; again sends some of them. A rejected batch is bisected.
func (s *sending) putOrRemove(ctx context.Context, links []*link, r request, again func(context.Context, []*link), about ...share) {
	trouble := s.held(ctx)
	var a *answer
	if trouble == nil {
		if a, trouble = s.call(ctx, r, about...); trouble != nil {
			s.stopOn(trouble)
		}
	}
	if trouble != nil {
		for _, l := range links {
			l.done(*trouble)
		}
		return
	}
	removes := r.method == http.MethodDelete || r.path == associationsPath+"/archive"
	switch {
	case len(links) == 1:
		s.settleLink(a, links[0], removes)
	case a.status == http.StatusNoContent && removes:
		for _, l := range links {
			s.settleLink(a, l, removes)
		}
	case a.ok():
		for _, l := range links {
			if !removes && lists(a, l.pair) {
				s.settleLink(&answer{status: a.status}, l, removes)
			} else {
				again(ctx, []*link{l})
			}
		}
	default:
		again(ctx, links[:len(links)/2])
		again(ctx, links[len(links)/2:])
	}
}

// lists reports whether the response to a batch lists a pair, in either direction.
func lists(a *answer, p pair) bool {
	var said struct {
		Results []associated `json:"results"`
	}
	return json.Unmarshal(a.body, &said) == nil && slices.ContainsFunc(said.Results, func(one associated) bool {
		from, to := string(one.From.ID), string(one.To.ID)
		return from == p.contact && to == p.company || from == p.company && to == p.contact
	})
}

// settleLink sets the result of a link from the response to a request about it alone, or that settles it. A removal that
// succeeded sets none: another may follow.
func (s *sending) settleLink(a *answer, l *link, removes bool) {
	isGone := a.status == http.StatusNotFound || isUnknownObject(readRefusal(a.body))
	switch {
	case removes && (a.ok() || isGone): // the caller concludes
	case a.ok():
		result, id := s.result(a, destination.Delivered, ""), l.pair.String()
		result.ExternalID = &id
		l.done(*result)
	case isGone:
		l.done(*s.result(a, destination.Retry, "HubSpot no longer has the contact or the company; they are looked for again"))
	default:
		l.done(*s.refused(s.contacts, a))
	}
}

// isUnknownObject reports whether an association was refused because one of its objects does not exist.
func isUnknownObject(r refusal) bool { return len(r.Context.Invalid) > 0 }
