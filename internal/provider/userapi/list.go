package userapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

// Entry is an object in a list, with what a walk needs of it.
type Entry struct {
	ID      string
	Created time.Time
	Object  json.RawMessage
	// Place is the number of entries before it in the answer, including invalid ones.
	Place int64
}

// List is an answer with a part of a list.
type List struct {
	// SentAt is when the request was sent.
	SentAt  time.Time
	Entries []Entry
	// Bad are the entries that are not objects with an id, BadPlaces their positions.
	Bad       []Bad
	BadPlaces []int64
	// Total is the number of entries in the whole list according to the answer; 0 if it does not say.
	Total int64
}

// Size returns the number of entries in the answer.
func (l *List) Size() int64 { return int64(len(l.Entries) + len(l.Bad)) }

// Cut removes what follows the last valid entry.
func (l *List) Cut() {
	last := l.Entries[len(l.Entries)-1].Place
	n := 0
	for n < len(l.BadPlaces) && l.BadPlaces[n] < last {
		n++
	}
	l.Bad, l.BadPlaces = l.Bad[:n], l.BadPlaces[:n]
}

// DropFirst removes the first n entries of the answer, invalid ones included.
func (l *List) DropFirst(n int64) {
	entries, bad, places := l.Entries, l.Bad, l.BadPlaces
	l.Entries, l.Bad, l.BadPlaces = nil, nil, nil
	for _, entry := range entries {
		if entry.Place >= n {
			entry.Place -= n
			l.Entries = append(l.Entries, entry)
		}
	}
	for i, place := range places {
		if place >= n {
			l.Bad, l.BadPlaces = append(l.Bad, bad[i]), append(l.BadPlaces, place-n)
		}
	}
}

// Page converts a list of users to a page.
func (l *List) Page() Page {
	return Page{Users: Users(l.Entries, l.SentAt), Bad: l.Bad, Total: l.Total}
}

// IDs returns the ids of the valid entries.
func (l *List) IDs() []string {
	ids := make([]string, len(l.Entries))
	for i, entry := range l.Entries {
		ids[i] = entry.ID
	}
	return ids
}

// Split splits a JSON array of objects, which share its memory. An entry that is not an object, or
// has no id that a record can have, is bad; a repeated one counts once.
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

// ReadEntry reads what a walk needs of an object. The error is a sentence for Bad.Reason. The id is
// short enough for the place of a walk, which is stored with every page.
func ReadEntry(object payload.Value, id, created string) (Entry, error) {
	if !object.IsObject() {
		return Entry{}, fmt.Errorf("it is %s, not an object", object.Kind())
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
		return Entry{}, errors.New("the object has no " + id)
	}
	if problem := payload.CheckRecordID("the object's "+id, entry.ID); problem != "" {
		return Entry{}, errors.New(problem)
	}
	return entry, nil
}

// Named names one object that is asked for: its type, the key of its id, and the id.
type Named struct {
	Kind    record.Type
	Key, ID string
}

// ReadObject reads the answer to a request for one object.
func (c *Client) ReadObject(what string, answer *Response, of Named) (User, error) {
	object, err := payload.Parse(answer.Body)
	if err == nil {
		var entry Entry
		entry, err = ReadEntry(object, of.Key, "")
		if err == nil && entry.ID != of.ID {
			err = errors.New("it is another " + string(of.Kind) + " than was asked for")
		}
	}
	if err != nil {
		return User{}, c.Unexpected(what, answer, err.Error())
	}
	return User{Object: json.RawMessage(object), FetchedAt: answer.SentAt}, nil
}

// textOf returns the text of an id: Better Auth's may be numbers.
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

// Users converts the entries of one request to users.
func Users(entries []Entry, fetchedAt time.Time) []User {
	users := make([]User, 0, len(entries))
	for _, entry := range entries {
		users = append(users, User{Object: entry.Object, FetchedAt: fetchedAt})
	}
	return users
}
