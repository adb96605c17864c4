package betterauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
)

const (
	pageSize  = 500
	listUsers = "list the users"

	// byID walks over all users, byNewest then back over those created in the meantime.
	byID     = "id"
	byNewest = "newest"
)

// clockSkew is how far the server's clock may be behind ours.
const clockSkew = 5 * time.Minute

// place is the position of a walk.
type place struct {
	Mode string `json:"mode"`
	userapi.Mark

	// Since is when the walk began.
	Since time.Time `json:"since,omitzero"`
}

// Page reads up to 500 users, by position: see userapi.Positions.
func (s *source) Page(ctx context.Context, cursor string) (userapi.Page, error) {
	at := place{Mode: byID, Since: s.client.Now().UTC()}
	if cursor != "" {
		at = place{}
		if err := userapi.DecodeCursor(cursor, &at); err != nil {
			return userapi.Page{}, err
		}
	}
	switch {
	case at.Offset < 0:
		return userapi.Page{}, userapi.ForeignCursor()
	case at.Mode == byID:
		return s.pageByID(ctx, at)
	case at.Mode == byNewest:
		return s.pageByNewest(ctx, at)
	default:
		return userapi.Page{}, userapi.ForeignCursor()
	}
}

func (s *source) pageByID(ctx context.Context, at place) (userapi.Page, error) {
	positions := userapi.Positions{Name: clientName, Client: s.client, List: func(ctx context.Context, from int64) (userapi.List, error) {
		return s.list(ctx, listUsers, byID, from, pageSize)
	}}
	part, err := positions.Next(ctx, &at.Mark)
	if err != nil {
		return userapi.Page{}, err
	}
	page := part.Page()
	page.Restarted = part.Restarted
	if part.End {
		if !at.Begun() {
			return page, nil // there are no users
		}
		at = place{Mode: byNewest, Since: at.Since}
	}
	page.Next, err = userapi.EncodeCursor(at)
	return page, err
}

// pageByNewest reads the users created since the walk began. New ones push the list down, so that
// users are repeated rather than skipped.
func (s *source) pageByNewest(ctx context.Context, at place) (userapi.Page, error) {
	l, err := s.list(ctx, "list the newest users", byNewest, at.Offset, pageSize)
	if err != nil {
		return userapi.Page{}, err
	}
	since := at.Since.Add(-clockSkew)
	old := slices.IndexFunc(l.Entries, func(e userapi.Entry) bool { return e.Created.Before(since) })
	if old >= 0 {
		l.Entries, l.Bad = l.Entries[:old], nil
		return l.Page(), nil
	}
	page := l.Page()
	if l.Size() == 0 {
		return page, nil
	}
	if ids := l.IDs(); len(ids) == 0 || ids[0] == at.First {
		return userapi.Page{}, userapi.NoProgress(clientName, fmt.Sprintf("behind position %d of the newest users it gives the newest again", at.Offset), at.Offset, l.Total)
	}
	at.Add(l.IDs())
	at.Offset += l.Size()
	if at.Offset < l.Total {
		page.Next, err = userapi.EncodeCursor(at)
	}
	return page, err
}

// list requests a part of the list. On any database error the server answers 200 with an empty
// list, but without repeating the limit. So an answer without the limit is never a list.
func (s *source) list(ctx context.Context, what, order string, offset, limit int64) (userapi.List, error) {
	query := url.Values{
		"limit": {strconv.FormatInt(limit, 10)}, "offset": {strconv.FormatInt(offset, 10)}, "sortBy": {keyID}, "sortDirection": {"asc"},
	}
	if order == byNewest {
		query.Set("sortBy", keyCreatedAt)
		query.Set("sortDirection", "desc")
	}
	var l userapi.List
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
		total, err := strconv.ParseInt(string(doc.Member("total")), 10, 64)
		if err != nil || total < 0 {
			return errors.New("it does not say how many users there are")
		}
		l = userapi.Split(doc.Member("users"), keyID, keyCreatedAt)
		l.Total = total
		return nil
	}
	answer, err := s.client.Do(ctx, request)
	switch {
	case err != nil:
		return userapi.List{}, err
	case !answer.OK():
		return userapi.List{}, s.refused(what, answer)
	}
	l.SentAt = answer.SentAt
	return l, nil
}
