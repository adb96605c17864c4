package payload

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// Change is an event about a user, parsed by a provider's package.
type Change struct {
	Object Value // the user object
	Keys   *Keys
	User   User
	// Path is the user object's path in the payload, such as "data.object".
	Path string
	// Deletes reports that the user was deleted.
	Deletes bool
	// SentAt is the envelope's time; zero if there is none.
	SentAt Time
	// NumericID accepts an id that is a JSON number without fraction or exponent, as its decimal
	// text.
	NumericID bool

	notes []string
}

// Note adds to the event's reason what could not be used.
func (c *Change) Note(text string) { c.notes = append(c.notes, text) }

// Apply completes an event whose ID, Type and SentAt are set.
//
// Clocks: the values of a user object have the clock of its updated_at, otherwise the time sent,
// otherwise the time of receipt. A deletion has deleted_at, otherwise the time sent, otherwise the
// time of receipt. A clock that is unreadable or in the future is skipped, and the event's reason
// says so. If the time of receipt is used, the sender gave no time at all: see provider.Event.
//
// A deletion often repeats the previous profile. Those values are used only if the object has an
// updated_at of its own: with the deletion's clock they would overwrite newer values.
func (c *Change) Apply(d provider.Message, e provider.Event) provider.Event {
	b := builder{keys: c.Keys, event: e, receivedAt: Receipt(d.ReceivedAt), notes: c.notes}

	id := c.User[ID]
	if c.NumericID && id.IsNumber() && !bytes.ContainsAny(id, ".eE") {
		id = Value(`"` + string(id) + `"`)
	}
	userID, problem := identity(c.Path+"."+c.Keys[ID], id, maxUserID)
	if problem != "" {
		return Failed(d, e, problem)
	}
	b.event.UserID = userID

	b.envelope(c.SentAt)
	b.event.Fields = make(provider.Fields, 9)
	b.event.Fields[record.DeletedAt] = nil
	if c.Deletes {
		b.deletion(c)
	}
	updatedAt, state := b.instant(c.User[UpdatedAt])
	switch {
	case !c.Deletes || state == readable || state == readAheadKeys:
		b.profileClock(updatedAt, state)
		b.profile(c)
	case state == unreadable:
		b.unreadable(UpdatedAt, "the profile is left as it was")
	}
	b.event.Verdict, b.event.Reason = provider.Apply, strings.Join(b.notes, "; ")
	return b.event
}

// builder collects an event's fields, and notes about what it could not use.
type builder struct {
	keys       *Keys
	event      provider.Event
	receivedAt time.Time
	// sent is the envelope's time; zero if it cannot be the clock.
	sent  Time
	notes []string

	texts [9]string // backing storage for Fields, in one allocation
	used  int
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
		b.note(b.keys[UpdatedAt] + " lies in the future: " + b.instead())
	case unreadable:
		b.unreadable(UpdatedAt, "updated_at is left as it was, and "+b.instead())
	case unsaid:
	}
	b.event.At, b.event.AtIsReceipt = b.event.SentAt, b.sent.IsZero()
}

func (b *builder) profile(c *Change) {
	b.sayText(record.Email, Email, c.User[Email])
	b.sayNames(c.User[FirstName], c.User[LastName], c.User[FullName])
	b.sayText(record.Username, Username, c.User[Username])
	b.sayText(record.ImageURL, ImageURL, c.User[ImageURL])
	b.sayTime(record.CreatedAt, CreatedAt, c.User[CreatedAt])
	b.sayTime(record.UpdatedAt, UpdatedAt, c.User[UpdatedAt])
	b.sayTime(record.LastSignInAt, LastSignInAt, c.User[LastSignInAt])
	raw, note := Storable(c.Object)
	b.event.Raw = raw
	if note != "" {
		b.note(note)
	}
}

func (b *builder) deletion(c *Change) {
	given, state := b.instant(c.User[DeletedAt])
	clock := given
	switch state {
	case readable:
	case readAheadKeys:
		b.note(c.Keys[DeletedAt] + " lies in the future: " + b.instead())
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

func (b *builder) sayTime(column record.Column, field Field, v Value) {
	if v.IsNull() {
		b.event.Fields[column] = nil
	} else if t, ok := ParseTime(v); ok {
		b.say(column, Format(t.Time))
	} else if !v.IsAbsent() && field != UpdatedAt { // profileClock notes that one
		b.unreadable(field, string(column)+" is left as it was")
	}
}

// unreadable notes a time that cannot be parsed.
func (b *builder) unreadable(field Field, consequence string) {
	b.note(b.keys[field] + " is no date that can be read: " + consequence)
}

// sayText sets a text field. A blank text clears the column.
func (b *builder) sayText(column record.Column, field Field, v Value) {
	switch {
	case v.IsAbsent():
	case v.IsNull():
		b.event.Fields[column] = nil
	case v.IsText():
		text := b.text(field, v)
		if isBlank(text) {
			text = ""
		}
		b.sayOrClear(column, text)
	default:
		b.note(fmt.Sprintf("%s is %s, not a text: %s is left as it was", b.keys[field], v.Kind(), column))
	}
}

func isBlank(text string) bool { return strings.TrimSpace(text) == "" }

// isGiven reports whether a value takes precedence over the full name: anything but null and a
// blank text. A first or last name that is not a text also does.
func isGiven(v Value) bool {
	if v.IsText() {
		text, _ := v.Text()
		return !isBlank(text)
	}
	return !v.IsAbsent() && !v.IsNull()
}

// sayNames sets the first and last name if the provider gives at least one of them; otherwise it
// splits the full name at white space: the first word, and the unchanged remainder.
func (b *builder) sayNames(first, last, full Value) {
	if isGiven(first) || isGiven(last) || full.IsAbsent() {
		b.sayText(record.FirstName, FirstName, first)
		b.sayText(record.LastName, LastName, last)
		return
	}
	switch {
	case full.IsNull():
		b.event.Fields[record.FirstName] = nil
		b.event.Fields[record.LastName] = nil
	case full.IsText():
		firstName, lastName := splitName(b.text(FullName, full))
		b.sayOrClear(record.FirstName, firstName)
		b.sayOrClear(record.LastName, lastName)
	default:
		b.note(fmt.Sprintf("%s is %s, not a text: first_name and last_name are left as they were", b.keys[FullName], full.Kind()))
	}
}

func splitName(name string) (first, last string) {
	name = strings.TrimSpace(name)
	end := strings.IndexFunc(name, unicode.IsSpace)
	if end < 0 {
		return name, ""
	}
	return name[:end], strings.TrimLeftFunc(name[end:], unicode.IsSpace)
}

func (b *builder) text(field Field, v Value) string {
	text, flaws := v.Text()
	if flaws > 0 {
		b.note(fmt.Sprintf("%s: replaced %d of its characters, which PostgreSQL cannot hold", b.keys[field], flaws))
	}
	return text
}

func (b *builder) sayOrClear(column record.Column, text string) {
	if text == "" {
		b.event.Fields[column] = nil
		return
	}
	b.say(column, text)
}

func (b *builder) say(column record.Column, text string) {
	b.texts[b.used] = text
	b.event.Fields[column] = &b.texts[b.used]
	b.used++
}

func (b *builder) note(text string) {
	if !slices.Contains(b.notes, text) {
		b.notes = append(b.notes, text)
	}
}
