package payload

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/authsync/authsync/internal/provider"
)

// Change is an event about a user, taken apart by a provider's package.
type Change struct {
	Object Value // the user object
	Keys   *Keys
	User   User
	// Path is where the user object stands in the payload, such as "data.object".
	Path string
	// Deletes: the user was deleted.
	Deletes bool
	// SentAt is the envelope's time as it stands there, zero where there is none.
	SentAt Time
	// NumericID: an id that is a JSON number without fraction or exponent is
	// taken as its decimal text.
	NumericID bool

	notes []string
}

// Note adds to the event's reason what could not be taken over.
func (c *Change) Note(text string) { c.notes = append(c.notes, text) }

// Apply completes an event whose ID, Type and SentAt are set.
//
// Clocks: the values of a user object have the clock of its updated_at, else
// the time sent, else the time of receipt. A deletion has deleted_at, else the
// time sent, else the time of receipt. Neither lies in the future; see Cap.
//
// A deletion often repeats the profile as it was before. Those values count
// only if the object tells by an updated_at of its own how old they are: with
// the deletion's clock they would overwrite newer ones that came earlier.
func (c *Change) Apply(d provider.Delivery, e provider.Event) provider.Event {
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

	b.cap("the envelope's time", c.SentAt.Time)
	b.event.Says = make(provider.Says, 9)
	b.event.Says[provider.DeletedAt] = nil
	updatedAt, hasUpdatedAt := ParseTime(c.User[UpdatedAt])
	if c.Deletes {
		b.deletion(c)
		if v := c.User[UpdatedAt]; !hasUpdatedAt && !v.IsAbsent() && !v.IsNull() {
			b.unreadable(UpdatedAt, "the profile is left as it was")
		}
	}
	if !c.Deletes || hasUpdatedAt {
		b.event.At = b.event.SentAt
		if hasUpdatedAt {
			b.event.At = b.cap(c.Keys[UpdatedAt], updatedAt.Time)
		}
		b.profile(c)
	}
	b.event.Verdict, b.event.Reason = provider.Apply, strings.Join(b.notes, "; ")
	return b.event
}

// builder collects what an event says, and notes on what it cannot say.
type builder struct {
	keys       *Keys
	event      provider.Event
	receivedAt time.Time
	notes      []string

	texts [9]string // what Says points to, so that it is one allocation
	used  int
}

func (b *builder) profile(c *Change) {
	b.sayText(provider.Email, Email, c.User[Email])
	b.sayNames(c.User[FirstName], c.User[LastName], c.User[FullName])
	b.sayText(provider.Username, Username, c.User[Username])
	b.sayText(provider.ImageURL, ImageURL, c.User[ImageURL])
	b.sayTime(provider.CreatedAt, CreatedAt, c.User[CreatedAt])
	b.sayTime(provider.UpdatedAt, UpdatedAt, c.User[UpdatedAt])
	b.sayTime(provider.LastSignInAt, LastSignInAt, c.User[LastSignInAt])
	raw, note := Storable(c.Object)
	b.event.Raw = raw
	if note != "" {
		b.note(note)
	}
}

func (b *builder) deletion(c *Change) {
	given, name := c.User[DeletedAt], c.Keys[DeletedAt]
	at, ok := ParseTime(given)
	if !ok {
		if !given.IsAbsent() && !given.IsNull() {
			b.unreadable(DeletedAt, "the time sent or received stands in for it")
		}
		at, name = c.SentAt, "the envelope's time"
	}
	if at.IsZero() {
		at.Time = b.receivedAt
	}
	b.say(provider.DeletedAt, Format(at.Time))

	clock := at.Time
	if at.WholeSeconds {
		// A change earlier in the same second must not outlive the deletion.
		clock = clock.Add(999 * time.Millisecond)
	}
	b.event.DeletedClock = b.cap(name, clock)
}

// cap is Cap with a note.
func (b *builder) cap(name string, t time.Time) time.Time {
	clock, capped := Cap(t, b.receivedAt)
	if capped {
		b.note(name + " lies in the future: the time of receipt is the clock instead")
	}
	return clock
}

func (b *builder) sayTime(column provider.Column, field Field, v Value) {
	if v.IsNull() {
		b.event.Says[column] = nil
	} else if t, ok := ParseTime(v); ok {
		b.say(column, Format(t.Time))
	} else if !v.IsAbsent() {
		b.unreadable(field, string(column)+" is left as it was")
	}
}

// unreadable notes an instant that is there but cannot be read.
func (b *builder) unreadable(field Field, consequence string) {
	b.note(b.keys[field] + " is no date that can be read: " + consequence)
}

func (b *builder) sayText(column provider.Column, field Field, v Value) {
	switch {
	case v.IsAbsent():
	case v.IsNull():
		b.event.Says[column] = nil
	case v.IsText():
		b.say(column, b.text(field, v))
	default:
		b.note(fmt.Sprintf("%s is %s, not a text: %s is left as it was", b.keys[field], v.Kind(), column))
	}
}

// sayNames takes the first and the last name where the provider gives at least
// one of them; else it splits the full name at white space: the first word,
// and the remainder as it stands. A first or last name of another type than
// text counts as given, so that the full name does not stand in for it.
func (b *builder) sayNames(first, last, full Value) {
	given := func(v Value) bool { return !v.IsAbsent() && !v.IsNull() }
	if given(first) || given(last) || full.IsAbsent() {
		b.sayText(provider.FirstName, FirstName, first)
		b.sayText(provider.LastName, LastName, last)
		return
	}
	switch {
	case full.IsNull():
		b.event.Says[provider.FirstName] = nil
		b.event.Says[provider.LastName] = nil
	case full.IsText():
		firstName, lastName := splitName(b.text(FullName, full))
		b.sayOrClear(provider.FirstName, firstName)
		b.sayOrClear(provider.LastName, lastName)
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

func (b *builder) sayOrClear(column provider.Column, text string) {
	if text == "" {
		b.event.Says[column] = nil
		return
	}
	b.say(column, text)
}

func (b *builder) say(column provider.Column, text string) {
	b.texts[b.used] = text
	b.event.Says[column] = &b.texts[b.used]
	b.used++
}

func (b *builder) note(text string) {
	if !slices.Contains(b.notes, text) {
		b.notes = append(b.notes, text)
	}
}
