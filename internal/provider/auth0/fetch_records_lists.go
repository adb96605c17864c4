package auth0

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
)

func organizationPath(id string) string { return "/api/v2/organizations/" + url.PathEscape(id) }

// The answers to a list that are neither one nor a failure.
var (
	// errCheckpoint: it does not know the checkpoint, which has expired.
	errCheckpoint = errors.New("the checkpoint is unknown")
	// errNotFound: the organization was deleted meanwhile.
	errNotFound = errors.New("the organization does not exist")
)

const (
	maxTake       = 100     // entries per page of a list with checkpoints; Auth0's maximum
	maxCheckpoint = 4 << 10 // bytes; it is stored with each page
)

// checkpointList is a list that is paged by checkpoint.
type checkpointList struct {
	what, permission, path string
	key, id                string // of the list in an answer, and of an entry's id
	from                   string // the checkpoint; empty at first
	query                  url.Values
	maxBody                int64 // 0: the default of userapi.Request
}

// address is the URL of the page.
func (c *checkpointList) address(base string) string {
	query := url.Values{"take": {strconv.Itoa(maxTake)}}
	maps.Copy(query, c.query)
	if c.from != "" {
		query.Set("from", c.from)
	}
	return base + c.path + "?" + query.Encode()
}

// listFrom requests a page. next is empty at the end: Auth0 may name one behind the last page, which
// is empty.
func (s *source) listFrom(ctx context.Context, c checkpointList) (l userapi.List, next string, err error) {
	answer, err := s.doWith(ctx, c.permission, userapi.Request{
		What: c.what, URL: c.address(s.base),
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
			if l.Size() > maxTake { // their ids are part of the walk's place
				return fault.Newf(fault.ProviderError, "%s of Auth0: the answer has %d entries where at most %d were asked for. "+
					"Is there a proxy on the way that drops the parameter take?", c.what, l.Size(), maxTake)
			}
			if v := doc.Member("next"); v.IsText() && l.Size() > 0 {
				next, _ = v.Text()
			}
			if len(next) > maxCheckpoint {
				return fault.Newf(fault.ProviderError, "%s of Auth0: its checkpoint next is longer than %d bytes", c.what, maxCheckpoint)
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
// on: Auth0 takes no position, only pages of one size, which may have so many entries.
func window(from, most int64) (page, size int64) {
	best := int64(-1)
	for s := most; s > 0; s-- {
		if shown := (from/s+1)*s - from; shown > best {
			best, page, size = shown, from/s, s
		}
	}
	return page, size
}

// listInvitations lists a part of the invitations of an organization from a position on. Auth0 does
// not say how many there are, nor whether it has given fewer than were asked for: where an answer
// seems to be the last, what follows it is asked for. Total is therefore exact there, and one more
// than is known where more may follow.
func (s *source) listInvitations(ctx context.Context, organizationID string, from int64) (userapi.List, error) {
	most := int64(invitationsPage)
	for {
		page, size := window(from, most)
		l, err := s.pageOfInvitations(ctx, organizationID, page, size)
		if err != nil {
			return userapi.List{}, err
		}
		read := l.Size()
		l.Total = page*size + read
		switch {
		case read >= size:
			l.Total++
		case read > 0:
			behind, err := s.pageOfInvitations(ctx, organizationID, l.Total, 1)
			if err != nil {
				return userapi.List{}, err
			}
			if behind.Size() > 0 { // the pages are smaller than asked for
				most = read
				continue
			}
		}
		l.DropFirst(from - page*size)
		return l, nil
	}
}

// pageOfInvitations requests a page of the invitations of an organization.
func (s *source) pageOfInvitations(ctx context.Context, organizationID string, page, size int64) (l userapi.List, err error) {
	const what = "list the invitations of an organization"
	query := url.Values{
		"page": {strconv.FormatInt(page, 10)}, "per_page": {strconv.FormatInt(size, 10)}, "include_totals": {"true"}, "sort": {keyCreatedAt + ":1"},
	}
	answer, err := s.doWith(ctx, readInvitations, userapi.Request{
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
		return userapi.List{}, err
	}
	l.SentAt = answer.SentAt
	return l, s.unlisted(what, answer)
}

// unlisted returns the error of an answer that is no list, nil for a list.
func (s *source) unlisted(what string, answer *userapi.Response) error {
	switch {
	case answer.OK():
		return nil
	case isGone(answer):
		return errNotFound
	default:
		return s.unexpected(what, answer)
	}
}
