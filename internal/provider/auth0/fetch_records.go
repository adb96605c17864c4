package auth0

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

const (
	invitationsPage  = 50
	maxRecordRewinds = 5 // of one list

	readOrganizations = "read:organizations"
	readMembers       = "read:organization_members"
	readMemberRoles   = "read:organization_member_roles"
	readInvitations   = "read:organization_invitations"

	keyOrganizationID = "id"
)

// The lists, in the sequence in which they are read: first all organizations, which says how many
// there are, and then, organization by organization, its members and its invitations.
const (
	inOrganizations = "organizations"
	inMembers       = "members"
	inInvitations   = "invitations"
)

// recordPlace is the position of a walk through the lists.
type recordPlace struct {
	List string `json:"list"`
	// Known is the number of organizations read.
	Known         int64      `json:"known,omitempty"`
	Organizations checkpoint `json:"organizations,omitzero"`
	// Left are the organizations of a page whose members or invitations are not read yet; those of
	// the first are being read. Last says that no page follows.
	Left []string `json:"left,omitempty"`
	Last bool     `json:"last,omitempty"`
	// Inner is the place in the list of one organization.
	Inner checkpoint `json:"inner,omitzero"`
	// The permissions that the application lacks.
	NoMembers     bool `json:"no_members,omitempty"`
	NoRoles       bool `json:"no_roles,omitempty"`
	NoInvitations bool `json:"no_invitations,omitempty"`
}

// checkpoint is the place in a list that is paged by checkpoint, of which From is that of the next
// page. Checkpoints live for a day. The list of invitations is paged by position and has the mark
// alone.
type checkpoint struct {
	From string `json:"from,omitempty"`
	userapi.Mark
}

// follow moves the place past an answer to listFrom. It reports that the list begins anew, because
// Auth0 no longer knows the checkpoint, and fails if the list makes no progress.
func (c *checkpoint) follow(list string, l *userapi.List, next string, err error) (anew bool, _ error) {
	stuck := func(how string) error { return userapi.NoProgressOf(list, "Auth0", how, c.Offset, 0) }
	ids := l.IDs()
	switch {
	case errors.Is(err, errCheckpoint) && c.Rewinds < maxRecordRewinds:
		*c = checkpoint{Mark: userapi.Mark{Rewinds: c.Rewinds + 1}}
		return true, nil
	case errors.Is(err, errCheckpoint):
		return false, stuck("it knows none of its checkpoints")
	case err != nil:
		return false, err
	case len(ids) == 0 && next != "": // nothing would tell whether it is a loop
		return false, stuck("it gives entries without an id")
	case c.Repeats(ids):
		return false, stuck(fmt.Sprintf("behind entry %d it gives entries again that were read before", c.Offset))
	}
	c.Add(ids)
	c.Offset += l.Size()
	c.From = next
	return false, nil
}

// Records reads up to 100 organizations, or members or up to 50 invitations of one organization. A
// list whose permission the application lacks is left out. A list of one organization that makes no
// progress is a bad entry, so that the others are read all the same.
func (s *source) Records(ctx context.Context, cursor string) (userapi.RecordPage, error) {
	at := recordPlace{List: inOrganizations}
	if cursor != "" {
		at = recordPlace{}
		if err := userapi.DecodeCursor(cursor, &at); err != nil {
			return userapi.RecordPage{}, err
		}
	}
	walk := recordWalk{source: s, recordPlace: at}
	var err error
	switch {
	case at.Inner.Offset < 0 || at.Organizations.Offset < 0:
		return userapi.RecordPage{}, userapi.ForeignCursor()
	case at.List == inOrganizations:
		err = walk.organizations(ctx)
	case at.List == inMembers || at.List == inInvitations:
		err = walk.ofOrganization(ctx)
	default:
		return userapi.RecordPage{}, userapi.ForeignCursor()
	}
	if lacks, is := errors.AsType[*permissionError](err); is {
		walk.ended, err = true, nil
		walk.note("organizations, memberships and invitations are not read: " + lacks.Error())
		walk.page.Unlist(lacks.Error(), record.Organization, record.Membership, record.Invitation)
	}
	if err == nil && !walk.ended {
		walk.page.Next, err = userapi.EncodeCursor(walk.recordPlace)
	}
	if err != nil {
		return userapi.RecordPage{}, err
	}
	for i := range walk.page.Records {
		r := &walk.page.Records[i]
		r.FetchedAt = r.FetchedAt.Add(-s.Lag(r.Type))
	}
	return walk.page, nil
}

