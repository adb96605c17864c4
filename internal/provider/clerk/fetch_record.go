package clerk

import (
	"context"
	"net/http"
	"net/url"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// Record reads an organization or an invitation by its id, and a membership from the list of its
// organization's by the id of the user: GetOrganization, GetOrganizationInvitation and
// ListOrganizationMemberships of Clerk's OpenAPI definition (github.com/clerk/openapi-specs,
// bapi/2026-05-12.yml). A session cannot be read: Clerk forgets old ones, so that a missing one proves
// nothing.
func (s *source) Record(ctx context.Context, ref userapi.RecordRef) (userapi.Record, error) {
	var found userapi.User
	var err error
	switch {
	case ref.Type == record.Organization:
		found, err = s.lookUp(ctx, ref.Ref, organizationPath(ref.ID))
	case ref.Type == record.Membership:
		found, err = s.membership(ctx, ref.ID)
	case ref.Type == record.Invitation && ref.OrganizationID != "":
		found, err = s.lookUp(ctx, ref.Ref, organizationPath(ref.OrganizationID)+"/invitations/"+url.PathEscape(ref.ID))
	default:
		err = userapi.Unreadable(ref)
	}
	return userapi.Record{Type: ref.Type, Object: found.Object, FetchedAt: found.FetchedAt}, err
}

func organizationPath(id string) string { return "/organizations/" + url.PathEscape(id) }

// lookUp reads the record of an id.
func (s *source) lookUp(ctx context.Context, ref record.Ref, path string) (userapi.User, error) {
	what := "read " + ref.Type.WithArticle()
	request := s.request(what, path, nil)
	request.MaxBody = maxUser
	answer, err := s.client.Do(ctx, request)
	if err == nil {
		err = s.noRecord(what, ref.Type, answer)
	}
	if err != nil {
		return userapi.User{}, err
	}
	return s.client.ReadObject(what, answer, userapi.Named{Kind: ref.Type, Key: keyID, ID: ref.ID})
}

// noRecord returns the error of an answer to a look-up, nil if it is the record. Of others than users, 403 is
// about this record alone: a secret key has no scopes, so whoever may list may look up.
func (s *source) noRecord(what string, of record.Type, answer *userapi.Response) error {
	switch {
	case answer.OK():
		return nil
	case isGone(answer):
		return userapi.ErrGone
	case isDisabled(answer):
		return fault.Newf(fault.Unsupported, "%s: %s (Clerk dashboard, Organizations)", what, off)
	case answer.Status == http.StatusForbidden && of != record.User:
		return s.client.Unexpected(what, answer, s.client.Say(readProblem(answer.Body).message))
	default:
		return s.refused(what, answer)
	}
}

// membership reads a membership. Clerk ignores the ids of users that it does not know, so the list is
// empty if there is none. A list that has others proves nothing.
func (s *source) membership(ctx context.Context, id string) (userapi.User, error) {
	const what = "read a membership"
	organizationID, userID, _ := record.SplitMembershipID(id)
	var l userapi.List
	request := s.request(what, organizationPath(organizationID)+"/memberships", url.Values{"user_id": {userID}, "limit": {"10"}})
	request.Read = func(body []byte) (err error) {
		l, err = readList(body)
		return err
	}
	answer, err := s.client.Do(ctx, request)
	if err == nil {
		err = s.noRecord(what, record.Membership, answer)
	}
	if err != nil {
		return userapi.User{}, err
	}
	for _, entry := range l.Entries {
		if isMembershipOf(payload.Value(entry.Object), organizationID, userID) {
			return userapi.User{Object: entry.Object, FetchedAt: answer.SentAt}, nil
		}
	}
	if l.Total > 0 || l.Size() > 0 {
		return userapi.User{}, fault.Newf(fault.ProviderError, "%s of Clerk: the list for one user has %d memberships, and not that one. "+
			"Is there a proxy on the way that drops the parameter user_id?", what, max(l.Total, l.Size()))
	}
	return userapi.User{}, userapi.ErrGone
}

func isMembershipOf(membership payload.Value, organizationID, userID string) bool {
	organization, user := membership.Member("organization"), membership.Member("public_user_data")
	return organization.IsObject() && organization.Member(keyID).Is(organizationID) && user.IsObject() && user.Member("user_id").Is(userID)
}
