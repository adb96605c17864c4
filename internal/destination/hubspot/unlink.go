package hubspot

import (
	"context"
	"slices"

	"github.com/authsync/authsync/internal/destination"
)

// release removes the associations of contacts that lose the id of a deleted user: without it, the deletions of the user's
// memberships, which follow, may not find them.
func (s *sending) release(ctx context.Context) {
	var links []*link
	for _, r := range s.rows {
		if s.companies == nil || r.of != s.contacts || r.result != nil || !r.deleted() || !r.of.releases() {
			continue
		}
		for _, organization := range r.message.OrganizationIDs {
			links = append(links, &link{row: r, user: r.message.RecordID, organization: organization})
		}
	}
	s.dissociate(ctx, links)
}

// dissociate removes the associations of deleted memberships: that between the contact and the company as they are found
// now, and the stored one.
func (s *sending) dissociate(ctx context.Context, links []*link) {
	links = s.identify(ctx, links)
	var known, old []*link
	for _, l := range links {
		if l.pair.contact != "" && l.pair.company != "" {
			known = append(known, l)
		}
		if contact, company, ok := l.stored(); ok && (pair{contact, company}) != l.pair {
			old = append(old, &link{row: l.row, user: l.user, organization: l.organization})
		}
	}
	s.dissociateStored(ctx, old)
	known = slices.DeleteFunc(known, func(l *link) bool { return l.row.result != nil })
	for _, part := range pairs(known) {
		s.remove(ctx, part)
	}
	for _, l := range links {
		if l.row.result == nil {
			l.done(destination.Result{Outcome: destination.Delivered, ExternalID: new(string)})
		}
	}
}

// dissociateStored removes stored associations. A contact that is another user's by now keeps its own.
func (s *sending) dissociateStored(ctx context.Context, links []*link) {
	links = slices.DeleteFunc(links, func(l *link) bool {
		l.pair.contact, l.pair.company, _ = l.stored()
		trouble := s.held(ctx)
		var found *match
		if trouble == nil {
			if found, trouble = s.read(ctx, s.contacts, lookup{l.pair.contact, ""}, l.row); trouble != nil {
				s.stopOn(trouble)
			}
		}
		if trouble != nil {
			l.done(*trouble)
			return true
		}
		return found == nil || found.owner != "" && found.owner != l.user
	})
	for _, part := range pairs(links) {
		s.remove(ctx, part)
	}
}
