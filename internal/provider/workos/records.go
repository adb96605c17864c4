package workos

import (
	"context"
	"net/url"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// recordPlace is the position of a walk through organizations and their memberships, which WorkOS lists by organization or
// user only.
type recordPlace struct {
	Organizations place `json:"organizations,omitzero"`
	// Left are the organizations whose memberships are not read yet; those of the first are being read, up to Inner.
	Left  []string `json:"left,omitempty"`
	Inner place    `json:"inner,omitzero"`
}

func organizationsList() list { return list{name: "organizations", path: "/organizations"} }

// membershipsOf lists all memberships of an organization: without the statuses only active ones are listed.
func membershipsOf(organizationID string) list {
	return list{
		name: "memberships of " + organizationID, path: membershipsPath, trusted: true,
		query: url.Values{"organization_id": {organizationID}, "statuses": {"active,inactive,pending"}},
	}
}

const membershipsPath = "/user_management/organization_memberships"

// Records reads up to 100 organizations, or memberships of one organization.
func (s *source) Records(ctx context.Context, cursor string) (userapi.RecordPage, error) {
	var at recordPlace
	if cursor != "" {
		if err := userapi.DecodeCursor(cursor, &at); err != nil {
			return userapi.RecordPage{}, err
		}
		if at.Organizations.Offset < 0 || at.Inner.Offset < 0 {
			return userapi.RecordPage{}, userapi.ForeignCursor()
		}
	}
	var page userapi.RecordPage
	read := s.organizations
	if len(at.Left) > 0 {
		read = s.memberships
	}
	ended, err := read(ctx, &at, &page)
	if err == nil && !ended {
		page.Next, err = userapi.EncodeCursor(at)
	}
	if err != nil {
		return userapi.RecordPage{}, err
	}
	return page, nil
}

func (s *source) organizations(ctx context.Context, at *recordPlace, page *userapi.RecordPage) (ended bool, err error) {
	read, err := s.next(ctx, organizationsList(), &at.Organizations)
	if err != nil {
		return false, err
	}
	page.Add(record.Organization, "organizations", &read.List)
	if read.restarted {
		page.Notes = []string{"WorkOS no longer knows where the list of organizations was left: it is read anew, and what was read before counts twice"}
	}
	at.Left = read.IDs()
	return read.end, nil
}

// memberships reads memberships of the first organization that is left. A list that makes no progress is a bad entry, so that
// the others are read all the same.
func (s *source) memberships(ctx context.Context, at *recordPlace, page *userapi.RecordPage) (ended bool, err error) {
	from := membershipsOf(at.Left[0])
	read, err := s.next(ctx, from, &at.Inner)
	if stuck, is := fault.As(err); is && stuck.Code == fault.ProviderError {
		page.Bad = append(page.Bad, userapi.Bad{Place: from.name, Reason: stuck.Error()})
		page.Unlist(from.name+": "+stuck.Error(), record.Membership)
		read, err = part{end: true}, nil
	}
	if err != nil {
		return false, err
	}
	page.Add(record.Membership, from.name, &read.List)
	if read.end {
		at.Left, at.Inner = at.Left[1:], place{}
	}
	return false, nil
}

// Record reads an organization by its id, and a membership from the list of its organization and user.
func (s *source) Record(ctx context.Context, ref userapi.RecordRef) (userapi.Record, error) {
	var found userapi.User
	var err error
	switch ref.Type {
	case record.Organization:
		found, err = s.lookUp(ctx, ref.Ref, "/organizations/"+url.PathEscape(ref.ID))
	case record.Membership:
		found, err = s.membership(ctx, ref.ID)
	case record.User, record.Invitation, record.Session:
		err = userapi.Unreadable(ref)
	}
	return userapi.Record{Type: ref.Type, Object: found.Object, FetchedAt: found.FetchedAt}, err
}

func (s *source) membership(ctx context.Context, id string) (userapi.User, error) {
	organizationID, userID, _ := record.SplitMembershipID(id)
	from := membershipsOf(organizationID)
	from.query.Set("user_id", userID)
	l, _, err := s.read(ctx, from, "", "asc", pageSize)
	if err != nil {
		return userapi.User{}, err
	}
	for _, entry := range l.Entries {
		doc := payload.Value(entry.Object)
		if doc.Member("organization_id").Is(organizationID) && doc.Member("user_id").Is(userID) {
			return userapi.User{Object: entry.Object, FetchedAt: l.SentAt}, nil
		}
	}
	if l.Size() > 0 {
		return userapi.User{}, fault.Newf(fault.ProviderError, "read a membership of WorkOS: the list for one user has %d memberships, and not that one. "+
			"Is there a proxy on the way that drops parameters?", l.Size())
	}
	return userapi.User{}, userapi.ErrGone
}
