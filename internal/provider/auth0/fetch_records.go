package auth0

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

const (
	recordTake       = 100 // entries per page of a list with checkpoints; Auth0's maximum
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
	Known int64 `json:"known,omitempty"`
	// From is the checkpoint of the next page of organizations, and Pages proves that it makes
	// progress. Checkpoints live for a day.
	From  string       `json:"from,omitempty"`
	Pages userapi.Mark `json:"pages,omitzero"`
	// Left are the organizations of a page whose members or invitations are not read yet; those of
	// the first are being read. Last says that no page follows.
	Left []string `json:"left,omitempty"`
	Last bool     `json:"last,omitempty"`
	// Inner and InnerFrom are Pages and From for the list of one organization.
	Inner     userapi.Mark `json:"inner,omitzero"`
	InnerFrom string       `json:"inner_from,omitempty"`
	// The permissions that the application lacks.
	NoMembers     bool `json:"no_members,omitempty"`
	NoRoles       bool `json:"no_roles,omitempty"`
	NoInvitations bool `json:"no_invitations,omitempty"`
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
	case at.Inner.Offset < 0 || at.Pages.Offset < 0:
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
	}
	if err == nil && !walk.ended {
		walk.page.Next, err = userapi.EncodeCursor(walk.recordPlace)
	}
	if err != nil {
		return userapi.RecordPage{}, err
	}
	return walk.page, nil
}

// recordWalk reads one page and moves the place.
type recordWalk struct {
	*source
	recordPlace

	page  userapi.RecordPage
	ended bool
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

// costOf says how long reading the members and invitations takes. Auth0 does not tell which plan a
// tenant has.
func costOf(organizations int64) string {
	calls := 2*organizations + (organizations+recordTake-1)/recordTake
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
		w.page.Bad = append(w.page.Bad, userapi.Bad{Place: w.List + " of " + w.Left[0], Reason: stuck.Error()})
		more, err = false, nil
	}
	if err != nil || more {
		return err
	}
	w.Inner, w.InnerFrom = userapi.Mark{}, ""
	if w.List == inMembers && !w.NoInvitations {
		w.List = inInvitations
		return nil
	}
	w.List, w.Left = inMembers, w.Left[1:]
	w.ended = len(w.Left) == 0 && w.Last || w.NoMembers && w.NoInvitations
	return nil
}

// nextOrganizations reads the next page of organizations and moves From; Last says that it is the
// last one.
func (w *recordWalk) nextOrganizations(ctx context.Context) (userapi.List, error) {
	l, next, err := w.listFrom(ctx, checkpointList{
		what: "list the organizations", permission: readOrganizations, path: "/api/v2/organizations", key: inOrganizations, id: keyOrganizationID, from: w.From,
	})
	switch {
	case errors.Is(err, errCheckpoint) && w.Pages.Rewinds < maxRecordRewinds:
		w.note("Auth0 no longer knows where the list of organizations was left, so that it is read anew: what was read before counts twice")
		w.From, w.Last, w.Known, w.Pages = "", false, 0, userapi.Mark{Rewinds: w.Pages.Rewinds + 1}
		return userapi.List{}, nil
	case errors.Is(err, errCheckpoint):
		return l, userapi.NoProgressOf(inOrganizations, "Auth0", "it knows none of its checkpoints", w.Pages.Offset, 0)
	case errors.Is(err, errNotFound):
		return l, fault.New(fault.ProviderError, "list the organizations of Auth0: the server answered 404 Not Found")
	case err != nil:
		return l, err
	case w.Pages.Repeats(l.IDs()):
		return l, userapi.NoProgressOf(inOrganizations, "Auth0",
			fmt.Sprintf("behind entry %d it gives entries again that were read before", w.Pages.Offset), w.Pages.Offset, 0)
	}
	w.Pages.Add(l.IDs())
	w.Pages.Offset += l.Size()
	w.From, w.Last = next, next == ""
	return l, nil
}

