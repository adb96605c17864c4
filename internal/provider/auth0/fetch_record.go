package auth0

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// Record reads an organization or an invitation by its id. A membership is looked for in the list of
// its user's organizations, which is short, where that of an organization's members may take a
// thousand calls. It does not have the member as the list of members has it.
func (s *source) Record(ctx context.Context, ref userapi.RecordRef) (found userapi.Record, err error) {
	var object userapi.User
	switch {
	case ref.Type == record.Organization:
		object, err = s.object(ctx, objectAddress{
			kind: ref.Type, permission: readOrganizations, path: organizationPath(ref.ID), key: keyOrganizationID, id: ref.ID,
		})
	case ref.Type == record.Membership:
		err = s.findMembership(ctx, ref.ID)
	case ref.Type == record.Invitation && ref.OrganizationID != "":
		object, err = s.object(ctx, objectAddress{
			kind: ref.Type, permission: readInvitations, key: keyOrganizationID, id: ref.ID,
			path: organizationPath(ref.OrganizationID) + "/" + inInvitations + "/" + url.PathEscape(ref.ID),
		})
	default:
		err = userapi.Unreadable(ref)
	}
	if isLack(err) { // one about this call alone: the lists have been read
		err = fault.New(fault.ProviderError, err.Error())
	}
	return userapi.Record{Type: ref.Type, Object: object.Object, FetchedAt: object.FetchedAt.Add(-s.Lag(ref.Type))}, err
}

// findMembership returns userapi.ErrGone if the organization is not among those of the user. Where
// they take more than one page, one that leaves the list moves another to a page that was read: the
// list then has to lack it twice.
func (s *source) findMembership(ctx context.Context, id string) error {
	organizationID, userID, _ := record.SplitMembershipID(id)
	for range 2 {
		pages, found, err := s.isAmong(ctx, userID, organizationID)
		switch {
		case err != nil || found:
			return err
		case pages <= 1:
			return userapi.ErrGone
		}
	}
	return userapi.ErrGone
}

const maxOrganizationPages = 20 // Auth0 lists no more than 1000 entries by page

// isAmong reads the organizations of a user until one of them is the one that is looked for, or a page
// is empty: Auth0 may give fewer than were asked for.
func (s *source) isAmong(ctx context.Context, userID, organizationID string) (pages int, found bool, err error) {
	for page := range maxOrganizationPages {
		l, err := s.organizationsOf(ctx, userID, page)
		switch {
		case err != nil:
			return 0, false, err
		case slices.Contains(l.IDs(), organizationID):
			return page + 1, true, nil
		case len(l.Bad) > 0: // it may be that one
			return 0, false, fault.New(fault.ProviderError, "list the organizations of a user: "+l.Bad[0].Reason)
		case l.Size() == 0:
			return page, false, nil
		}
	}
	return 0, false, fault.New(fault.ProviderError, "list the organizations of a user: there are more than 1000")
}

// organizationsOf requests a page of the organizations of a user.
func (s *source) organizationsOf(ctx context.Context, userID string, page int) (l userapi.List, err error) {
	const what = "list the organizations of a user"
	query := url.Values{"page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(maxTake)}}
	answer, err := s.doWith(ctx, readOrganizations, userapi.Request{
		What: what, URL: s.base + userPath(userID) + "/organizations?" + query.Encode(),
		Read: func(body []byte) error {
			list, err := payload.Parse(body)
			if err != nil {
				return err
			}
			if list.IsObject() {
				list = list.Member(inOrganizations)
			}
			if !list.IsArray() {
				return errors.New("it has no list of organizations")
			}
			l = userapi.Split(list, keyOrganizationID, keyCreatedAt)
			return nil
		},
	})
	switch {
	case err != nil:
		return userapi.List{}, err
	case isGone(answer): // without the user there is no membership either
		return userapi.List{}, userapi.ErrGone
	case !answer.OK():
		return userapi.List{}, s.unexpected(what, answer)
	}
	return l, nil
}
