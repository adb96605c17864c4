package payload

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// Limits of ids, in bytes: a PostgreSQL index entry holds about 2700, and the ledger's has the ids of
// the event and of the record. That of a membership is made of two ids (record.MembershipID), which
// together may be as long as one. The providers' own are below 150.
const (
	maxEventID  = 512
	maxRecordID = 1024
	maxType     = 128
)

// New starts an event of a message. Its preliminary time of sending is the time of receipt, plus a
// microsecond for each earlier event in the message, because a message lists its events in order.
func New(d provider.Message, ordinal int) provider.Event {
	return provider.Event{Ordinal: ordinal, SentAt: Receipt(d.ReceivedAt).Add(time.Duration(ordinal) * time.Microsecond)}
}

// Ignored finishes an event that is irrelevant to the mirror.
func Ignored(e provider.Event, reason string) provider.Event {
	e.Verdict, e.Reason = provider.Ignore, reason
	return e
}

// Failed finishes an event that cannot be decoded.
func Failed(d provider.Message, e provider.Event, reason string) provider.Event {
	if e.ID == "" && SetMessageID(&e, d) != "" {
		setDigest(&e, d)
	}
	e.Verdict, e.Reason = provider.Fail, reason
	return e
}

// FailedMessage returns the single event of a message that cannot be decoded.
func FailedMessage(d provider.Message, reason string) []provider.Event {
	return []provider.Event{Failed(d, New(d, 0), reason)}
}

// Unmirrored finishes an event of a type that is not mirrored.
func Unmirrored(e provider.Event) provider.Event {
	if e.Type == erasedType {
		return Ignored(e, "the person whom it was about was erased")
	}
	return Ignored(e, fmt.Sprintf("type %s is not mirrored", e.Type))
}

// SetID sets the event's id to the sender's, or to the body's digest if there is none. An id is
// never altered; problem, if not empty, says what is wrong with it.
func SetID(e *provider.Event, d provider.Message, key string, id Value) (problem string) {
	if id.IsAbsent() || id.IsNull() {
		setDigest(e, d)
		return ""
	}
	text, problem := identity(key, id, maxEventID)
	e.ID = text
	return problem
}

// SetMessageID sets the event's id to its message's, or to the body's digest if there is none. It
// is for providers that send one event per message.
func SetMessageID(e *provider.Event, d provider.Message) (problem string) {
	if d.MessageID == "" {
		setDigest(e, d)
		return ""
	}
	if problem := checkIdentity("the delivery's id", d.MessageID, maxEventID); problem != "" {
		return problem
	}
	e.ID = d.MessageID
	return ""
}

// WithDigest computes the digest of the body once for a message with many events.
func WithDigest(d provider.Message) provider.Message {
	sum := sha256.Sum256(d.Body)
	d.BodyDigest = hex.EncodeToString(sum[:])
	return d
}

func setDigest(e *provider.Event, d provider.Message) {
	if d.BodyDigest == "" {
		d = WithDigest(d)
	}
	e.ID = "sha256:" + d.BodyDigest
	if e.Ordinal > 0 {
		e.ID = fmt.Sprintf("%s#%d", e.ID, e.Ordinal)
	}
	e.IDIsDigest = true
}

// SetType reads the event's type; problem, if not empty, says what is wrong with it.
func SetType(e *provider.Event, key string, v Value) (problem string) {
	if !v.IsText() {
		return wrongKind(key, v)
	}
	text, _ := v.Text()
	if e.Type = cut(text, maxType); e.Type == "" {
		return key + " is empty"
	}
	return ""
}

// SetSentAt reads the envelope's time: the first of the values that is one. If none is readable, or
// it is in the future, the time of receipt stays; Change.Apply notes why.
func SetSentAt(e *provider.Event, d provider.Message, values ...Value) Time {
	var sent Time
	for _, v := range values {
		if t, ok := ParseTime(v); ok {
			if !isAhead(t.Time, Receipt(d.ReceivedAt)) {
				e.SentAt = t.Time
			}
			return t
		}
		sent.Unreadable = sent.Unreadable || !v.IsAbsent() && !v.IsNull()
	}
	return sent
}