// members reads a page of the members of an organization, with their roles if that is allowed.
func (w *recordWalk) members(ctx context.Context, organizationID string) (more bool, err error) {
	const what = "list the members of an organization"
	list := checkpointList{
		what: what, permission: readMembers, path: organizationPath(organizationID) + "/members", key: inMembers, id: keyUserID, from: w.InnerFrom,
		query: url.Values{"fields": {"user_id,email,picture,name,roles"}, "include_fields": {"true"}},
	}
	if w.NoRoles {
		list.query = nil
	}
	l, next, err := w.listFrom(ctx, list)
	if isLack(err) && !w.NoRoles { // which of the two permissions it lacks is known without the roles
		list.query = nil
		if l, next, err = w.listFrom(ctx, list); err == nil {
			w.NoRoles = true
			w.note("memberships are read without their roles: " + (&permissionError{permission: readMemberRoles, what: what}).Error())
		}
	}
	switch {
	case isLack(err):
		w.NoMembers = true
		w.note("memberships are not read: " + err.Error())
		return false, nil
	case errors.Is(err, errNotFound):
		return false, nil
	case errors.Is(err, errCheckpoint) && w.Inner.Rewinds < maxRecordRewinds:
		w.InnerFrom, w.Inner = "", userapi.Mark{Rewinds: w.Inner.Rewinds + 1}
		return true, nil
	case errors.Is(err, errCheckpoint):
		return false, userapi.NoProgressOf(inMembers, "Auth0", "it knows none of its checkpoints", w.Inner.Offset, 0)
	case err != nil:
		return false, err
	case w.Inner.Repeats(l.IDs()):
		return false, userapi.NoProgressOf(inMembers, "Auth0",
			fmt.Sprintf("behind entry %d it gives entries again that were read before", w.Inner.Offset), w.Inner.Offset, 0)
	}
	for i := range l.Entries {
		l.Entries[i].Object = memberOf(organizationID, l.Entries[i].Object)
	}
	w.page.Add(record.Membership, inMembers+" of "+organizationID, &l)
	w.Inner.Add(l.IDs())
	w.Inner.Offset += l.Size()
	w.InnerFrom = next
	return next != "", nil
}

// memberOf gives a member the form that the object of an event about one has.
func memberOf(organizationID string, member []byte) []byte {
	object := append([]byte(`{"organization":{"id":`), strconv.Quote(organizationID)...)
	return append(append(append(object, `},"user":`...), member...), '}')
}

