package clerk

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// The ways to walk. By cursor Clerk returns what follows a user; by offset, what is at a position,
// which changes when users are deleted.
const (
	byCursor = "starting_after"
	byOffset = "offset"
)

// place is the position of a walk.
type place struct {
	Mode string `json:"mode"`
	userapi.Mark

	// Created is when the last user read was created: later users are no older.
	Created time.Time `json:"created,omitzero"`
}

func (at *place) add(l *userapi.List) {
	at.Add(l.IDs())
	if n := len(l.Entries); n > 0 {
		at.Created = l.Entries[n-1].Created
	}
}

// behind reports whether an answer lies after the place: it is in order of creation and has no user
// who was read before.
func (at *place) behind(l *userapi.List) bool {
	last := at.Created
	for _, entry := range l.Entries {
		if entry.Created.Before(last) {
			return false
		}
		last = entry.Created
	}
	return !at.Repeats(l.IDs())
}

// Page reads up to 500 users. The walk ends with an empty page, if Clerk's count does not exceed
// the users read.
func (s *source) Page(ctx context.Context, cursor string) (userapi.Page, error) {
	at := place{Mode: byCursor}
	if cursor != "" {
		at.Mode = ""
		if err := userapi.DecodeCursor(cursor, &at); err != nil {
			return userapi.Page{}, err
		}
	}
	switch {
	case at.Mode == byOffset && at.Offset >= 0:
		return s.pageByOffset(ctx, at, byOffset, "")
	case at.Mode == byCursor && at.Offset >= 0:
		return s.pageByCursor(ctx, at)
	default:
		return userapi.Page{}, userapi.ForeignCursor()
	}
}

func (s *source) pageByCursor(ctx context.Context, at place) (userapi.Page, error) {
	last := ""
	if n := len(at.Recent); n > 0 {
		last = at.Recent[n-1]
	}
	l, answer, err := s.list(ctx, url.Values{byCursor: {last}})
	switch {
	case err != nil:
		return userapi.Page{}, err
	case !answer.OK() && (last == "" || !cursorRefused(answer.Status)):
		return userapi.Page{}, s.refused(listUsers, answer)
	case !answer.OK():
		next := byCursor // works again from an existing user
		if answer.Status == http.StatusUnprocessableEntity {
			next = byOffset
		}
		return s.pageByOffset(ctx, at, next, "Clerk did not take the cursor: this page was read by position")
	case !at.behind(&l):
		return s.pageByOffset(ctx, at, byOffset, "Clerk passed over the cursor (starting_after) or the order (order_by): the walk goes on by position")
	case len(l.Entries) > 0:
		l.Cut() // entries without an id after the last user come again
		at.add(&l)
		at.Offset += l.Size() // invalid entries have a position, too
		page := l.Page()
		page.Next, err = userapi.EncodeCursor(at)
		return page, err
	}
	end, err := false, error(nil)
	if len(l.Bad) == 0 {
		end, err = s.isEnd(ctx, at, last)
	}
	if end || err != nil {
		return userapi.Page{}, err
	}
	return s.pageByOffset(ctx, at, byCursor, "")
}

// isEnd reports whether an empty answer is the end: the cursor's user exists, and the count does
// not exceed the users read.
func (s *source) isEnd(ctx context.Context, at place, last string) (bool, error) {
	if last != "" {
		_, err := s.User(ctx, last)
		if err != nil {
			if errors.Is(err, userapi.ErrGone) {
				err = nil
			}
			return false, err
		}
	}
	total, _, err := s.Count(ctx)
	return at.Offset >= total, err
}

// cursorRefused reports whether a status may be different without starting_after: 422 rejects the
// parameter, the others do not know the user.
func cursorRefused(status int) bool {
	return status == http.StatusUnprocessableEntity || status == http.StatusBadRequest || status == http.StatusNotFound
}

// pageByOffset reads the page after a place by position; next is how to continue.
func (s *source) pageByOffset(ctx context.Context, at place, next, note string) (userapi.Page, error) {
	positions := userapi.Positions{Name: "Clerk", Client: s.client, Total: s.Count, List: func(ctx context.Context, from int64) (userapi.List, error) {
		l, answer, err := s.list(ctx, url.Values{byOffset: {strconv.FormatInt(from, 10)}})
		if err == nil && !answer.OK() {
			err = s.refused(listUsers, answer)
		}
		return l, err
	}}
	part, err := positions.Next(ctx, &at.Mark)
	if err != nil || part.End {
		return userapi.Page{}, err
	}
	page := part.Page()
	page.Note, page.Restarted = note, part.Restarted
	at.Mode, at.Created = next, time.Time{}
	if n := len(part.Entries); n > 0 {
		at.Created = part.Entries[n-1].Created
	}
	page.Next, err = userapi.EncodeCursor(at)
	return page, err
}

const listUsers = "list the users"

// list requests a part of GET /users. The caller checks the status.
func (s *source) list(ctx context.Context, where url.Values) (userapi.List, *userapi.Response, error) {
	query := url.Values{"limit": {strconv.Itoa(pageSize)}, "order_by": {"+" + keyCreatedAt}}
	for name, values := range where {
		if values[0] != "" {
			query[name] = values
		}
	}
	request := s.request(listUsers, "/users", query)
	var l userapi.List
	request.Read = func(body []byte) error {
		doc, err := payload.Parse(body)
		if err == nil && !doc.IsArray() {
			err = errors.New("it is " + doc.Kind() + ", not a list")
		}
		if err == nil {
			l = userapi.Split(doc, keyID, keyCreatedAt)
		}
		return err
	}
	answer, err := s.client.Do(ctx, request)
	if err == nil {
		l.SentAt = answer.SentAt
	}
	return l, answer, err
}
