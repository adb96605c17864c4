package userapi

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
	// Place is how many entries stand before it in the answer, bad ones included.
	Place int64
}

// List is an answer with a part of the list of users.
type List struct {
	// SentAt is when the request was sent.
	SentAt  time.Time
	Entries []Entry
	// Bad are those that are no user objects, BadPlaces their places.
	Bad       []Bad
	BadPlaces []int64
	// Total is how many users the answer says there are; 0 where it does not say.
	Total int64
}

// Size is how many entries the answer had.
func (l *List) Size() int64 { return int64(len(l.Entries) + len(l.Bad)) }

// Cut leaves off what stands behind the last user.
func (l *List) Cut() {
	last := l.Entries[len(l.Entries)-1].Place
	n := 0
	for n < len(l.BadPlaces) && l.BadPlaces[n] < last {
		n++
	}
	l.Bad, l.BadPlaces = l.Bad[:n], l.BadPlaces[:n]
}

// Page makes a page of the list.
func (l *List) Page() Page {
	return Page{Users: Users(l.Entries, l.SentAt), Bad: l.Bad, Total: l.Total}
}

// IDs are the ids of the entries.
func (l *List) IDs() []string {
	ids := make([]string, len(l.Entries))
	for i, entry := range l.Entries {
		ids[i] = entry.ID
	}
	return ids
}

// Split takes a JSON array of user objects apart, which share its memory. What
// is no object or has no id is bad; a user who is named again counts once.
func Split(list payload.Value, id, created string) List {
	var l List
	seen := map[string]bool{}
	for value := range list.Elements() {
		place := l.Size()
		entry, err := ReadEntry(value, id, created)
		switch {
		case err != nil:
			l.Bad = append(l.Bad, Bad{Place: fmt.Sprintf("entry %d", place+1), Reason: err.Error()})
			l.BadPlaces = append(l.BadPlaces, place)
		case !seen[entry.ID]:
			seen[entry.ID] = true
			entry.Place = place
			l.Entries = append(l.Entries, entry)
		}
	}
	return l
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
