package betterauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/provider/fetch"
	"github.com/authsync/authsync/internal/provider/payload"
)

const (
	pageSize  = 500
	remembers = 5 // ids of users who were read last
	listUsers = "list the users"

	// byID walks over all users, byNewest then back over those created meanwhile.
	byID     = "id"
	byNewest = "newest"
)

// clockSkew is how far the server's clock may be behind ours.
const clockSkew = 5 * time.Minute

// place is where a walk stands.
type place struct {
	Mode string `json:"mode"`
	// Offset is how many entries lie before the page that comes next.
	Offset int64 `json:"offset,omitempty"`
	// Recent are the ids that were read last, in their order.
	Recent []string `json:"recent,omitempty"`
	// Since is when the walk began.
	Since time.Time `json:"since,omitzero"`
}

// Page reads up to 500 users. A page by id begins with the user who was read
// last, to see that the list is still where it was: if users before were
// deleted it has moved up, and the walk looks further up for one it remembers.
func (s *source) Page(ctx context.Context, cursor string) (fetch.Page, error) {
	at := place{Mode: byID, Since: s.client.Now().UTC()}
	if cursor != "" {
		at = place{}
		if err := fetch.DecodeCursor(cursor, &at); err != nil {
			return fetch.Page{}, err
		}
	}
	switch {
	case at.Offset < 0:
		return fetch.Page{}, fetch.ForeignCursor()
	case at.Mode == byID:
		return s.pageByID(ctx, at)
	case at.Mode == byNewest:
		return s.pageByNewest(ctx, at)
	default:
		return fetch.Page{}, fetch.ForeignCursor()
	}
}

func (s *source) pageByID(ctx context.Context, at place) (fetch.Page, error) {
	for {
		from := max(at.Offset-1, 0)
		l, err := s.list(ctx, listUsers, byID, from, pageSize)
		if err != nil {
			return fetch.Page{}, err
		}
		rest, found := at.behind(l.entries)
		if !found && from > 0 {
			at.Offset = max(from-pageSize/2, 0)
			continue
		}
		page := l.page(rest)
		at.Offset = from + l.size()
		for _, entry := range rest {
			at.Recent = append(at.Recent, entry.ID)
		}
		at.Recent = at.Recent[max(len(at.Recent)-remembers, 0):]
		if at.Offset >= l.total {
			at = place{Mode: byNewest, Since: at.Since}
			if l.total == 0 {
				return page, nil
			}
		}
		page.Next, err = fetch.EncodeCursor(at)
		return page, err
	}
}

// behind returns the entries behind the user who was read last, or behind the
// last before who is still there.
func (at place) behind(entries []fetch.Entry) (rest []fetch.Entry, found bool) {
	for _, id := range slices.Backward(at.Recent) {
		i := slices.IndexFunc(entries, func(e fetch.Entry) bool { return e.ID == id })
		if i >= 0 {
			return entries[i+1:], true
		}
	}
	return entries, false
}

// pageByNewest reads the users who were created since the walk began. More of
// them push the list down, so that users come again rather than not at all.
func (s *source) pageByNewest(ctx context.Context, at place) (fetch.Page, error) {
	l, err := s.list(ctx, "list the newest users", byNewest, at.Offset, pageSize)
	if err != nil {
		return fetch.Page{}, err
	}
	since := at.Since.Add(-clockSkew)
	old := slices.IndexFunc(l.entries, func(e fetch.Entry) bool { return e.Created.Before(since) })
	if old >= 0 {
		l.bad = nil
		return l.page(l.entries[:old]), nil
	}
	page := l.page(l.entries)
	at.Offset += l.size()
	if at.Offset < l.total {
		page.Next, err = fetch.EncodeCursor(at)
	}
	return page, err
}

// list is one answer of list-users.
type list struct {
	sentAt  time.Time
	total   int64
	entries []fetch.Entry
	bad     []fetch.Bad
}

func (l list) size() int64 { return int64(len(l.entries) + len(l.bad)) }

func (l list) page(entries []fetch.Entry) fetch.Page {
	return fetch.Page{Users: fetch.Users(entries, l.sentAt), Bad: l.bad, Total: l.total}
}

// list asks for a part of the list. The server answers 200 and an empty list to
// any trouble with its database; but then it does not repeat the limit. So an
// answer without the limit is never a list, however it looks.
func (s *source) list(ctx context.Context, what, order string, offset, limit int64) (list, error) {
	query := url.Values{
		"limit": {strconv.FormatInt(limit, 10)}, "offset": {strconv.FormatInt(offset, 10)}, "sortBy": {keyID}, "sortDirection": {"asc"},
	}
	if order == byNewest {
		query.Set("sortBy", keyCreatedAt)
		query.Set("sortDirection", "desc")
	}
	var l list
	request := s.request(what, "/admin/list-users", query)
	request.Read = func(body []byte) error {
		doc, err := payload.Parse(body)
		if err != nil {
			return err
		}
		if !doc.IsObject() || !doc.Member("users").IsArray() {
			return errors.New("it has no list of users")
		}
		if string(doc.Member("limit")) != query.Get("limit") {
			return errors.New("it does not repeat the limit, which is how the server hides that its database failed: look at the server's own log")
		}
		if l.total, err = strconv.ParseInt(string(doc.Member("total")), 10, 64); err != nil || l.total < 0 {
			return errors.New("it does not say how many users there are")
		}
		l.entries, l.bad = fetch.Split(doc.Member("users"), keyID, keyCreatedAt)
		if l.size() <= 1 && limit > 1 && offset+l.size() < l.total {
			return fmt.Errorf("it ends at user %d although there are %d", offset+l.size(), l.total)
		}
		return nil
	}
	answer, err := s.client.Do(ctx, request)
	switch {
	case err != nil:
		return list{}, err
	case !answer.OK():
		return list{}, s.refused(what, answer)
	}
	l.sentAt = answer.SentAt
	return l, nil
}