// Lag is a minute for all but users. Auth0 says of the list of members that new ones may be missing in it
// and former ones not ("eventual consistency", GET /api/v2/organizations/{id}/members), and promises
// immediate consistency only for users by id (User Search); no figure is given, some seconds were seen.
func (s *source) Lag(t record.Type) time.Duration {
	if t == record.User {
		return 0
	}
	return time.Minute
}

// recordWalk reads one page and moves the place.
type recordWalk struct {
	*source
	recordPlace

	page  userapi.RecordPage
	ended bool
}

// of is what the list that is being read holds.
func (w *recordWalk) of() record.Type {
	if w.List == inInvitations {
		return record.Invitation
	}
	return record.Membership
}

func (w *recordWalk) note(text string) { w.page.Notes = append(w.page.Notes, text) }

// organizations reads a page of organizations, all of which come before the first member.
func (w *recordWalk) organizations(ctx context.Context) error {
	l, err := w.nextOrganizations(ctx)
	if err != nil {
		return err
	}
	w.page.Add(record.Organization, inOrganizations, &l)
	w.Known += int64(len(l.Entries))
	if !w.Last {
		return nil
	}
	if w.Known == 0 {
		w.ended = true
		return nil
	}
	w.note(costOf(w.Known))
	w.recordPlace = recordPlace{List: inMembers, Known: w.Known}
	return nil
}

// costOf says how long reading the members and invitations takes at least: an organization that has
// invitations takes one call more, and each further page one. Auth0 does not tell which plan a tenant
// has.
func costOf(organizations int64) string {
	calls := 2*organizations + (organizations+maxTake-1)/maxTake
	at := func(perMinute int64) string {
		return (time.Duration(calls) * time.Minute / time.Duration(perMinute)).Round(time.Second).String()
	}
	return fmt.Sprintf("Auth0 lists members and invitations by organization: for %d organizations that is at least %d calls, "+
		"about %s at 50 a minute (plans Essentials and Professional), %s at 2 a second (Free), %s at 16 a second (Enterprise)",
		organizations, calls, at(50), at(2*60), at(16*60))
}

// ofOrganization reads a page of the members or the invitations of an organization.
func (w *recordWalk) ofOrganization(ctx context.Context) error {
	if len(w.Left) == 0 {
		l, err := w.nextOrganizations(ctx)
		if err != nil {
			return err
		}
		w.Left = l.IDs()
		w.List = inMembers
		if len(w.Left) == 0 {
			w.ended = w.Last
			return nil
		}
	}
	if w.List == inMembers && w.NoMembers {
		w.List = inInvitations
	}
	read := w.members
	if w.List == inInvitations {
		read = w.invitations
	}
	more, err := read(ctx, w.Left[0])
	if stuck, is := fault.As(err); is && stuck.Code == fault.ProviderError {
		place := w.List + " of " + w.Left[0]
		w.page.Bad = append(w.page.Bad, userapi.Bad{Place: place, Reason: stuck.Error()})
		w.page.Unlist(place+": "+stuck.Error(), w.of())
		more, err = false, nil
	}
	if err != nil || more {
		return err
	}
	w.Inner = checkpoint{}
	if w.List == inMembers && !w.NoInvitations {
		w.List = inInvitations
		return nil
	}
	w.List, w.Left = inMembers, w.Left[1:]
	w.ended = len(w.Left) == 0 && w.Last || w.NoMembers && w.NoInvitations
	return nil
}

