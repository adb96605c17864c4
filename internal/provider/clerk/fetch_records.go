package clerk

import (
	"context"
	"errors"
	"net/url"
	"strconv"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// recordList is a list of the whole instance. All of them can be ordered by created_at.
type recordList struct {
	name, path string
	of         record.Type
}

// recordLists returns the lists in the sequence in which they are read.
func recordLists() []recordList {
	return []recordList{
		{"organizations", "/organizations", record.Organization},
		{"memberships", "/organization_memberships", record.Membership},
		{"invitations", "/organization_invitations", record.Invitation},
	}
}

// errDisabled reports an instance whose organizations are turned off.
var errDisabled = errors.New("organizations are not enabled")

// Records reads up to 500 organizations, memberships or invitations, in order of creation and by
// position: see userapi.Positions. It ends each list where nothing follows what was read last.
func (s *source) Records(ctx context.Context, cursor string) (userapi.RecordPage, error) {
	lists := recordLists()
	names := make([]userapi.NamedList, len(lists))
	for i, list := range lists {
		names[i] = userapi.NamedList{Name: list.name, Of: list.of}
	}
	page, err := userapi.WalkLists(cursor, names, func(list int, at *userapi.ListPlace, page *userapi.RecordPage) (more bool, err error) {
		return s.readRecords(ctx, lists[list], at, page)
	})
	if errors.Is(err, errDisabled) {
		const off = "organizations are turned off in this Clerk instance, so there are none to read"
		page = userapi.RecordPage{Notes: []string{off}}
		page.Unlist(off, record.Organization, record.Membership, record.Invitation)
		return page, nil
	}
	return page, err
}

// readRecords adds the records after a place to a page, and moves the place.
func (s *source) readRecords(ctx context.Context, list recordList, at *userapi.ListPlace, page *userapi.RecordPage) (more bool, err error) {
	positions := s.positions(list)
	part, err := positions.Next(ctx, &at.Mark)
	if err != nil {
		return false, err
	}
	page.Add(list.of, list.name, &part.List)
	if part.Restarted {
		page.Notes = []string{"Clerk's list of " + list.name + " changed so much that it is read anew: what was read before counts twice"}
	}
	return !part.End, nil
}

func (s *source) positions(list recordList) userapi.Positions {
	return userapi.Positions{Name: "Clerk", Of: list.name, Client: s.client, List: func(ctx context.Context, from int64) (userapi.List, error) {
		return s.listRecords(ctx, list, from)
	}}
}

// Record reads an organization or an invitation by its id. A membership has no address that is known
// from the mirror: it is looked for among those of its user, of which there are few.
func (s *source) Record(ctx context.Context, ref userapi.RecordRef) (userapi.Record, error) {
	var found userapi.User
	var err error
	switch {
	case ref.Type == record.Organization:
		found, err = s.object(ctx, ref.Type, "/organizations/"+url.PathEscape(ref.ID), ref.ID)
	case ref.Type == record.Membership:
		found, err = s.membership(ctx, ref.ID)
	case ref.Type == record.Invitation && ref.OrganizationID != "":
		path := "/organizations/" + url.PathEscape(ref.OrganizationID) + "/invitations/" + url.PathEscape(ref.ID)
		found, err = s.object(ctx, ref.Type, path, ref.ID)
	default:
		err = userapi.Unreadable(ref)
	}
	return userapi.Record{Type: ref.Type, Object: found.Object, FetchedAt: found.FetchedAt}, err
}

// membership looks for a membership in the whole list of its user.
func (s *source) membership(ctx context.Context, id string) (userapi.User, error) {
	organizationID, userID, _ := record.SplitMembershipID(id)
	positions := s.positions(recordList{"memberships of a user", "/users/" + url.PathEscape(userID) + "/organization_memberships", record.Membership})
	for at := (userapi.Mark{}); ; {
		part, err := positions.Next(ctx, &at)
		if err != nil {
			return userapi.User{}, err
		}
		for _, entry := range part.Entries {
			if of := payload.Value(entry.Object).Member("organization"); of.IsObject() && of.Member(keyID).Is(organizationID) {
				return userapi.User{Object: entry.Object, FetchedAt: part.SentAt}, nil
			}
		}
		switch {
		case len(part.Bad) > 0: // it may be that one
			return userapi.User{}, fault.New(fault.ProviderError, "list the memberships of a user: "+part.Bad[0].Reason)
		case part.End:
			return userapi.User{}, userapi.ErrGone
		}
	}
}

// listRecords requests a part of a list from a position on.
func (s *source) listRecords(ctx context.Context, list recordList, from int64) (l userapi.List, err error) {
	what := "list the " + list.name
	request := s.request(what, list.path, url.Values{
		"limit": {strconv.Itoa(pageSize)}, byOffset: {strconv.FormatInt(from, 10)}, "order_by": {"+" + keyCreatedAt},
	})
	request.Read = func(body []byte) error {
		doc, err := payload.Parse(body)
		if err != nil {
			return err
		}
		if !doc.IsObject() || !doc.Member("data").IsArray() {
			return errors.New("it has no list")
		}
		total, err := strconv.ParseInt(string(doc.Member("total_count")), 10, 64)
		if err != nil || total < 0 {
			return errors.New("it does not say how many there are")
		}
		l = userapi.Split(doc.Member("data"), keyID, keyCreatedAt)
		l.Total = total
		return nil
	}
	answer, err := s.client.Do(ctx, request)
	switch {
	case err != nil:
		return userapi.List{}, err
	case !answer.OK() && readProblem(answer.Body).code == "organization_not_enabled_in_instance":
		return userapi.List{}, errDisabled
	case isGone(answer) && list.path != "/"+list.name:
		return userapi.List{}, userapi.ErrGone
	case !answer.OK():
		return userapi.List{}, s.refused(what, answer)
	}
	l.SentAt = answer.SentAt
	return l, nil
}
