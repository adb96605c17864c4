package auth0

import (
	"fmt"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

// envelope holds what counts of either form:
//
//	{"type", "id", "time", "a0purpose"?, "data": {"object", "previous_object"?}}
//	{"type" or "event", "user", "id"?, "time"? or "timestamp"?}
type envelope struct {
	typ, event      payload.Value
	id, time, stamp payload.Value
	purpose         payload.Value
	data, user      payload.Value
	logID           payload.Value
}

// Decode translates an event, or an array of them, of either form.
func (Provider) Decode(d provider.Delivery, o provider.Options) []provider.Event {
	doc, err := payload.Parse(d.Body)
	if err != nil {
		return payload.FailedDelivery(d, err.Error())
	}
	if !doc.IsArray() {
		return []provider.Event{decode(d, o, doc, 0)}
	}
	var events []provider.Event
	for element := range doc.Elements() {
		if len(events) == payload.MaxEvents {
			return payload.FailedDelivery(d, fmt.Sprintf("the body is an array of more than %d events: none was taken", payload.MaxEvents))
		}
		events = append(events, decode(d, o, element, len(events)))
	}
	if len(events) == 0 {
		return []provider.Event{payload.EmptyDelivery(d)}
	}
	return events
}

func decode(d provider.Delivery, o provider.Options, doc payload.Value, ordinal int) provider.Event {
	e := payload.New(d, ordinal)
	if !doc.IsObject() {
		return payload.Failed(d, e, fmt.Sprintf("the event is %s, not an object", doc.Kind()))
	}
	env := readEnvelope(doc)
	if problem := payload.SetID(&e, d, "id", env.id); problem != "" {
		return payload.Failed(d, e, problem)
	}
	sentAt := payload.SetSentAt(&e, d, env.time)
	if sentAt.IsZero() {
		sentAt = payload.SetSentAt(&e, d, env.stamp)
	}
	typeKey, typ := "type", env.typ
	if typ.IsAbsent() && !env.event.IsAbsent() {
		typeKey, typ = "event", env.event
	}
	if typ.IsAbsent() && !env.logID.IsAbsent() {
		return payload.Ignored(e, "an entry of an Auth0 log stream, which carries no user profile: use an event stream")
	}
	if problem := payload.SetType(&e, typeKey, typ); problem != "" {
		return payload.Failed(d, e, problem)
	}
	// Auth0 sets the purpose on what its test button and its simulator send;
	// its own SCIM template leaves such events out.
	if env.purpose.Is("test") {
		return payload.Ignored(e, "Auth0's test event (a0purpose is test)")
	}
	if e.Type != userCreated && e.Type != userUpdated && e.Type != userDeleted {
		return payload.Unmirrored(e)
	}
	change := payload.Change{Keys: keys(), Path: "data.object", Deletes: e.Type == userDeleted, SentAt: sentAt}
	var previous payload.Value
	if env.data.IsAbsent() && !env.user.IsAbsent() {
		change.Path, change.Object = "user", env.user
	} else {
		change.Object, previous = readData(env.data)
	}
	if !change.Object.IsObject() {
		return payload.Failed(d, e, payload.NotObject(change.Path, change.Object))
	}
	change.User = payload.ReadUser(change.Object, change.Keys)
	// Of a deletion a missing key says nothing: its short form has no profile at all.
	if !change.Deletes {
		if previous.IsObject() {
			was := payload.ReadUser(previous, change.Keys)
			change.User.ClearGone(&was)
		}
		if o.AbsentFields == provider.ClearAbsent {
			change.User.ClearAbsent(change.Keys)
		}
	}
	return change.Apply(d, e)
}

func readEnvelope(doc payload.Value) envelope {
	var env envelope
	for key, value := range doc.Members() {
		switch string(key) {
		case "type":
			env.typ = value
		case "event":
			env.event = value
		case "id":
			env.id = value
		case "time":
			env.time = value
		case "timestamp":
			env.stamp = value
		case "a0purpose":
			env.purpose = value
		case "data":
			env.data = value
		case "user":
			env.user = value
		case "log_id":
			env.logID = value
		}
	}
	return env
}

func readData(data payload.Value) (object, previous payload.Value) {
	if !data.IsObject() {
		return nil, nil
	}
	for key, value := range data.Members() {
		switch string(key) {
		case "object":
			object = value
		case "previous_object":
			previous = value
		}
	}
	return object, previous
}
