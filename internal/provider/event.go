package provider

import (
	"encoding/json"
	"time"
)

// Message is one HTTP request of a provider, as stored in the inbox.
type Message struct {
	InboxID    int64
	MessageID  string // the sender's id from its headers (svix-id, webhook-id); empty if there is none
	ReceivedAt time.Time
	Headers    map[string]string // the headers worth keeping, by canonical name
	Body       []byte
	// BodyDigest is the hex SHA-256 digest of Body if the decoder has already computed it, because
	// many events may need it; otherwise empty.
	BodyDigest string
}

// Column is a mirrored column of capydb_auth.users that an event can set. The raw user object is
// Event.Raw.
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

// Fields are the values that an event sets. An absent column is unchanged; nil clears it. Times are
// RFC 3339 in UTC with at most microseconds, within the range of timestamptz. Text contains no
// U+0000.
type Fields map[Column]*string

// Verdict is the result of decoding an event.
type Verdict int

// The verdicts.
const (
	// Apply sends the event to the mirror. Event.Reason may note what could not be used unchanged.
	Apply Verdict = iota
	// Ignore means that the event is acknowledged and recorded but irrelevant to the mirror;
	// Event.Reason says why.
	Ignore
	// Fail means that the event is relevant but cannot be decoded; Event.Reason says why.
	Fail
	// Refresh means that a user may have changed, but not how: the user is to be read from the
	// provider. Event.At is when it happened.
	Refresh
)

// Event is one thing that happened to one user, in provider-independent form.
type Event struct {
	// Ordinal is the event's position in its message, from 0.
	Ordinal int
	// ID identifies the event across retries and redeliveries. If the sender gives none, it is
	// "sha256:" and the hex digest of the body (followed by "#n" for the n-th event of an array)
	// and IDIsDigest is set: such an id only counts as a repetition within ten minutes.
	ID         string
	IDIsDigest bool
	// Type is the provider's name of the type, such as "user.updated".
	Type string
	// UserID is empty if the event is about no user or cannot be decoded.
	UserID string
	// At is the clock of the values in Fields and Raw: the object's updated_at, otherwise SentAt.
	// Zero for a deletion without a profile.
	At time.Time
	// DeletedClock is the clock of a deletion (deleted_at, otherwise SentAt); zero for other
	// events.
	DeletedClock time.Time
	// AtIsReceipt and DeletedClockIsReceipt report that the clock is the time of receipt, because
	// the sender gave no credible time. Its values are newer than everything received before,
	// whatever the clocks of that.
	AtIsReceipt, DeletedClockIsReceipt bool
	// SentAt is the envelope's time, otherwise the time of receipt plus a microsecond for each
	// earlier event in the message. It breaks ties of At.
	SentAt time.Time
	// LastSignInIsLeast reports that the last sign-in is a lower bound.
	LastSignInIsLeast bool
	// Fields includes DeletedAt whenever the verdict is Apply: NULL unless the event is a deletion.
	Fields Fields
	// Raw is the user object in a form valid for jsonb; nil if the event has none.
	Raw json.RawMessage

	Verdict Verdict
	Reason  string
}

// Time returns the time shown for the event: the later of its clocks, zero if it has none.
func (e *Event) Time() time.Time {
	if e.DeletedClock.After(e.At) {
		return e.DeletedClock
	}
	return e.At
}
