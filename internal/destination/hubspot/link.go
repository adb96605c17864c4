package hubspot

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/record"
)

// companyWaits is the number of attempts of a membership whose company is missing and must not be made by it: the company
// may be about to be made by its organization.
const companyWaits = 5

// link is the association of a contact with a company, for a membership or for one of a user's organizations.
type link struct {
	row                *row
	user, organization string
	// pair holds the record ids found in HubSpot, empty if there is none.
	pair pair
}

// pair are the record ids of a contact and a company.
type pair struct{ contact, company string }

// String returns the external id of a membership.
func (p pair) String() string { return p.contact + "/" + p.company }

func newLink(r *row) *link {
	l := &link{row: r}
	l.organization, l.user, _ = record.SplitMembershipID(r.message.RecordID)
	return l
}

// stored returns the pair that the membership's external id names.
func (l *link) stored() (contact, company string, ok bool) {
	contact, company, ok = strings.Cut(l.row.link, "/")
	return contact, company, ok && l.row.of == nil
}

// isKept reports whether the association was made, and nothing suggests that it has to be made again.
func (l *link) isKept() bool {
	return l.row.link != "" && !l.row.retry() && l.row.message.Kind() == record.Updated
}

// company returns the message that makes the company of a membership.
func (l *link) company() destination.Message {
	m := l.row.message
	m.RecordType, m.RecordID, m.EventType = record.Organization, l.organization, destination.EventType(record.Organization, record.Created)
	m.Row, m.Before, m.Changed, m.ExternalID = m.Organization, nil, nil, ""
	if m.Row == nil { // its event is yet to come, and brings the rest
		m.Row, _ = json.Marshal(map[string]string{"id": l.organization}) //nolint:errchkjson // a string always marshals
	}
	return m
}

// organizationDeleted reports whether the organization of a membership is deleted: the membership's own deletion follows.
func (l *link) organizationDeleted() bool {
	var row struct {
		DeletedAt *string `json:"deleted_at"`
	}
	return json.Unmarshal(l.row.message.Organization, &row) == nil && row.DeletedAt != nil
}

// done sets the result of the row that the link belongs to. That of a user stays what it is unless another attempt helps: the
// membership has a delivery of its own, which says what is wrong.
func (l *link) done(result destination.Result) {
	r := l.row
	if r.of == nil {
		r.done(result)
		return
	}
	switch {
	case result.Outcome == destination.Delivered:
	case result.Outcome == destination.GiveUp && r.result != nil:
		r.result.Reason = "the contact is not associated with the company of organization " + l.organization + ": " + result.Reason
	case result.Outcome == destination.GiveUp:
	default:
		if r.result != nil {
			result.ExternalID = r.result.ExternalID
		}
		r.done(result)
	}
}

// link associates contacts with companies, and sets the results of memberships.
func (s *sending) link(ctx context.Context) {
	var live, over []*link
	for _, r := range s.rows {
		switch {
		case s.companies == nil, r.of == s.companies:
		case r.of == s.contacts:
			live = append(live, r.links()...)
		case r.deleted():
			over = append(over, newLink(r))
		case newLink(r).isKept():
			r.done(destination.Result{Outcome: destination.Delivered, Reason: "nothing was sent: contact and company are associated"})
		default:
			live = append(live, newLink(r))
		}
	}
	s.associate(ctx, live)
	s.dissociate(ctx, over)
}

// links returns the associations of a contact that is new or newly found: with the companies of the user's organizations.
func (r *row) links() (all []*link) {
	if r.deleted() || r.result.Outcome != destination.Delivered || r.result.ExternalID == nil {
		return nil
	}
	id := *r.result.ExternalID
	if id == "" || id == r.link && !r.retry() {
		return nil
	}
	for _, organization := range r.message.OrganizationIDs {
		all = append(all, &link{row: r, organization: organization, pair: pair{contact: id}})
	}
	return all
}

