package fetch

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/authsync/authsync/internal/provider/payload"
)

// Entry is a user object of a list with what a walk needs of it.
type Entry struct {
	ID      string
	Created time.Time
	Object  json.RawMessage
}

// Split takes a JSON array of user objects apart, which share its memory. What
// is no object or has no id is bad.
func Split(list payload.Value, id, created string) (entries []Entry, bad []Bad) {
	number := 0
	for value := range list.Elements() {
		number++
		entry, err := ReadEntry(value, id, created)
		if err != nil {
			bad = append(bad, Bad{Place: fmt.Sprintf("entry %d", number), Reason: err.Error()})
			continue
		}
		entries = append(entries, entry)
	}
	return entries, bad
}

// ReadEntry reads what a walk needs of one user object. The error is a sentence
// for Bad.Reason.
func ReadEntry(object payload.Value, id, created string) (Entry, error) {
	if !object.IsObject() {
		return Entry{}, fmt.Errorf("it is %s, not a user object", object.Kind())
	}
	entry := Entry{Object: json.RawMessage(object)}
	for key, value := range object.Members() {
		switch string(key) {
		case id:
			entry.ID = textOf(value)
		case created:
			at, _ := payload.ParseTime(value)
			entry.Created = at.Time
		}
	}
	if entry.ID == "" {
		return Entry{}, errors.New("the user object has no " + id)
	}
	return entry, nil
}

// textOf is the text of an id: Better Auth's may be numbers.
func textOf(v payload.Value) string {
	if v.IsNumber() {
		return string(v)
	}
	if !v.IsText() {
		return ""
	}
	text, _ := v.Text()
	return text
}

// Users makes users of entries that one request has read.
func Users(entries []Entry, fetchedAt time.Time) []User {
	users := make([]User, 0, len(entries))
	for _, entry := range entries {
		users = append(users, User{Object: entry.Object, FetchedAt: fetchedAt})
	}
	return users
}

// Mark is the place of the user that a walk has read last, in a list in order
// of creation that is addressed by position.
type Mark struct {
	// Offset is how many entries lie before the page that comes next.
	Offset int64 `json:"offset,omitempty"`
	// ID and Created are those of the user that was read last.
	ID      string    `json:"id,omitempty"`
	Created time.Time `json:"created,omitzero"`
}

// From is the position to ask for: one entry before the next, so that the
// answer shows whether the list is still where it was.
func (m Mark) From() int64 { return max(m.Offset-1, 0) }

// Behind returns the entries behind the mark of a page that was asked for with
// From. If users before the mark were deleted, the list has moved up, and what
// would come next may lie before this page: then joined is false, and the walk
// must look further up. An account that does not change never repeats a user.
func (m Mark) Behind(entries []Entry) (rest []Entry, joined bool) {
	if m.ID == "" {
		return entries, true
	}
	for i, entry := range entries {
		if entry.ID == m.ID {
			return entries[i+1:], true
		}
	}
	if len(entries) > 0 && entries[0].Created.Before(m.Created) {
		// The last one itself is gone, and others of its time may be unread.
		for i, entry := range entries {
			if !entry.Created.Before(m.Created) {
				return entries[i:], true
			}
		}
		return nil, true
	}
	return entries, m.From() == 0
}
