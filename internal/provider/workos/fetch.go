package workos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

const (
	keyID        = "id"
	keyCreatedAt = "created_at"

	pageSize   = 100 // WorkOS' maximum
	maxObject  = 4 << 20
	maxRewinds = 3
)

// list is a list in order of creation, whose place is an id.
type list struct {
	name, path string
	query      url.Values
	// trusted: what WorkOS says of the end is believed. It is for lists that are read by the thousand, of which a wrong one
	// hides little.
	trusted bool
}

// place is the position of a walk through a list.
type place struct {
	userapi.Mark

	// Created is when the last entry read was created: later ones are no older.
	Created time.Time `json:"created,omitzero"`
}

// part is what a step through a list has read.
type part struct {
	userapi.List

	isLast         bool // WorkOS says so
	end, restarted bool
}

func (s *source) refused(what string, answer *userapi.Response) error {
	said := s.client.Say(readProblem(answer.Body).message)
	if answer.Status != http.StatusUnauthorized && answer.Status != http.StatusForbidden {
		return s.client.Unexpected(what, answer, said)
	}
	detail := fmt.Sprintf("WorkOS refuses credentials.secret_key (%d): copy the API key of the environment that sends the webhooks again (WorkOS dashboard, API Keys)",
		answer.Status)
	if said != "" {
		detail += ". WorkOS says: " + said
	}
	return fault.New(fault.CredentialsRefused, detail)
}

// problem is WorkOS' error response.
type problem struct{ code, message string }

func readProblem(body []byte) problem {
	var doc struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return problem{}
	}
	return problem{doc.Code, doc.Message}
}

// isGone reports whether WorkOS itself says that something does not exist: an error of its own form has a code.
func isGone(answer *userapi.Response) bool {
	return answer.Status == http.StatusNotFound && readProblem(answer.Body).code != ""
}

// read requests the part of a list after an id. refused reports that WorkOS does not know the id.
func (s *source) read(ctx context.Context, from list, after, order string, limit int) (p part, refused bool, err error) {
	what := "list the " + from.name
	query := url.Values{"limit": {strconv.Itoa(limit)}, "order": {order}}
	maps.Copy(query, from.query)
	if after != "" {
		query.Set("after", after)
	}
	request := s.request(what, from.path, query)
	request.Read = func(body []byte) error {
		doc, err := payload.Parse(body)
		switch {
		case err != nil:
			return err
		case !doc.IsObject() || !doc.Member("data").IsArray():
			return errors.New("it has no list")
		}
		p.List = userapi.Split(doc.Member("data"), keyID, keyCreatedAt)
		p.isLast = doc.Member("list_metadata").IsObject() && doc.Member("list_metadata").Member("after").IsNull()
		return nil
	}
	answer, err := s.client.Do(ctx, request)
	switch {
	case err != nil:
		return part{}, false, err
	case answer.OK():
		p.SentAt = answer.SentAt
		return p, false, nil
	case after != "" && slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity}, answer.Status):
		return part{}, true, nil
	default:
		return part{}, false, s.refused(what, answer)
	}
}

// next reads what follows a place, and moves it. The place is the last entry read; if that was deleted meanwhile, an earlier
// one. The end is certain only when the newest entry has been read: an empty answer alone proves nothing, and may mean that
// the entry of the place is gone.
func (s *source) next(ctx context.Context, from list, at *place) (part, error) {
	for back := 0; back <= len(at.Recent); back++ {
		p, refused, err := s.after(ctx, from, at, back)
		switch {
		case err != nil:
			return part{}, err
		case refused:
			continue
		case p.isLast && from.trusted:
			p.end = true
			if p.Size() == 0 {
				return p, nil
			}
			return p, at.add(from, &p.List)
		case p.Size() > 0:
			return p, at.add(from, &p.List)
		}
		newest, _, err := s.read(ctx, from, "", "desc", 1)
		switch {
		case err != nil:
			return part{}, err
		case newest.Size() == 0 || len(newest.Entries) == 1 && at.has(newest.Entries[0]):
			return part{List: userapi.List{SentAt: p.SentAt}, end: true}, nil
		}
	}
	return at.rewind(from)
}

