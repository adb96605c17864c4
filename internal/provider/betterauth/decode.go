package betterauth

import (
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

// Decode translates the body of any format: the type is in event or type, the row in data or in
// user; id and timestamp are optional. A body may have both: user is then the row of an event about
// a user, and of any other event the user who caused it or whom it concerns.
//
// A deletion carries the previous row with its updatedAt; the deletion's own clock is the
// timestamp, otherwise the time of receipt. The rows of organizations, members and invitations have
// no updatedAt, so theirs is the clock of everything.
func (Provider) Decode(d provider.Message, o provider.Options) []provider.Event {
	d = payload.Without(d, o)
	doc, err := payload.Parse(d.Body)
	if err != nil {
		return payload.FailedMessage(d, err.Error())
	}
	if !doc.IsObject() {
		return payload.FailedMessage(d, payload.NotObject("the body", doc))
	}
	return []provider.Event{decode(d, o, doc)}
}

func decode(d provider.Message, o provider.Options, doc payload.Value) provider.Event {
	e := payload.New(d, 0)
	var typ, event, id, timestamp, user, data payload.Value
	for key, value := range doc.Members() {
		switch string(key) {
		case "type":
			typ = value
		case "event":
			event = value
		case "id":
			id = value
		case "timestamp":
			timestamp = value
		case "user":
			user = value
		case "data":
			data = value
		}
	}
	if problem := setID(&e, d, id); problem != "" {
		return payload.Failed(d, e, problem)
	}
	sentAt := payload.SetSentAt(&e, d, timestamp)
	typeKey := "event"
	if event.IsAbsent() && !typ.IsAbsent() {
		typeKey, event = "type", typ
	}
	if problem := payload.SetType(&e, typeKey, event); problem != "" {
		return payload.Failed(d, e, problem)
	}
	mapping, deletes, mirrored := mappingOf(e.Type)
	if !mirrored {
		return unmirrored(e)
	}
	change := payload.Change{
		Mapping: mapping, Path: "data", Object: data, Deletes: deletes, SentAt: sentAt,
		NumericID: true, // of a serial column that a sender did not convert to a string
	}
	ofUser := mapping.Type == record.User && user.IsObject()
	if ofUser || data.IsAbsent() && !user.IsAbsent() {
		change.Path, change.Object = "user", user
	}
	if !change.Read(d, &e, o) {
		return e
	}
	return change.Apply(d, e)
}

// MayRace reports updates: updatedAt is when an update began, so of several concurrent ones the
// last written may have an older one. (Observed with better-auth 1.7.7: 4 of 240 rounds of three at
// once.)
func (Provider) MayRace(e *provider.Event) bool { return e.Type == userUpdated }

// setID uses the message's signed id, otherwise the id in the body, otherwise a digest.
func setID(e *provider.Event, d provider.Message, id payload.Value) (problem string) {
	if d.MessageID != "" {
		return payload.SetMessageID(e, d)
	}
	return payload.SetID(e, d, "id", id)
}