// associate makes associations.
func (s *sending) associate(ctx context.Context, links []*link) {
	links = s.identify(ctx, links)
	links = s.makeCompanies(ctx, links)
	links = slices.DeleteFunc(links, func(l *link) bool {
		switch {
		case l.row.of == nil && l.pair.contact == "":
			l.done(destination.Result{
				Outcome: destination.Delivered, ExternalID: new(string),
				Reason: "not associated: the user has no contact yet; once there is one, it is associated with the companies of the user's organizations",
			})
			return true
		default:
			return l.pair.company == "" // of a user: the membership's delivery makes it
		}
	})
	for _, part := range pairs(links) {
		s.put(ctx, part)
	}
}

// identify finds contacts and companies. It returns the links whose rows have no result yet because of that.
func (s *sending) identify(ctx context.Context, links []*link) []*link {
	for _, side := range []struct {
		of *objects
		id func(l *link) *string
		by func(l *link) string
	}{
		{s.contacts, func(l *link) *string { return &l.pair.contact }, func(l *link) string { return l.user }},
		{s.companies, func(l *link) *string { return &l.pair.company }, func(l *link) string { return l.organization }},
	} {
		rows := map[string][]*row{}
		for _, l := range links {
			if key := side.by(l); *side.id(l) == "" && !slices.Contains(rows[key], l.row) {
				rows[key] = append(rows[key], l.row)
			}
		}
		found, trouble := s.idsOf(ctx, side.of, rows)
		links = slices.DeleteFunc(links, func(l *link) bool {
			if *side.id(l) != "" {
				return false
			}
			if trouble != nil {
				l.done(*trouble)
				return true
			}
			*side.id(l) = found[side.by(l)]
			return false
		})
	}
	return links
}

// makeCompanies makes the companies that memberships lack, each of its organization as the mirror has it now. A link without
// a company afterwards has its result, or is a user's.
func (s *sending) makeCompanies(ctx context.Context, links []*link) []*link {
	made := map[string]*row{}
	var rows []*row
	links = slices.DeleteFunc(links, func(l *link) bool {
		switch {
		case l.pair.company != "" || l.row.of != nil:
		case l.organizationDeleted():
			l.done(destination.Result{Outcome: destination.Delivered, Reason: "not associated: the organization is deleted, and has no company"})
			return true
		case s.companies.Missing != missingCreate:
			l.done(s.noCompany(l))
			return true
		case made[l.organization] == nil:
			r := s.row(ctx, l.company())
			made[l.organization] = r
			rows = append(rows, r)
		}
		return false
	})
	s.sync(ctx, s.companies, rows)
	return slices.DeleteFunc(links, func(l *link) bool {
		r := made[l.organization]
		if l.pair.company != "" || l.row.of != nil || r == nil {
			return false
		}
		l.row.noteExchange(r.exchanges...)
		if id := r.result.ExternalID; r.result.Outcome == destination.Delivered && id != nil {
			l.pair.company = *id
			return false
		}
		result := *r.result
		result.ExternalID, result.Reason = nil, "its company: "+result.Reason
		l.done(result)
		return true
	})
}

// noCompany returns the result of a membership without a company that it must not make.
func (s *sending) noCompany(l *link) destination.Result {
	const none = "the organization has no company"
	switch {
	case l.row.message.Attempt < companyWaits:
		return destination.Result{Outcome: destination.Retry, Status: http.StatusNotFound, Reason: none + "; it is tried again, in case the organization's own delivery makes it"}
	case s.companies.Missing == missingSkip:
		return destination.Result{Outcome: destination.Delivered, Reason: "skipped: " + none + ", and companies.missing is skip"}
	default:
		return destination.Result{Outcome: destination.GiveUp, Reason: none + ", and companies.missing is log: make or restore the company in HubSpot, then retry the delivery"}
	}
}

// pairs returns links in parts of at most one batch, without two of the same pair in one.
func pairs(links []*link) (parts [][]*link) {
	slices.SortStableFunc(links, func(a, b *link) int {
		return cmp.Or(strings.Compare(a.pair.contact, b.pair.contact), strings.Compare(a.pair.company, b.pair.company))
	})
	for len(links) > 0 {
		taken := map[pair]bool{}
		var part, rest []*link
		for _, l := range links {
			if taken[l.pair] || len(part) == batchMax {
				rest = append(rest, l)
				continue
			}
			taken[l.pair] = true
			part = append(part, l)
		}
		parts, links = append(parts, part), rest
	}
	return parts
}
