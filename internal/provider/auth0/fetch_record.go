package auth0

import (
	"context"
	"encoding/json"
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
// thousand calls; it then has its roles, as far as they may be read, but not the member's profile.
//
// The addresses are those of Auth0's Management API definition (github.com/auth0/node-auth0,
// src/management/api/resources): organizations.get, organizations.invitations.get,
// users.organizations.list and organizations.members.roles.list.
func (s *source) Record(ctx context.Context, ref userapi.RecordRef) (found userapi.Record, err error) {
	var object userapi.User
	switch {
	case ref.Type == record.Organization:
		object, err = s.object(ctx, objectAddress{
			kind: ref.Type, permission: readOrganizations, path: organizationPath(ref.ID), key: keyOrganizationID, id: ref.ID,
		})
	case ref.Type == record.Membership:
		object, err = s.membership(ctx, ref.ID)
	case ref.Type == record.Invitation && ref.OrganizationID != "":
		object, err = s.object(ctx, objectAddress{
			kind: ref.Type, permission: readInvitations, key: keyOrganizationID, id: ref.ID,
			path: organizationPath(ref.OrganizationID) + "/" + inInvitations + "/" + url.PathEscape(ref.ID),
		})
	default:
		err = userapi.Unreadable(ref)
	}
	if isLack(err) { // one about this call alone: the lists have been read
		err = fault.New(fault.Unsupported, err.Error())
	}
	return userapi.Record{Type: ref.Type, Object: object.Object, FetchedAt: object.FetchedAt.Add(-s.Lag(ref.Type))}, err
}

// membership reads a membership, without an object if its roles may not be read.
func (s *source) membership(ctx context.Context, id string) (userapi.User, error) {
	if err := s.findMembership(ctx, id); err != nil {
		return userapi.User{}, err
	}
	organizationID, userID, _ := record.SplitMembershipID(id)
	roles, err := s.rolesOf(ctx, organizationID, userID)
	if isLack(err) {
		return userapi.User{}, nil
	}
	if err != nil {
		return userapi.User{}, err
	}
	objects := make([]json.RawMessage, len(roles.Entries))
	for i, entry := range roles.Entries {
		objects[i] = entry.Object
	}
	user, err := json.Marshal(map[string]any{keyUserID: userID, "roles": objects})
	return userapi.User{Object: memberOf(organizationID, user), FetchedAt: roles.SentAt}, err
}

// maxRoles is more than the 50 that Auth0 assigns to a user.
const maxRoles = 100

// rolesOf reads the roles of a member. An answer that may not have all of them is an error.
func (s *source) rolesOf(ctx context.Context, organizationID, userID string) (l userapi.List, err error) {
	const what = "list the roles of a member"
	query := url.Values{"per_page": {strconv.Itoa(maxRoles)}, "include_totals": {"true"}}
	answer, err := s.doWith(ctx, readMemberRoles, userapi.Request{
		What: what, URL: s.base + organizationPath(organizationID) + "/members/" + escapeUserID(userID) + "/roles?" + query.Encode(),
		Read: func(body []byte) error {
			list, err := payload.Parse(body)
			if err != nil {
				return err
			}
			total := payload.Value(nil)
			if list.IsObject() {
				list, total = list.Member("roles"), list.Member("total")
			}
			if !list.IsArray() {
				return errors.New("it has no list of roles")
			}
			l = userapi.Split(list, keyOrganizationID, keyCreatedAt)
			if n, err := strconv.ParseInt(string(total), 10, 64); err == nil && n != l.Size() || l.Size() >= maxRoles || len(l.Bad) > 0 {
				return fault.Newf(fault.ProviderError, "%s of Auth0: the answer may not have all of them (it has %d)", what, len(l.Entries))
			}
			return nil
		},
	})
	switch {
	case err != nil:
		return userapi.List{}, err
	case !answer.OK():
		return userapi.List{}, s.unexpected(what, answer)
	}
	l.SentAt = answer.SentAt
	return l, nil
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
