package payload

import (
	"fmt"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// Change is an event about a record, as a provider's package found it: in this object, mapped so.
type Change struct {
	Mapping
	// Path is the object's path in the payload, such as "data.object".
	Path   string
	Object Value
	// Previous is the object as it was before, if the provider sends it: a key that is gone from
	// Object was cleared.
	Previous Value
	// Given are the object's fields if they were found in another way than by Keys; nil otherwise. Keys then
	// only name them.
	Given *Values
	// Values are the object's fields. Read sets them.
	Values Values
	// Deletes reports that the record was deleted.
	Deletes bool
	// RoleAdded and RoleRemoved are the role of an event about nothing but a role of a membership.
	RoleAdded, RoleRemoved string
	// SentAt is the envelope's time; zero if there is none.
	SentAt Time
	// NumericID accepts ids that are JSON numbers without fraction or exponent, as their decimal
	// text.
	NumericID bool

	notes []string
}

// Note adds to the event's reason what could not be used.
func (c *Change) Note(text string) { c.notes = append(c.notes, text) }

// Read reads the values of the object. If there is nothing to apply, because the integration does
// not mirror the record type or because there is no object, it finishes the event and reports false.
func (c *Change) Read(d provider.Message, e *provider.Event, o provider.Options) (ok bool) {
	if c.Type != record.User {
		e.RecordType = c.Type
	}
	switch group, mirrored := o.Mirrors(c.Type); {
	case !mirrored:
		*e = Ignored(*e, fmt.Sprintf(`%s are not mirrored: to mirror them, set options.record_types to ["%s"]`, group, strings.Join(append(o.Groups(), group), `","`)))
		return false
	case !c.Object.IsObject():
		*e = Failed(d, *e, NotObject(c.Path, c.Object))
		return false
	}
	if c.Given != nil {
		c.Values = *c.Given
	} else {
		c.Values = c.read(c.Object)
	}
	if c.Deletes { // its short form has no profile, so a missing key means nothing
		return true
	}
	if c.Previous.IsObject() {
		was := c.read(c.Previous)
		c.Values.clearGone(&was)
	}
	if o.AbsentFields == provider.ClearAbsent {
		c.clearAbsent(&c.Values)
	}
	return true
}

// Apply completes an event whose ID, Type and SentAt are set.
//
// Clocks: the values of an object have the clock of its updated_at, otherwise the time sent,
// otherwise the time of receipt. A deletion has deleted_at, otherwise the time sent, otherwise the
// time of receipt. A clock that is unreadable or in the future is skipped, and the event's reason
// says so. If the time of receipt is used, the sender gave no time at all: see provider.Event.
//
// A deletion often repeats the previous object. Those values are used only if it has an updated_at
// of its own: with the deletion's clock they would overwrite newer values.
//
// An event about nothing but a role says nothing else, not even that the membership exists: it may
// arrive after the membership's deletion.
func (c *Change) Apply(d provider.Message, e provider.Event) provider.Event {
	b := builder{mapping: c.Mapping, event: e, receivedAt: Receipt(d.ReceivedAt), notes: c.notes}
	if problem := b.identify(c); problem != "" {
		return Failed(d, e, problem)
	}
	b.envelope(c.SentAt)
	if c.RoleAdded != "" || c.RoleRemoved != "" {
		b.event.RoleAdded, b.event.RoleRemoved, b.event.Fields = c.RoleAdded, c.RoleRemoved, provider.Fields{}
		b.profileClock(Time{}, unsaid)
		return b.close()
	}
	b.event.Fields = make(provider.Fields, maxColumns)
	b.event.Fields[record.DeletedAt] = nil
	if c.Deletes {
		b.deletion(c)
	}
	updatedAt, state := b.instant(c.Values[UpdatedAt])
	switch {
	case !c.Deletes || state == readable || state == readAheadKeys:
		b.profileClock(updatedAt, state)
		b.profile(c)
	case state == unreadable:
		b.unreadable(UpdatedAt, "the other values are left as they were")
	}
	return b.close()
}

// builder collects an event's fields, and notes about what it could not use.
type builder struct {
	mapping    Mapping
	event      provider.Event
	receivedAt time.Time
	// sent is the envelope's time; zero if it cannot be the clock.
	sent  Time
	notes []string

	texts [maxColumns]string // backing storage for Fields, in one allocation
	used  int
}

// maxColumns is how many columns an event sets at most, beside raw: those of a user.
const maxColumns = 9

func (b *builder) close() provider.Event {
	b.event.Verdict, b.event.Reason = provider.Apply, strings.Join(b.notes, "; ")
	return b.event
}

// instantState is whether a value can be used as a clock.
type instantState int

const (
	unsaid        instantState = iota // it is absent or null
	readable                          // it can be the clock
	unreadable                        // it is not a time
	readAheadKeys                     // it is in the future
)

func (b *builder) instant(v Value) (Time, instantState) {
	t, ok := ParseTime(v)
	switch {
	case ok && isAhead(t.Time, b.receivedAt):
		return t, readAheadKeys
	case ok:
		return t, readable
	case v.IsAbsent() || v.IsNull():
		return Time{}, unsaid
	default:
		return Time{}, unreadable
	}
}

func (b *builder) envelope(sent Time) {
	const name, receipt = "the envelope's time", "the time of receipt is the clock instead"
	switch {
	case sent.Unreadable:
		b.note(name + " is no date that can be read: " + receipt)
	case sent.IsZero():
	case isAhead(sent.Time, b.receivedAt):
		b.note(name + " lies in the future: " + receipt)
	default:
		b.sent = sent
	}
}

// instead names the clock that replaces an unusable one.
func (b *builder) instead() string {
	if b.sent.IsZero() {
		return "the time of receipt is the clock instead"
	}
	return "the envelope's time is the clock instead"
}

// profileClock sets the clock of the profile.
func (b *builder) profileClock(updatedAt Time, state instantState) {
	switch state {
	case readable:
		b.event.At = updatedAt.Time
		return
	case readAheadKeys:
		b.note(b.mapping.path(UpdatedAt) + " lies in the future: " + b.instead())
	case unreadable:
		b.unreadable(UpdatedAt, "updated_at is left as it was, and "+b.instead())
	case unsaid:
	}
	b.event.At, b.event.AtIsReceipt = b.event.SentAt, b.sent.IsZero()
}

// profile sets the values of the object.
func (b *builder) profile(c *Change) {
	for _, key := range c.Keys {
		value := c.Values[key.Field]
		switch field := key.Field; field {
		case ID:
			if c.Type == record.Membership {
				b.sayText(ID, c.idValue(ID))
			}
		case OrganizationID:
			if c.Type == record.Invitation {
				b.sayReference(OrganizationID, value, b.event.OrganizationID)
			}
		case UserID:
			if c.Type == record.Session {
				b.sayReference(UserID, value, b.event.UserID)
			}
		case FirstName:
			b.sayNames(value, c.Values[LastName], c.Values[FullName])
		case Email, Username, ImageURL, Name, Slug, Role, Status:
			b.sayText(field, value)
		case Roles, Permissions:
			b.sayList(field, value)
		case UpdatedAt:
			if c.Type != record.Session { // only its clock
				b.sayTime(UpdatedAt, value)
			}
		case CreatedAt, LastSignInAt, LastActiveAt, ExpiresAt:
			b.sayTime(field, value)
		case LastName, FullName, DeletedAt, fieldCount:
		}
	}
	raw, note := Storable(Redact(c.Object, c.Secrets...))
	b.event.Raw = raw
	if note != "" {
		b.note(note)
	}
}

func (b *builder) deletion(c *Change) {
	given, state := b.instant(c.Values[DeletedAt])
	clock := given
	switch state {
	case readable:
	case readAheadKeys:
		b.note(c.path(DeletedAt) + " lies in the future: " + b.instead())
		clock = b.sent
	case unreadable:
		b.unreadable(DeletedAt, b.instead())
		clock = b.sent
	case unsaid:
		clock = b.sent
	}
	if clock.IsZero() {
		b.event.DeletedClockIsReceipt = true
		clock.Time = b.event.SentAt
	}
	if given.IsZero() {
		given = clock
	}
	b.say(record.DeletedAt, Format(given.Time))

	b.event.DeletedClock = clock.Time
	if clock.WholeSeconds {
		// An earlier change within the same second must not outlive the deletion.
		b.event.DeletedClock = clock.Add(999 * time.Millisecond)
	}
}
