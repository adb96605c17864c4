package clerk

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/authsync/authsync/internal/provider/fetch"
	"github.com/authsync/authsync/internal/provider/payload"
)

// The ways to walk. By cursor Clerk says what comes behind a user; by offset it
// says what stands at a position, which moves when users are deleted: such a
// page begins one user before, and looks further up if that one is not there.
const (
	byCursor = "starting_after"
	byOffset = "offset"
)

// place is where a walk stands.
type place struct {
	Mode string `json:"mode"`
	fetch.Mark
}

// Page reads up to 500 users. The walk is over with a page that is not full.
func (s *source) Page(ctx context.Context, cursor string) (fetch.Page, error) {
	at := place{Mode: byCursor}
	if cursor != "" {
		at.Mode = ""
		if err := fetch.DecodeCursor(cursor, &at); err != nil {
			return fetch.Page{}, err
		}
	}
	switch at.Mode {
	case byCursor:
	case byOffset:
		return s.pageByOffset(ctx, at, byOffset)
	default:
		return fetch.Page{}, fetch.ForeignCursor()
	}
	l, err := s.list(ctx, url.Values{byCursor: {at.ID}})
	if err != nil {
		return fetch.Page{}, err
	}
	refused := !l.answer.OK()
	if refused && (at.ID == "" || !cursorRefused(l.answer.Status)) {
		return fetch.Page{}, s.refused(listUsers, l.answer)
	}
	if !refused && l.size == 0 && at.ID != "" {
		// The end, unless the user that the cursor names is gone, behind whom nothing can stand.
		_, err := s.User(ctx, at.ID)
		if err != nil && !errors.Is(err, fetch.ErrGone) {
			return fetch.Page{}, err
		}
		refused = err != nil
	}
	if !refused {
		return l.page(at)
	}
	next := byCursor // which works again with a user that is there
	if l.answer.Status == http.StatusUnprocessableEntity {
		next = byOffset
	}
	page, err := s.pageByOffset(ctx, at, next)
	if err == nil {
		page.Note = "Clerk did not take the cursor: this page was read by position"
	}
	return page, err
}

// cursorRefused reports an answer to starting_after that may be different
// without it: 422 refuses the parameter, the others know no such user.
func cursorRefused(status int) bool {
	return status == http.StatusUnprocessableEntity || status == http.StatusBadRequest || status == http.StatusNotFound
}

// pageByOffset reads the page behind a place by position; next is the way to go on.
func (s *source) pageByOffset(ctx context.Context, at place, next string) (fetch.Page, error) {
	for {
		l, err := s.list(ctx, url.Values{byOffset: {strconv.FormatInt(at.From(), 10)}})
		if err != nil {
			return fetch.Page{}, err
		}
		if !l.answer.OK() {
			return fetch.Page{}, s.refused(listUsers, l.answer)
		}
		rest, joined := at.Behind(l.entries)
		if !joined {
			at.Offset = max(at.From()-pageSize/2, 0)
			continue
		}
		at.Offset, at.Mode = at.From()+int64(len(l.entries)-len(rest)), next
		l.entries = rest
		return l.page(at)
	}
}

const listUsers = "list the users"

// list is one answer of GET /users.
type list struct {
	answer  *fetch.Response
	size    int // how many entries it had, bad ones included
	entries []fetch.Entry
	bad     []fetch.Bad
}

func (s *source) list(ctx context.Context, where url.Values) (list, error) {
	query := url.Values{"limit": {strconv.Itoa(pageSize)}, "order_by": {"+" + keyCreatedAt}}
	for name, values := range where {
		if values[0] != "" {
			query[name] = values
		}
	}
	request := s.request(listUsers, "/users", query)
	var l list
	request.Read = func(body []byte) error {
		doc, err := payload.Parse(body)
		if err == nil && !doc.IsArray() {
			err = errors.New("it is " + doc.Kind() + ", not a list")
		}
		if err != nil {
			return err
		}
		l.entries, l.bad = fetch.Split(doc, keyID, keyCreatedAt)
		l.size = len(l.entries) + len(l.bad)
		return nil
	}
	answer, err := s.client.Do(ctx, request)
	l.answer = answer
	return l, err
}

// page makes the page of an answer of which entries and bad stand behind the place.
func (l list) page(at place) (fetch.Page, error) {
	page := fetch.Page{Users: fetch.Users(l.entries, l.answer.SentAt), Bad: l.bad}
	if l.size < pageSize {
		return page, nil
	}
	if l.size == len(l.bad) {
		return fetch.Page{}, &fetch.ProtocolError{Detail: "list the users of Clerk: a whole page of entries has no id, so there is no going on behind it"}
	}
	at.Offset += int64(len(l.entries) + len(l.bad)) // bad ones have a position, too
	if len(l.entries) > 0 {
		last := l.entries[len(l.entries)-1]
		at.ID, at.Created = last.ID, last.Created
	}
	var err error
	page.Next, err = fetch.EncodeCursor(at)
	return page, err
}