// invitations reads a page of the invitations of an organization, the oldest first. An invitation
// leaves the list when it is accepted, so the list is read by position: see userapi.Positions.
func (w *recordWalk) invitations(ctx context.Context, organizationID string) (more bool, err error) {
	full := false
	positions := userapi.Positions{Name: "Auth0", Of: inInvitations, Client: w.client, List: func(ctx context.Context, from int64) (l userapi.List, err error) {
		l, full, err = w.listInvitations(ctx, organizationID, from)
		return l, err
	}}
	part, err := positions.Next(ctx, &w.Inner)
	switch {
	case isLack(err):
		w.NoInvitations = true
		w.note("invitations are not read: " + err.Error())
		return false, nil
	case errors.Is(err, errNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	w.page.Add(record.Invitation, inInvitations+" of "+organizationID, &part.List)
	return part.Restarted || full && !part.End, nil
}

func organizationPath(id string) string { return "/api/v2/organizations/" + url.PathEscape(id) }

// The answers to a list that are neither one nor a failure.
var (
	// errCheckpoint: it does not know the checkpoint, which has expired.
	errCheckpoint = errors.New("the checkpoint is unknown")
	// errNotFound: the organization was deleted meanwhile.
	errNotFound = errors.New("the organization does not exist")
)

// permissionError says which permission the application lacks.
type permissionError struct{ permission, what string }

func (e *permissionError) Error() string {
	return fmt.Sprintf("the Auth0 application of credentials.client_id lacks the permission %s (403, %s): grant it (%s)", e.permission, e.what, wherePermission)
}

func isLack(err error) bool {
	_, is := errors.AsType[*permissionError](err)
	return is
}

// checkpointList is a list that is paged by checkpoint.
type checkpointList struct {
	what, permission, path string
	key, id                string // of the list in an answer, and of an entry's id
	from                   string
	query                  url.Values
}

// listFrom requests a page. next is empty at the end: Auth0 may name one behind the last page, which
// is empty.
func (s *source) listFrom(ctx context.Context, c checkpointList) (l userapi.List, next string, err error) {
	query := url.Values{"take": {strconv.Itoa(recordTake)}}
	maps.Copy(query, c.query)
	if c.from != "" {
		query.Set("from", c.from)
	}
	answer, err := s.askRecords(ctx, c.permission, userapi.Request{
		What: c.what, URL: s.base + c.path + "?" + query.Encode(),
		Read: func(body []byte) error {
			doc, err := payload.Parse(body)
			if err != nil {
				return err
			}
			if !doc.IsObject() || !doc.Member(c.key).IsArray() {
				return fault.Newf(fault.ProviderError, "%s of Auth0: the answer is no list with checkpoints. "+
					"Is there a proxy on the way that drops the parameters take and from?", c.what)
			}
			l = userapi.Split(doc.Member(c.key), c.id, keyCreatedAt)
			if v := doc.Member("next"); v.IsText() && l.Size() > 0 {
				next, _ = v.Text()
			}
			return nil
		},
	})
	switch {
	case err != nil:
		return userapi.List{}, "", err
	case c.from != "" && (answer.Status == http.StatusBadRequest || answer.Status == http.StatusNotFound):
		return userapi.List{}, "", errCheckpoint
	}
	l.SentAt = answer.SentAt
	return l, next, s.unlisted(c.what, answer)
}

// window returns the number and the size of the page that shows the most of a list from a position
// on: Auth0 takes no position, only pages of one size.
func window(from int64) (page, size int64) {
	best := int64(-1)
	for s := int64(invitationsPage); s > 0; s-- {
		if shown := (from/s+1)*s - from; shown > best {
			best, page, size = shown, from/s, s
		}
	}
	return page, size
}

// listInvitations requests a part of the invitations of an organization from a position on. Auth0
// does not say how many there are; full reports that more may follow.
func (s *source) listInvitations(ctx context.Context, organizationID string, from int64) (l userapi.List, full bool, err error) {
	const what = "list the invitations of an organization"
	page, size := window(from)
	query := url.Values{
		"page": {strconv.FormatInt(page, 10)}, "per_page": {strconv.FormatInt(size, 10)}, "include_totals": {"true"}, "sort": {keyCreatedAt + ":1"},
	}
	answer, err := s.askRecords(ctx, readInvitations, userapi.Request{
		What: what, URL: s.base + organizationPath(organizationID) + "/invitations?" + query.Encode(),
		Read: func(body []byte) error {
			list, err := payload.Parse(body)
			if err != nil {
				return err
			}
			if list.IsObject() {
				list = list.Member(inInvitations)
			}
			if !list.IsArray() {
				return errors.New("it has no list of invitations")
			}
			l = userapi.Split(list, keyOrganizationID, keyCreatedAt)
			return nil
		},
	})
	if err != nil {
		return userapi.List{}, false, err
	}
	full = l.Size() >= size
	l.DropFirst(from - page*size)
	l.SentAt = answer.SentAt
	return l, full, s.unlisted(what, answer)
}

// askRecords sends a request that needs a permission; the error for its lack is a *permissionError.
func (s *source) askRecords(ctx context.Context, permission string, r userapi.Request) (*userapi.Response, error) {
	answer, err := s.doWith(ctx, permission, r)
	if answer != nil && answer.Status == http.StatusForbidden {
		return nil, &permissionError{permission: permission, what: r.What}
	}
	return answer, err
}

// unlisted returns the error of an answer that is no list, nil for a list.
func (s *source) unlisted(what string, answer *userapi.Response) error {
	switch {
	case answer.OK():
		return nil
	case answer.Status == http.StatusNotFound && readProblem(answer.Body).StatusCode == http.StatusNotFound:
		return errNotFound
	default:
		return s.unexpected(what, answer)
	}
}
