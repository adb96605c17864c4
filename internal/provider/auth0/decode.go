package auth0

import (
	"fmt"
	"strings"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

// envelope holds the relevant keys of each form:
//
//	{"type", "id", "time", "a0purpose"?, "a0tenant"?, "data": {"object", "previous_object"?}}
//	{"type" or "event", "user", "id"?, "time"? or "timestamp"?}, of users only
//	{"log_id", "data": {"type", "date", …}}, an entry of a log stream
//	{"logs": […]}, a batch of these
//
// Each of them may be in an envelope of Amazon EventBridge, which is taken off. Whether Auth0 puts the whole event there is
// not documented: what the event lacks of type, id and time is the envelope's.
type envelope struct {
	typ, event      payload.Value
	id, time, stamp payload.Value
	purpose, tenant payload.Value
	data, user      payload.Value
	logID, logs     payload.Value
	bridge          payload.Bridge
}

// Decode translates one event of any form, or several: an array, an object with a log stream's
// batch, or one object per line.
func (Provider) Decode(d provider.Message, o provider.Options) []provider.Event {
	d = payload.Without(d, o)
	b := batch{d: d, o: o}
	doc, err := payload.Parse(d.Body)
	switch {
	case err != nil && !isLines(d.Body):
		return payload.FailedMessage(d, err.Error())
	case err != nil:
		for n, line := range lines(d.Body) {
			object, problem := parseLine(n, line)
			b.add(object, problem)
		}
	case doc.IsArray():
		for element := range doc.Elements() {
			b.add(element, "")
		}
	case doc.IsObject():
		env := readEnvelope(doc)
		if !env.isBatch() {
			return []provider.Event{decode(d, o, &env, 0)}
		}
		for element := range env.logs.Elements() {
			b.add(element, "")
		}
	default:
		return payload.FailedMessage(d, "the event is "+doc.Kind()+", not an object")
	}
	return b.close()
}

// maxEvents is the maximum number of events in a message: more than a body of the default maximum
// size can hold of events with a user, or of log stream entries. ValidBody rejects more before they
// are acknowledged.
const maxEvents = 10_000

// batch collects the events of a message.
type batch struct {
	d       provider.Message
	o       provider.Options
	events  []provider.Event
	refused bool
}

// add decodes a value, or records what is wrong with it.
func (b *batch) add(v payload.Value, problem string) {
	if b.d.BodyDigest == "" {
		b.d = payload.WithDigest(b.d)
	}
	if b.refused = len(b.events) == maxEvents; b.refused {
		return
	}
	e := payload.New(b.d, len(b.events))
	switch {
	case problem != "":
		e = payload.Failed(b.d, e, problem)
	case !v.IsObject():
		e = payload.Failed(b.d, e, fmt.Sprintf("the event is %s, not an object", v.Kind()))
	default:
		env := readEnvelope(v)
		e = decode(b.d, b.o, &env, len(b.events))
	}
	b.events = append(b.events, e)
}

func (b *batch) close() []provider.Event {
	switch {
	case b.refused:
		return payload.FailedMessage(b.d, fmt.Sprintf("the body holds more than %d events: none was taken", maxEvents))
	case len(b.events) == 0:
		return []provider.Event{payload.EmptyMessage(b.d)}
	}
	return b.events
}

func decode(d provider.Message, o provider.Options, env *envelope, ordinal int) provider.Event {
	if env.isEntry() {
		return decodeEntry(d, env, ordinal)
	}
	e := payload.New(d, ordinal)
	id := env.id
	if id.IsAbsent() || id.IsNull() {
		id = env.bridge.ID
	}
	if problem := payload.SetID(&e, d, "id", id); problem != "" {
		return payload.Failed(d, e, problem)
	}
	sentAt := payload.SetSentAt(&e, d, env.time, env.stamp, env.bridge.Time)
	typeKey, typ := "type", env.typ
	switch {
	case !typ.IsAbsent():
	case !env.event.IsAbsent():
		typeKey, typ = "event", env.event
	case !env.bridge.DetailType.IsAbsent():
		typeKey, typ = "detail-type", env.bridge.DetailType
	}
	if problem := payload.SetType(&e, typeKey, typ); problem != "" {
		return payload.Failed(d, e, problem)
	}
	// Auth0 sets the purpose on events from its test button and its simulator; its own SCIM
	// template skips such events.
	if env.purpose.Is("test") {
		return payload.Ignored(e, "Auth0's test event (a0purpose is test)")
	}
	if env.tenant.IsText() && isOtherTenant(env.tenant, d.Account) {
		return payload.Ignored(e, "it is of another Auth0 tenant than credentials.domain, whose users the mirror has: see a0tenant")
	}
	mapping, deletes, mirrored := mappingOf(e.Type)
	if !mirrored {
		return unmirrored(e)
	}
	change := payload.Change{Mapping: mapping, Path: "data.object", Deletes: deletes, SentAt: sentAt}
	if change.Type == record.User && env.data.IsAbsent() && !env.user.IsAbsent() {
		change.Path, change.Object = "user", env.user
	} else {
		change.Object, change.Previous = readData(env.data)
	}
	if !change.Read(d, &e, o) {
		return e
	}
	switch e.Type {
	case organizationCreated, organizationUpdated:
		setName(&change)
	case roleAssigned, roleDeleted:
		if problem := setRole(&change, e.Type); problem != "" {
			return payload.Failed(d, e, problem)
		}
	}
	return change.Apply(d, e)
}

// isBatch reports whether it is a batch of a log stream in format JSON object.
func (env *envelope) isBatch() bool {
	return env.logs.IsArray() && env.typ.IsAbsent() && env.event.IsAbsent() && env.data.IsAbsent()
}

// isEntry reports whether it is a log stream entry: its type is in its data.
func (env *envelope) isEntry() bool {
	if !env.typ.IsAbsent() || !env.event.IsAbsent() {
		return false
	}
	return !env.logID.IsAbsent() || env.data.IsObject() && !env.data.Member(entryDate).IsAbsent()
}

func readEnvelope(doc payload.Value) envelope {
	var env envelope
	event, bridge := payload.Unwrap(doc)
	if bridge != nil {
		env.bridge = *bridge
	}
	for key, value := range event.Members() {
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
		case "a0tenant":
			env.tenant = value
		case "data":
			env.data = value
		case "user":
			env.user = value
		case "log_id":
			env.logID = value
		case "logs":
			env.logs = value
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

// sampleTenant is that of events that authsync signs itself, which are for whatever tenant there is; see Sign.
const sampleTenant = "authsync-sample"

// isOtherTenant reports that a tenant is not that of an account. The domain of a tenant in Auth0's public cloud begins with
// its name (acme.eu.auth0.com); a custom domain, or the address of a server in between, does not say it.
func isOtherTenant(of payload.Value, account string) bool {
	tenant, _ := of.Text()
	host, is := strings.CutPrefix(account, "https://")
	name, _, _ := strings.Cut(host, ".")
	return is && strings.HasSuffix(host, ".auth0.com") && !strings.EqualFold(name, tenant) && tenant != sampleTenant
}
