package clerk

import (
	"context"
	"errors"
	"net/url"
	"strconv"

	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// recordList is a list of the whole instance. All of them can be ordered by created_at.
type recordList struct {
	name, path string
	of         record.Type
}

// recordLists returns the lists in the sequence in which they are read.
func recordLists() []recordList {
	return []recordList{
		{"organizations", "/organizations", record.Organization},
		{"memberships", "/organization_memberships", record.Membership},
		{"invitations", "/organization_invitations", record.Invitation},
	}
}

// errDisabled reports an instance whose organizations are turned off.
var errDisabled = errors.New("organizations are not enabled")

const off = "organizations are turned off in this Clerk instance"

// isDisabled reports whether Clerk says that organizations are turned off. It answers 403 then, as it would
// to a key without rights; the code tells.
func isDisabled(answer *userapi.Response) bool {
	return !answer.OK() && readProblem(answer.Body).code == "organization_not_enabled_in_instance"
}

// Records reads up to 500 organizations, memberships or invitations, in order of creation and by
// position: see userapi.Positions. It ends each list where nothing follows what was read last.
func (s *source) Records(ctx context.Context, cursor string) (userapi.RecordPage, error) {
	lists := recordLists()
	names := make([]userapi.NamedList, len(lists))
	for i, list := range lists {
		names[i] = userapi.NamedList{Name: list.name, Of: list.of}
	}
	page, err := userapi.WalkLists(cursor, names, func(list int, at *userapi.ListPlace, page *userapi.RecordPage) (more bool, err error) {
		return s.readRecords(ctx, lists[list], at, page)
	})
	if errors.Is(err, errDisabled) {
		const none = off + ", so there are none to read"
		page = userapi.RecordPage{Notes: []string{none}}
		page.Unlist(none, record.Organization, record.Membership, record.Invitation)
		return page, nil
	}
	return page, err
}

// readRecords adds the records after a place to a page, and moves the place.
func (s *source) readRecords(ctx context.Context, list recordList, at *userapi.ListPlace, page *userapi.RecordPage) (more bool, err error) {
	positions := s.positions(list)
	part, err := positions.Next(ctx, &at.Mark)
	if err != nil {
		return false, err
	}
	page.Add(list.of, list.name, &part.List)
	if part.Restarted {
		page.Notes = []string{"Clerk's list of " + list.name + " changed so much that it is read anew: what was read before counts twice"}
	}
	return !part.End, nil
}

func (s *source) positions(list recordList) userapi.Positions {
	return userapi.Positions{Name: "Clerk", Of: list.name, Client: s.client, List: func(ctx context.Context, from int64) (userapi.List, error) {
		return s.listRecords(ctx, list, from)
	}}
}

// listRecords requests a part of a list from a position on.
func (s *source) listRecords(ctx context.Context, list recordList, from int64) (l userapi.List, err error) {
	what := "list the " + list.name
	request := s.request(what, list.path, url.Values{
		"limit": {strconv.Itoa(pageSize)}, byOffset: {strconv.FormatInt(from, 10)}, "order_by": {"+" + keyCreatedAt},
	})
	request.Read = func(body []byte) (err error) {
		l, err = readList(body)
		return err
	}
	answer, err := s.client.Do(ctx, request)
	switch {
	case err != nil:
		return userapi.List{}, err
	case isDisabled(answer):
		return userapi.List{}, errDisabled
	case !answer.OK():
		return userapi.List{}, s.refused(what, answer)
	}
	l.SentAt = answer.SentAt
	return l, nil
}

// readList reads the answer to a list of organizations, memberships or invitations.
func readList(body []byte) (userapi.List, error) {
	doc, err := payload.Parse(body)
	if err != nil {
		return userapi.List{}, err
	}
	if !doc.IsObject() || !doc.Member("data").IsArray() {
		return userapi.List{}, errors.New("it has no list")
	}
	total, err := strconv.ParseInt(string(doc.Member("total_count")), 10, 64)
	if err != nil || total < 0 {
		return userapi.List{}, errors.New("it does not say how many there are")
	}
	l := userapi.Split(doc.Member("data"), keyID, keyCreatedAt)
	l.Total = total
	return l, nil
}
