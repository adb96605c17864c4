package provider

import (
	"encoding/json"
	"time"
)

// Message is one HTTP request of a provider, as the inbox keeps it.
type Message struct {
	InboxID    int64
	MessageID  string // the sender's id from its headers (svix-id, webhook-id); empty where it sends none
	ReceivedAt time.Time
	Headers    map[string]string // the headers worth keeping, by canonical name
	Body       []byte
	// BodyDigest is the hex digest (SHA-256) of Body where the decoder has
	// computed it already, because many events may need it; empty otherwise.
	BodyDigest string
}

// Column is a mirrored column of capydb_auth.users that an event can speak of.
// The raw user object is Event.Raw.
type Column string

// The mirrored columns.
const (
	Email        Column = "email"
	FirstName    Column = "first_name"
	LastName     Column = "last_name"
	Username     Column = "username"
	ImageURL     Column = "image_url"
	CreatedAt    Column = "created_at"
	UpdatedAt    Column = "updated_at"
	LastSignInAt Column = "last_sign_in_at"
	DeletedAt    Column = "deleted_at"
)

// Fields is what an event says about a user. A column that is absent is left
// alone; a nil value clears it. Times are RFC 3339 in UTC with at most
// microseconds, and lie within what PostgreSQL's timestamptz holds. Text holds no U+0000.
type Fields map[Column]*string

// Verdict is what decoding alone can tell about an event.
type Verdict int

// The verdicts.
const (
	// Apply: the event goes to the mirror. Event.Reason may carry notes on
	// what could not be taken over as it came.
	Apply Verdict = iota
	// Ignore: acknowledged and recorded, of no concern to the mirror; Event.Reason says why.
	Ignore
	// Fail: it concerns the mirror but cannot be understood; Event.Reason says what is wrong.
	Fail
	// Refresh: the event says that a user may have changed but not how: the
	// user is to be read from the provider. Event.At is when it happened.
	Refresh
)

// Event is one thing that happened to one user, in authsync's own terms.
type Event struct {
	// Ordinal is the event's place in its delivery, from 0.
	Ordinal int
	// ID identifies the event over retries and redeliveries. Where the sender
	// gives none it is "sha256:" and the hex digest of the body (for the n-th
	// event of an array, "#n" behind it) and IDIsDigest is set: such an id
	// repeats an event only within ten minutes.
	ID         string
	IDIsDigest bool
	// Type is the provider's own name of the type, such as "user.updated".
	Type string
	// UserID is empty where the event is about no user or cannot be understood.
	UserID string
	// At is the clock of the values in Says and Raw: the object's updated_at,
	// else SentAt. Zero for a deletion that carries no profile.
	At time.Time
	// DeletedClock is the clock of a deletion (deleted_at, else SentAt);
	// zero for everything else.
	DeletedClock time.Time
	// AtIsReceipt and DeletedClockIsReceipt: the clock is the time of receipt, because the
	// sender said no time, or none that can be believed. What is said so is newer than
	// all that was received before it, whatever clocks that has.
	AtIsReceipt, DeletedClockIsReceipt bool
	// SentAt is the envelope's time, else the time of receipt and, for each event before
	// it in its delivery, a microsecond. It breaks ties of At.
	SentAt time.Time
	// LastSignInIsLeast: the last sign-in is not before what is said of it, but it may be later.
	LastSignInIsLeast bool
	// Fields always speaks of DeletedAt when the verdict is Apply: NULL unless
	// the event is a deletion.
	Fields Fields
	// Raw is the user object as it came, in a form that jsonb takes; nil where the event carries none.
	Raw json.RawMessage

	Verdict Verdict
	Reason  string
}

// Time is the time shown for the event: the greater of its clocks, zero where it has none.
func (e *Event) Time() time.Time {
	if e.DeletedClock.After(e.At) {
		return e.DeletedClock
	}
	return e.At
}
