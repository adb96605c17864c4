package betterauth

import (
	"strings"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

// The mirrored types; all others are ignored.
const (
	userCreated = "user.created"
	userUpdated = "user.updated"
	userDeleted = "user.deleted"
)

// keys are the keys of Better Auth's user row. It has no time of the last sign-in; firstName and
// lastName are additional fields that customers add.
func keys() *payload.Keys {
	return &payload.Keys{
		payload.ID:        "id",
		payload.Email:     "email",
		payload.FirstName: "firstName",
		payload.LastName:  "lastName",
		payload.FullName:  "name",
		payload.Username:  "username",
		payload.ImageURL:  "image",
		payload.CreatedAt: "createdAt",
		payload.UpdatedAt: "updatedAt",
	}
}

// Decode translates the body of any format: the type is in event or type, the user in user or data;
// id and timestamp are optional.
//
// A deletion carries the previous row with its updatedAt; the deletion's own clock is the
// timestamp, otherwise the time of receipt.
func (Provider) Decode(d provider.Message, o provider.Options) []provider.Event {
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
	if strings.HasPrefix(e.Type, "session.") {
		return payload.Ignored(e, "sessions are not mirrored: do not send them, they hold the user's session token")
	}
	if e.Type != userCreated && e.Type != userUpdated && e.Type != userDeleted {
		return payload.Unmirrored(e)
	}
	path := "user"
	if user.IsAbsent() && !data.IsAbsent() {
		path, user = "data", data
	}
	if !user.IsObject() {
		return payload.Failed(d, e, payload.NotObject(path, user))
	}
	change := payload.Change{
		Keys: keys(), Path: path, Object: user, Deletes: e.Type == userDeleted, SentAt: sentAt,
		NumericID: true, // of a serial column that a sender did not convert to a string
	}
	change.User = payload.ReadUser(user, change.Keys)
	if !change.Deletes && o.AbsentFields == provider.ClearAbsent {
		change.User.ClearAbsent(change.Keys)
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
