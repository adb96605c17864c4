package clerk

import (
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

// The ids in Clerk's published examples, which "Send Example" in its dashboard delivers, correctly
// signed, to a customer's endpoint.
const (
	exampleInstance = "ins_2g7np7Hrk0SN6kj5EDMLDaKNL0S"
	exampleUser     = "user_2g7np7Hrk0SN6kj5EDMLDaKNL0S"
)

// The mirrored types; all others are ignored.
const (
	userCreated = "user.created"
	userUpdated = "user.updated"
	userDeleted = "user.deleted"
)

// keys are the keys of Clerk's user object. The e-mail address is an element of a list; see
// setEmailOf.
func keys() *payload.Keys {
	return &payload.Keys{
		payload.ID:           "id",
		payload.Email:        "email_addresses",
		payload.FirstName:    "first_name",
		payload.LastName:     "last_name",
		payload.Username:     "username",
		payload.ImageURL:     "image_url",
		payload.CreatedAt:    "created_at",
		payload.UpdatedAt:    "updated_at",
		payload.LastSignInAt: "last_sign_in_at",
	}
}

// Decode translates {"type", "timestamp", "instance_id"?, "data"}. The event's id is the message's
// svix-id, which is the same on every retry and replay.
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
	if problem := payload.SetMessageID(&e, d); problem != "" {
		return payload.Failed(d, e, problem)
	}
	var typ, timestamp, instance, data payload.Value
	for key, value := range doc.Members() {
		switch string(key) {
		case "type":
			typ = value
		case "timestamp":
			timestamp = value
		case "instance_id":
			instance = value
		case "data":
			data = value
		}
	}
	sentAt := payload.SetSentAt(&e, d, timestamp)
	if problem := payload.SetType(&e, "type", typ); problem != "" {
		return payload.Failed(d, e, problem)
	}
	if instance.Is(exampleInstance) {
		return payload.Ignored(e, "Clerk's example event: the endpoint works")
	}
	if e.Type != userCreated && e.Type != userUpdated && e.Type != userDeleted {
		return payload.Unmirrored(e)
	}
	if !data.IsObject() {
		return payload.Failed(d, e, payload.NotObject("data", data))
	}
	change := payload.Change{Keys: keys(), Path: "data", Object: data, Deletes: e.Type == userDeleted, SentAt: sentAt}
	change.User = payload.ReadUser(data, change.Keys)
	if change.User[payload.ID].Is(exampleUser) {
		return payload.Ignored(e, "Clerk's example event: the endpoint works")
	}
	primary := data.Member("primary_email_address_id")
	if !change.Deletes && o.AbsentFields == provider.ClearAbsent {
		change.User.ClearAbsent(change.Keys)
		if primary.IsAbsent() {
			primary = payload.Null()
		}
	}
	setEmailOf(&change, primary)
	return change.Apply(d, e)
}

// setEmailOf uses the primary address as the user's e-mail address: null if the user has no primary
// address or the list does not contain it, absent if one of the keys is. No other address is used
// instead.
func setEmailOf(change *payload.Change, primary payload.Value) {
	addresses := change.User[payload.Email]
	change.User[payload.Email] = nil
	switch {
	case primary.IsNull() || addresses.IsNull():
		change.User[payload.Email] = payload.Null()
	case primary.IsAbsent() || addresses.IsAbsent():
	case !primary.IsText():
		change.Note("primary_email_address_id is " + primary.Kind() + ", not a text: email is left as it was")
	case !addresses.IsArray():
		change.Note("email_addresses is " + addresses.Kind() + ", not an array: email is left as it was")
	default:
		change.Keys[payload.Email] = "email_address"
		id, _ := primary.Text()
		change.User[payload.Email] = addressOf(addresses, id)
	}
}

func addressOf(addresses payload.Value, id string) payload.Value {
	for address := range addresses.Elements() {
		if address.IsObject() && address.Member("id").Is(id) {
			return address.Member("email_address")
		}
	}
	return payload.Null()
}
