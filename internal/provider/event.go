package provider

import (
	"encoding/json"
	"time"

	"github.com/authsync/authsync/internal/record"
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
	// Account is the mark of the account whose users the mirror has; empty if it is not known. What another account
	// sent is ignored, where the message says from which it is.
	Account string
}

// Fields are the values that an event sets. An absent column is unchanged; nil clears it. Times are
// RFC 3339 in UTC with at most microseconds, within the range of timestamptz; lists of texts are
// as record.Array makes them. Text contains no U+0000.
type Fields map[record.Column]*string

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

// Event is one thing that happened to one record, in provider-independent form.
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
	// RecordType is what the event is about; empty means a user.
	RecordType record.Type
	// UserID and OrganizationID are the user and the organization that the event is about, or that
	// its record belongs to. Empty if there is none, or if the event cannot be decoded.
	UserID, OrganizationID string
	// ObjectID is the id of an invitation or a session, which have one of their own.
	ObjectID string
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
	// Fields includes DeletedAt whenever the verdict is Apply: NULL unless the event is a deletion. An
	// event about a role alone sets no field.
	Fields Fields
	// RoleAdded and RoleRemoved are a role that a membership gets or loses, for providers that report
	// roles one by one. At is the clock of that.
	RoleAdded, RoleRemoved string
	// Raw is the provider's object in a form valid for jsonb; nil if the event has none.
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

// SetRecord makes the event one about a record.
func (e *Event) SetRecord(ref record.Ref) {
	if ref.Type != record.User {
		e.RecordType = ref.Type
	}
	switch ref.Type {
	case record.User:
		e.UserID = ref.ID
	case record.Organization:
		e.OrganizationID = ref.ID
	case record.Membership:
		e.OrganizationID, e.UserID, _ = record.SplitMembershipID(ref.ID)
	case record.Invitation, record.Session:
		e.ObjectID = ref.ID
	}
}

// Record returns what the event is about. Its ID is empty if the event is about nothing that is
// mirrored, or cannot be decoded.
func (e *Event) Record() record.Ref {
	switch e.RecordType {
	case record.Organization:
		return record.Ref{Type: record.Organization, ID: e.OrganizationID}
	case record.Membership:
		if e.OrganizationID == "" || e.UserID == "" {
			return record.Ref{Type: record.Membership}
		}
		return record.Ref{Type: record.Membership, ID: record.MembershipID(e.OrganizationID, e.UserID)}
	case record.Invitation, record.Session:
		return record.Ref{Type: e.RecordType, ID: e.ObjectID}
	case record.User:
	}
	return record.Ref{Type: record.User, ID: e.UserID}
}
