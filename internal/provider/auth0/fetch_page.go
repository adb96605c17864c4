package auth0

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
)

const (
	listPage = 50   // Auth0's definition says 100, its documentation 50
	listMost = 1000 // maximum number of listable users
	maxBack  = 10   // maximum number of steps back in a walk of the list
	maxEmpty = 3    // maximum number of consecutive empty answers where users are expected

	byList   = "list"
	byExport = "export"
)

// place is the position of a walk: a page of the list, or a line of an export.
type place struct {
	Mode string `json:"mode"`
	// Total is the last known number of users.
	Total int64 `json:"total,omitempty"`

	// For the list: the position, the page size, and when the last user read was created. Back
	// reports that the walk has gone back, so that users come again.
	userapi.Mark
	Size    int64     `json:"size,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Back    int       `json:"back,omitempty"`

	// For an export: its job and the number of lines read.
	Job  string `json:"job,omitempty"`
	Line int64  `json:"line,omitempty"`
	// Asked is when the job was requested: the export's data is no older.
	Asked time.Time `json:"asked,omitzero"`
	// Restarts is the number of failed jobs of this walk.
	Restarts int `json:"restarts,omitempty"`
}

// Page reads up to 50 users of the list or up to 500 lines of the export. While Auth0 prepares an
// export, pages are empty and say how long to wait.
func (s *source) Page(ctx context.Context, cursor string) (userapi.Page, error) {
	at := place{Mode: byList}
	if cursor != "" {
		at.Mode = ""
		if err := userapi.DecodeCursor(cursor, &at); err != nil {
			return userapi.Page{}, err
		}
	}
	switch {
	case at.Mode == byList && at.Offset >= 0 && at.Size >= 0 && at.Size <= listPage:
		return s.pageOfList(ctx, at)
	case at.Mode == byExport && at.Job != "" && at.Line >= 0:
		return s.pageOfExport(ctx, at)
	default:
		return userapi.Page{}, userapi.ForeignCursor()
	}
}

// errTooMany reports that the list ends before that position.
var errTooMany = errors.New("more users than can be listed")

// pageOfList reads a page of the list. If the list has become shorter, users may have moved from
// this page to before it: the walk then goes back by as much. Users come again, which does no harm.
// If the list does not match the request or reaches its limit, the users are exported instead.
func (s *source) pageOfList(ctx context.Context, at place) (userapi.Page, error) {
	export := func(total int64, why string) (userapi.Page, error) {
		return s.beginExport(ctx, place{Total: total}, at.begun(), why)
	}
	for empty := 0; ; {
		size := cmp.Or(at.Size, listPage)
		if (at.Offset/size+1)*size > listMost {
			size = 1 // a page must not extend beyond the listable users
		}
		number := at.Offset / size
		l, err := s.list(ctx, listUsers, number, size)
		if errors.Is(err, errTooMany) || err == nil && l.Total >= listMost {
			return export(max(l.Total, at.Total), "the tenant has too many users to be listed: they are exported")
		}
		if err != nil {
			return userapi.Page{}, err
		}
		nothing := l.Size() <= at.Offset-number*size // no user after the place
		gone := at.Total - l.Total
		at.Total = l.Total
		switch {
		case gone > 0 && at.begun() && at.Back == maxBack:
			return export(l.Total, "the list becomes shorter again and again: the users are exported")
		case gone > 0 && at.begun():
			at.Back++
			at.Mark, at.Created = userapi.Mark{Offset: max(at.Offset-gone, 0)}, time.Time{} // repeated users are not a loop
			continue
		case nothing && at.Offset >= l.Total:
			return userapi.Page{Total: l.Total}, nil
		case nothing && empty == maxEmpty:
			return export(l.Total, fmt.Sprintf("the list ends at user %d although Auth0 counts %d: the users are exported", at.Offset, l.Total))
		case nothing:
			empty++
			if err := s.client.BackOff(ctx, empty); err != nil {
				return userapi.Page{}, err
			}
			continue
		}
		page, behind, err := at.take(l, number*size, size)
		if err != nil || behind {
			return page, err
		}
		return export(l.Total, fmt.Sprintf("behind user %d the list does not give what was asked for: the users are exported", at.Offset))
	}
}

func (at *place) begun() bool { return at.Offset > 0 || at.Back > 0 }

// take turns an answer that begins at a position and should have so many entries into a page, and
// moves the place after it. behind is false if the answer does not lie after the place.
func (at *place) take(l userapi.List, from, asked int64) (page userapi.Page, behind bool, err error) {
	known := at.Offset - from // within the page, which begins at a multiple of its size
	size := l.Size()
	l.Entries = slices.DeleteFunc(l.Entries, func(e userapi.Entry) bool { return e.Place < known })
	last := at.Created
	for _, entry := range l.Entries {
		if entry.Created.Before(last) {
			return userapi.Page{}, false, nil
		}
		last = entry.Created
	}
	if at.Repeats(l.IDs()) {
		return userapi.Page{}, false, nil
	}
	at.Add(l.IDs())
	at.Offset, at.Created = from+size, last
	if size < asked { // it was capped, or is the last one
		at.Size = size
	}
	page = l.Page()
	page.Next, err = userapi.EncodeCursor(at)
	return page, true, err
}

const listUsers = "list the users"

// list requests one page of GET /users.
func (s *source) list(ctx context.Context, what string, number, size int64) (l userapi.List, err error) {
	query := url.Values{
		"page": {strconv.FormatInt(number, 10)}, "per_page": {strconv.FormatInt(size, 10)},
		"include_totals": {"true"}, "sort": {keyCreatedAt + ":1"},
	}
	answer, err := s.do(ctx, userapi.Request{
		What: what, URL: s.base + "/api/v2/users?" + query.Encode(),
		Read: func(body []byte) error {
			doc, err := payload.Parse(body)
			if err != nil {
				return err
			}
			if !doc.IsObject() || !doc.Member("users").IsArray() {
				return errors.New("it has no list of users")
			}
			total, err := strconv.ParseInt(string(doc.Member("total")), 10, 64)
			if err != nil || total < 0 {
				return errors.New("it does not say how many users there are")
			}
			l = userapi.Split(doc.Member("users"), keyUserID, keyCreatedAt)
			l.Total = total
			return nil
		},
	})
	switch {
	case err != nil:
		return userapi.List{}, err
	case answer.Status == http.StatusBadRequest && readProblem(answer.Body).ErrorCode == "invalid_paging":
		return userapi.List{}, errTooMany
	case !answer.OK():
		return userapi.List{}, s.unexpected(what, answer)
	}
	l.SentAt = answer.SentAt
	return l, nil
}
