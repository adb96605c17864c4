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

// Records reads up to 500 organizations, memberships or invitations, in order of creation and by
// position: see userapi.Positions. It ends each list where nothing follows what was read last.
func (s *source) Records(ctx context.Context, cursor string) (userapi.RecordPage, error) {
	lists := recordLists()
	names := make([]string, len(lists))
	for i, list := range lists {
		names[i] = list.name
	}
	page, err := userapi.WalkLists(cursor, names, func(list int, at *userapi.ListPlace, page *userapi.RecordPage) (more bool, err error) {
		return s.readRecords(ctx, lists[list], at, page)
	})
	if errors.Is(err, errDisabled) {
		return userapi.RecordPage{Notes: []string{"organizations are turned off in this Clerk instance, so there are none to read"}}, nil
	}
	return page, err
}

// readRecords adds the records after a place to a page, and moves the place.
func (s *source) readRecords(ctx context.Context, list recordList, at *userapi.ListPlace, page *userapi.RecordPage) (more bool, err error) {
	positions := userapi.Positions{Name: "Clerk", Of: list.name, Client: s.client, List: func(ctx context.Context, from int64) (userapi.List, error) {
		return s.listRecords(ctx, list, from)
	}}
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

// listRecords requests a part of a list from a position on.
func (s *source) listRecords(ctx context.Context, list recordList, from int64) (l userapi.List, err error) {
	what := "list the " + list.name
	request := s.request(what, list.path, url.Values{
		"limit": {strconv.Itoa(pageSize)}, byOffset: {strconv.FormatInt(from, 10)}, "order_by": {"+" + keyCreatedAt},
	})
	request.Read = func(body []byte) error {
		doc, err := payload.Parse(body)
		if err != nil {
			return err
		}
		if !doc.IsObject() || !doc.Member("data").IsArray() {
			return errors.New("it has no list")
		}
		total, err := strconv.ParseInt(string(doc.Member("total_count")), 10, 64)
		if err != nil || total < 0 {
			return errors.New("it does not say how many there are")
		}
		l = userapi.Split(doc.Member("data"), keyID, keyCreatedAt)
		l.Total = total
		return nil
	}
	answer, err := s.client.Do(ctx, request)
	switch {
	case err != nil:
		return userapi.List{}, err
	case !answer.OK() && readProblem(answer.Body).code == "organization_not_enabled_in_instance":
		return userapi.List{}, errDisabled
	case !answer.OK():
		return userapi.List{}, s.refused(what, answer)
	}
	l.SentAt = answer.SentAt
	return l, nil
}