// after reads what follows the last entry read, or the one that was read so many before it. Entries read since are left out.
func (s *source) after(ctx context.Context, from list, at *place, back int) (p part, refused bool, err error) {
	i := len(at.Recent) - 1 - back
	if i < 0 {
		if at.Begun() {
			return part{}, true, nil
		}
		return s.read(ctx, from, "", "asc", pageSize)
	}
	p, refused, err = s.read(ctx, from, at.Recent[i], "asc", pageSize)
	read := at.Recent[i+1:]
	p.Entries = slices.DeleteFunc(p.Entries, func(e userapi.Entry) bool { return slices.Contains(read, e.ID) })
	return p, refused, err
}

// add moves the place past a part of the list, which must be behind it.
func (at *place) add(from list, l *userapi.List) error {
	stuck := func(what string) error {
		return userapi.NoProgressOf(from.name, "WorkOS", fmt.Sprintf("behind entry %d ", at.Offset)+what, at.Offset, 0)
	}
	ids, last := l.IDs(), at.Created
	if len(ids) == 0 {
		return stuck("it gives entries without an id")
	}
	if at.Repeats(ids) {
		return stuck("it gives entries again that were read before")
	}
	for _, entry := range l.Entries {
		if entry.Created.Before(last) {
			return stuck("it is not in order of creation")
		}
		last = entry.Created
	}
	at.Add(ids)
	at.Offset += l.Size()
	at.Created = last
	return nil
}

// has reports whether the newest entry of the list was read: it is one of the last, or it was deleted and all that is left is
// older than what was read.
func (at *place) has(newest userapi.Entry) bool {
	return slices.Contains(at.Recent, newest.ID) || at.Begun() && newest.Created.Before(at.Created)
}

// rewind begins the walk anew: the last entries read are all gone.
func (at *place) rewind(from list) (part, error) {
	if at.Rewinds == maxRewinds {
		return part{}, userapi.NoProgressOf(from.name, "WorkOS", fmt.Sprintf("it knows none of the entries read last, after %d new beginnings", at.Rewinds), at.Offset, 0)
	}
	*at = place{Mark: userapi.Mark{Rewinds: at.Rewinds + 1}}
	return part{restarted: true}, nil
}

func usersList() list { return list{name: "users", path: "/user_management/users"} }

// Count is unknown: WorkOS does not count.
func (s *source) Count(context.Context) (n int64, ok bool, err error) { return 0, false, nil }

// Page reads up to 100 users, in order of creation.
func (s *source) Page(ctx context.Context, cursor string) (userapi.Page, error) {
	var at place
	if cursor != "" {
		if err := userapi.DecodeCursor(cursor, &at); err != nil {
			return userapi.Page{}, err
		}
		if at.Offset < 0 || !at.Begun() && at.Rewinds == 0 {
			return userapi.Page{}, userapi.ForeignCursor()
		}
	}
	read, err := s.next(ctx, usersList(), &at)
	if err != nil || read.end {
		return userapi.Page{}, err
	}
	page := read.Page()
	page.Restarted = read.restarted
	if read.restarted {
		page.Note = "WorkOS no longer knows where the list of users was left: it is read anew"
	}
	page.Next, err = userapi.EncodeCursor(at)
	return page, err
}

// User reads one user.
func (s *source) User(ctx context.Context, id string) (userapi.User, error) {
	return s.lookUp(ctx, record.Ref{Type: record.User, ID: id}, "/user_management/users/"+url.PathEscape(id))
}

// lookUp reads the object of an id.
func (s *source) lookUp(ctx context.Context, ref record.Ref, path string) (userapi.User, error) {
	what := "read " + ref.Type.WithArticle()
	request := s.request(what, path, nil)
	request.MaxBody = maxObject
	answer, err := s.client.Do(ctx, request)
	switch {
	case err != nil:
		return userapi.User{}, err
	case isGone(answer):
		return userapi.User{}, userapi.ErrGone
	case !answer.OK():
		return userapi.User{}, s.refused(what, answer)
	}
	return s.client.ReadObject(what, answer, userapi.Named{Kind: ref.Type, Key: keyID, ID: ref.ID})
}
