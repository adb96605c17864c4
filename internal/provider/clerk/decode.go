package clerk

import (
	"bytes"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

// The ids in Clerk's published examples, which "Send Example" in its dashboard delivers, correctly
// signed, to a customer's endpoint. After the prefix all of them are the same.
const (
	// sampleInstance is that of events that authsync signs itself, which are for whatever instance there is; see Sign.
	sampleInstance = "ins_authsyncSample"

	exampleID       = "_2g7np7Hrk0SN6kj5EDMLDaKNL0S"
	exampleInstance = "ins" + exampleID
	isExample       = "Clerk's example event: the endpoint works"
)

// Decode translates {"type", "timestamp", "instance_id"?, "data"}. The event's id is the message's
// svix-id, which is the same on every retry and replay.
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
		return payload.Ignored(e, isExample)
	}
	if d.Account != "" && instance.IsText() && !instance.Is(d.Account) && !instance.Is(sampleInstance) {
		return payload.Ignored(e, "it is of another Clerk instance than the secret key, whose users the mirror has: see instance_id")
	}
	mapping, deletes, mirrored := mappingOf(e.Type)
	if !mirrored {
		return payload.Unmirrored(e)
	}
	change := payload.Change{Mapping: mapping, Path: "data", Object: data, Deletes: deletes, SentAt: sentAt}
	if !change.Read(d, &e, o) {
		return e
	}
	if bytes.HasSuffix(change.Values[payload.ID], []byte(exampleID+`"`)) {
		return payload.Ignored(e, isExample)
	}
	if change.Type == record.User {
		primary := data.Member("primary_email_address_id")
		if primary.IsAbsent() && !deletes && o.AbsentFields == provider.ClearAbsent {
			primary = payload.Null()
		}
		setEmailOf(&change, primary)
	}
	return change.Apply(d, e)
}

// setEmailOf uses the primary address as the user's e-mail address: null if the user has no primary
// address or the list does not contain it, absent if one of the keys is. No other address is used
// instead.
func setEmailOf(change *payload.Change, primary payload.Value) {
	addresses := change.Values[payload.Email]
	change.Values[payload.Email] = nil
	switch {
	case primary.IsNull() || addresses.IsNull():
		change.Values[payload.Email] = payload.Null()
	case primary.IsAbsent() || addresses.IsAbsent():
	case !primary.IsText():
		change.Note("primary_email_address_id is " + primary.Kind() + ", not a text: email is left as it was")
	case !addresses.IsArray():
		change.Note("email_addresses is " + addresses.Kind() + ", not an array: email is left as it was")
	default:
		change.Rename(payload.Email, "email_address")
		id, _ := primary.Text()
		change.Values[payload.Email] = addressOf(addresses, id)
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