// nextOrganizations reads the next page of organizations and moves the place; Last says that it is
// the last one.
func (w *recordWalk) nextOrganizations(ctx context.Context) (userapi.List, error) {
	l, next, err := w.listFrom(ctx, checkpointList{
		what: "list the organizations", permission: readOrganizations, path: "/api/v2/organizations", key: inOrganizations, id: keyOrganizationID,
		from: w.Organizations.From,
	})
	anew, err := w.Organizations.follow(inOrganizations, &l, next, err)
	switch {
	case errors.Is(err, errNotFound):
		return userapi.List{}, fault.New(fault.ProviderError, "list the organizations of Auth0: the server answered 404 Not Found")
	case err != nil:
		return userapi.List{}, err
	case anew:
		w.note("Auth0 no longer knows where the list of organizations was left, so that it is read anew: what was read before counts twice")
		w.Last, w.Known = false, 0
	default:
		w.Last = next == ""
	}
	return l, nil
}

// members reads a page of the members of an organization, with their roles if that is allowed.
func (w *recordWalk) members(ctx context.Context, organizationID string) (more bool, err error) {
	list := checkpointList{
		what: "list the members of an organization", permission: readMembers, path: organizationPath(organizationID) + "/members", key: inMembers, id: keyUserID,
		from: w.Inner.From,
	}
	if !w.NoRoles {
		list.query = url.Values{"fields": {"user_id,email,picture,name,roles"}, "include_fields": {"true"}}
	}
	l, next, err := w.listFrom(ctx, list)
	if lack, is := errors.AsType[*permissionError](err); is && !w.NoRoles { // which of the two permissions it lacks is known without the roles
		list.query = nil
		if l, next, err = w.listFrom(ctx, list); err == nil {
			w.NoRoles = true
			lack.permission = readMemberRoles
			w.note("memberships are read without their roles: " + lack.Error())
		}
	}
	anew, err := w.Inner.follow(inMembers, &l, next, err)
	switch {
	case isLack(err):
		w.NoMembers = true
		w.note("memberships are not read: " + err.Error())
		w.page.Unlist(err.Error(), record.Membership)
		return false, nil
	case errors.Is(err, errNotFound):
		return false, nil
	case err != nil || anew:
		return anew, err
	}
	for i := range l.Entries {
		l.Entries[i].Object = memberOf(organizationID, l.Entries[i].Object)
	}
	w.page.Add(record.Membership, inMembers+" of "+organizationID, &l)
	return next != "", nil
}

// memberOf gives a member the form that the object of an event about one has.
func memberOf(organizationID string, member []byte) []byte {
	id, _ := json.Marshal(organizationID) //nolint:errchkjson // a text always has a form
	return slices.Concat([]byte(`{"organization":{"id":`), id, []byte(`},"user":`), member, []byte("}"))
}

// invitations reads a page of the invitations of an organization, the oldest first. An invitation
// leaves the list when it is accepted, so the list is read by position: see userapi.Positions.
func (w *recordWalk) invitations(ctx context.Context, organizationID string) (more bool, err error) {
	positions := userapi.Positions{Name: "Auth0", Of: inInvitations, Client: w.client, List: func(ctx context.Context, from int64) (userapi.List, error) {
		return w.listInvitations(ctx, organizationID, from)
	}}
	part, err := positions.Next(ctx, &w.Inner.Mark)
	switch {
	case isLack(err):
		w.NoInvitations = true
		w.note("invitations are not read: " + err.Error())
		w.page.Unlist(err.Error(), record.Invitation)
		return false, nil
	case errors.Is(err, errNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	w.page.Add(record.Invitation, inInvitations+" of "+organizationID, &part.List)
	return part.Restarted || !part.End && w.Inner.Offset < part.Total, nil
}
