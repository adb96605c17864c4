package auth0

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/provider/fetch"
	"github.com/authsync/authsync/internal/provider/payload"
)

const (
	listPage = 50   // Auth0's definition says 100, its documentation 50
	listMost = 1000 // how many users can be listed

	byList   = "list"
	byExport = "export"
)

// place is where a walk stands: at a page of the list, or behind a line of an export.
type place struct {
	Mode string `json:"mode"`
	// Total is how many users there were when this was last asked.
	Total int64 `json:"total,omitempty"`

	Page int64 `json:"page,omitempty"`

	Job  string `json:"job,omitempty"`
	Line int64  `json:"line,omitempty"`
	// Asked is when the job was asked for: what the export says is no older.
	Asked time.Time `json:"asked,omitzero"`
	// Restarts is how many jobs of this walk came to nothing.
	Restarts int `json:"restarts,omitempty"`
}

// Page reads up to 50 users of the list or up to 500 lines of the export.
// While Auth0 prepares an export, pages are empty and say how long to wait.
func (s *source) Page(ctx context.Context, cursor string) (fetch.Page, error) {
	at := place{Mode: byList}
	if cursor != "" {
		at.Mode = ""
		if err := fetch.DecodeCursor(cursor, &at); err != nil {
			return fetch.Page{}, err
		}
	}
	switch {
	case at.Mode == byList && at.Page >= 0:
		return s.pageOfList(ctx, at)
	case at.Mode == byExport && at.Job != "" && at.Line >= 0:
		return s.pageOfExport(ctx, at)
	default:
		return fetch.Page{}, fetch.ForeignCursor()
	}
}

// errTooMany says that the list does not reach as far as that.
var errTooMany = errors.New("more users than can be listed")

// pageOfList reads a page of the list. A list that has become shorter has moved
// up, so that a user may stand before this page who stood in it: then the walk
// goes back by as much. Users come again, which does no harm.
func (s *source) pageOfList(ctx context.Context, at place) (fetch.Page, error) {
	for {
		l, total, err := s.list(ctx, listUsers, at.Page, listPage)
		if errors.Is(err, errTooMany) || err == nil && total >= listMost {
			return s.beginExport(ctx, place{Total: total}, at.Page > 0, "the tenant has too many users to be listed: they are exported")
		}
		if err != nil {
			return fetch.Page{}, err
		}
		gone := at.Total - total
		at.Total = total
		if gone > 0 && at.Page > 0 {
			at.Page = max(at.Page*listPage-gone, 0) / listPage
			continue
		}
		page := fetch.Page{Users: fetch.Users(l.entries, l.sentAt), Bad: l.bad, Total: total}
		at.Page++
		if at.Page*listPage < total {
			page.Next, err = fetch.EncodeCursor(at)
		}
		return page, err
	}
}

const listUsers = "list the users"

type list struct {
	sentAt  time.Time
	entries []fetch.Entry
	bad     []fetch.Bad
}

// list asks for one page of GET /users. An empty page where there should be
// users is taken to be broken.
func (s *source) list(ctx context.Context, what string, number, size int64) (l list, total int64, err error) {
	query := url.Values{
		"page": {strconv.FormatInt(number, 10)}, "per_page": {strconv.FormatInt(size, 10)},
		"include_totals": {"true"}, "sort": {keyCreatedAt + ":1"},
	}
	answer, err := s.do(ctx, fetch.Request{
		What: what, URL: s.base + "/api/v2/users?" + query.Encode(),
		Read: func(body []byte) error {
			doc, err := payload.Parse(body)
			if err != nil {
				return err
			}
			if !doc.IsObject() || !doc.Member("users").IsArray() {
				return errors.New("it has no list of users")
			}
			if total, err = strconv.ParseInt(string(doc.Member("total")), 10, 64); err != nil || total < 0 {
				return errors.New("it does not say how many users there are")
			}
			l.entries, l.bad = fetch.Split(doc.Member("users"), keyUserID, keyCreatedAt)
			if len(l.entries)+len(l.bad) == 0 && number*size < total {
				return fmt.Errorf("it is empty although there are %d users", total)
			}
			return nil
		},
	})
	switch {
	case err != nil:
		return list{}, 0, err
	case answer.Status == http.StatusBadRequest && readProblem(answer.Body).ErrorCode == "invalid_paging":
		return list{}, 0, errTooMany
	case !answer.OK():
		return list{}, 0, s.unexpected(what, answer)
	}
	l.sentAt = answer.SentAt
	return l, total, nil
}
