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
	listMost = 1000 // how many users can be listed
	maxBack  = 10   // how often a walk of the list goes back
	maxEmpty = 3    // answers in a row where users should be

	byList   = "list"
	byExport = "export"
)

// place is where a walk stands: at a page of the list, or behind a line of an export.
type place struct {
	Mode string `json:"mode"`
	// Total is how many users there were when this was last asked.
	Total int64 `json:"total,omitempty"`

	// Of the list: how far it was read, by pages of which size, and when the user
	// read last was created. Back says that the walk has gone back, so that users
	// come again.
	userapi.Mark
	Size    int64     `json:"size,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Back    int       `json:"back,omitempty"`

	// Of an export: its job, and how many lines were read.
	Job  string `json:"job,omitempty"`
	Line int64  `json:"line,omitempty"`
	// Asked is when the job was asked for: what the export says is no older.
	Asked time.Time `json:"asked,omitzero"`
	// Restarts is how many jobs of this walk came to nothing.
	Restarts int `json:"restarts,omitempty"`
}

// Page reads up to 50 users of the list or up to 500 lines of the export.
// While Auth0 prepares an export, pages are empty and say how long to wait.
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

// errTooMany says that the list does not reach as far as that.
var errTooMany = errors.New("more users than can be listed")

// pageOfList reads a page of the list. A list that has become shorter has moved
// up, so that a user may stand before this page who stood in it: then the walk
// goes back by as much. Users come again, which does no harm. Where the list does
// not keep to what was asked for, or reaches no further, the users are exported.
func (s *source) pageOfList(ctx context.Context, at place) (userapi.Page, error) {
	export := func(total int64, why string) (userapi.Page, error) {
		return s.beginExport(ctx, place{Total: total}, at.begun(), why)
	}
	for empty := 0; ; {
		size := cmp.Or(at.Size, listPage)
		if (at.Offset/size+1)*size > listMost {
			size = 1 // a page must not reach beyond what can be listed
		}
		number := at.Offset / size
		l, err := s.list(ctx, listUsers, number, size)
		if errors.Is(err, errTooMany) || err == nil && l.Total >= listMost {
			return export(max(l.Total, at.Total), "the tenant has too many users to be listed: they are exported")
		}
		if err != nil {
			return userapi.Page{}, err
		}
		nothing := l.Size() <= at.Offset-number*size // nobody behind the place
		gone := at.Total - l.Total
		at.Total = l.Total
		switch {
		case gone > 0 && at.begun() && at.Back == maxBack:
			return export(l.Total, "the list becomes shorter again and again: the users are exported")
		case gone > 0 && at.begun():
			at.Back++
			at.Mark, at.Created = userapi.Mark{Offset: max(at.Offset-gone, 0)}, time.Time{} // what comes again is no circle
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

// take makes a page of an answer that begins at a position and should have so many
// entries, and moves the place behind it. behind is false if the answer does not
// lie behind the place.
func (at *place) take(l userapi.List, from, asked int64) (page userapi.Page, behind bool, err error) {
	known := at.Offset - from // of the page, which begins with a multiple of its size
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
	if size < asked { // it was capped, or this is the last one
		at.Size = size
	}
	page = l.Page()
	page.Next, err = userapi.EncodeCursor(at)
	return page, true, err
}

const listUsers = "list the users"

// list asks for one page of GET /users.
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