// CheckRecordID says what is wrong with an id that is not a value in the payload.
func CheckRecordID(name, id string) (problem string) { return checkIdentity(name, id, maxRecordID) }

// RecordID reads an id of any record, or the name of a role, unaltered.
func RecordID(key string, v Value) (id, problem string) { return identity(key, v, maxRecordID) }

// identify sets the ids of the event's record.
func (b *builder) identify(c *Change) (problem string) {
	e := &b.event
	switch c.Type {
	case record.User:
		e.UserID, problem = c.id(ID)
	case record.Organization:
		e.OrganizationID, problem = c.id(ID)
	case record.Membership:
		if e.OrganizationID, problem = c.id(OrganizationID); problem == "" {
			e.UserID, problem = c.id(UserID)
		}
		if problem == "" && 3*len(e.OrganizationID)+1+len(e.UserID) > maxRecordID {
			if size := len(record.MembershipID(e.OrganizationID, e.UserID)); size > maxRecordID {
				problem = fmt.Sprintf("the membership's id, made of %s.%s and %s.%s, is %d bytes long: at most %d are taken",
					c.Path, c.path(OrganizationID), c.Path, c.path(UserID), size, maxRecordID)
			}
		}
	case record.Invitation:
		if e.ObjectID, problem = c.id(ID); problem == "" {
			e.OrganizationID, problem = c.reference(OrganizationID)
		}
	case record.Session:
		if e.ObjectID, problem = c.id(ID); problem == "" {
			e.UserID, problem = c.reference(UserID)
		}
	}
	return problem
}

func (c *Change) id(field Field) (id, problem string) {
	return identity(c.Path+"."+c.path(field), c.idValue(field), maxRecordID)
}

// reference reads an id that the object may lack.
func (c *Change) reference(field Field) (id, problem string) {
	if v := c.Values[field]; v.IsAbsent() || v.IsNull() {
		return "", ""
	}
	return c.id(field)
}

// idValue returns an id as a text, if the provider's may be numbers.
func (c *Change) idValue(field Field) Value {
	v := c.Values[field]
	if c.NumericID && v.IsNumber() && !bytes.ContainsAny(v, ".eE") {
		return Value(`"` + string(v) + `"`)
	}
	return v
}

// identity reads an id, unaltered.
func identity(key string, v Value, limit int) (id, problem string) {
	if !v.IsText() {
		return "", wrongKind(key, v)
	}
	id, flaws := v.Text()
	if flaws > 0 {
		return "", key + " holds a character that PostgreSQL cannot store"
	}
	if problem := checkIdentity(key, id, limit); problem != "" {
		return "", problem
	}
	return id, ""
}

func checkIdentity(name, id string, limit int) (problem string) {
	switch {
	case isBlank(id):
		return name + " is empty"
	case len(id) > limit:
		return fmt.Sprintf("%s is %d bytes long: at most %d are taken", name, len(id), limit)
	case strings.ToValidUTF8(id, "") != id || strings.ContainsRune(id, 0):
		return name + " holds a character that PostgreSQL cannot store"
	}
	return ""
}

func wrongKind(key string, v Value) string {
	if v.IsAbsent() {
		return key + " is missing"
	}
	return fmt.Sprintf("%s is %s, not a text", key, v.Kind())
}

// NotObject says what is wrong with a value that should be an object.
func NotObject(path string, v Value) string {
	if v.IsAbsent() {
		return path + " is missing"
	}
	return fmt.Sprintf("%s is %s, not an object", path, v.Kind())
}

// EmptyMessage returns the single event of a message without events.
func EmptyMessage(d provider.Message) provider.Event {
	e := New(d, 0)
	setDigest(&e, d)
	return Ignored(e, "the body holds no event: its array is empty")
}
