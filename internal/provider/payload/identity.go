package payload

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider"
)

// Limits of ids, in bytes: an index entry of PostgreSQL holds some 2700, and
// the ledger's holds both ids. The providers' own are below 150.
const (
	maxEventID = 512
	maxUserID  = 1024
	maxType    = 128
)

// New begins an event of a delivery. Until something better is known it was
// sent when it was received. A delivery lists its events in their sequence: each counts
// as received a microsecond after the one before it.
func New(d provider.Message, ordinal int) provider.Event {
	return provider.Event{Ordinal: ordinal, SentAt: Receipt(d.ReceivedAt).Add(time.Duration(ordinal) * time.Microsecond)}
}

// Ignored ends an event that is of no concern to the mirror.
func Ignored(e provider.Event, reason string) provider.Event {
	e.Verdict, e.Reason = provider.Ignore, reason
	return e
}

// Failed ends an event that cannot be understood.
func Failed(d provider.Message, e provider.Event, reason string) provider.Event {
	if e.ID == "" && SetMessageID(&e, d) != "" {
		setDigest(&e, d)
	}
	e.Verdict, e.Reason = provider.Fail, reason
	return e
}

// FailedMessage is the one event of a delivery of which nothing can be understood.
func FailedMessage(d provider.Message, reason string) []provider.Event {
	return []provider.Event{Failed(d, New(d, 0), reason)}
}

// Unmirrored ends an event of a type that is not mirrored.
func Unmirrored(e provider.Event) provider.Event {
	return Ignored(e, fmt.Sprintf("type %s is not mirrored", e.Type))
}

// SetID gives an event the id that the sender gave it, or the digest of the
// body where it gave none. An id is never altered; the problem, if any, says
// what is wrong with it.
func SetID(e *provider.Event, d provider.Message, key string, id Value) (problem string) {
	if id.IsAbsent() || id.IsNull() {
		setDigest(e, d)
		return ""
	}
	text, problem := identity(key, id, maxEventID)
	e.ID = text
	return problem
}

// SetMessageID gives an event the id of its delivery, or the digest of the
// body where the delivery has none. It is for providers that send one event a delivery.
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

// WithDigest computes the digest of the body, so that it is not computed again
// for each event of a delivery that has many.
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

// SetType reads the event's type; the problem, if any, says what is wrong with it.
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

// SetSentAt reads the envelope's time: the first of the values that is one. Where none can be
// read, or it lies in the future, the time of receipt stays; Change.Apply notes why.
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

// UserID reads the id of a user, unaltered; the problem, if any, says what is wrong with it.
func UserID(key string, v Value) (id, problem string) { return identity(key, v, maxUserID) }

// CheckUserID says what is wrong with the id of a user that does not stand in
// the payload as a value of its own.
func CheckUserID(name, id string) (problem string) { return checkIdentity(name, id, maxUserID) }

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
	case id == "":
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

// EmptyMessage is the one event of a delivery that carries none.
func EmptyMessage(d provider.Message) provider.Event {
	e := New(d, 0)
	setDigest(&e, d)
	return Ignored(e, "the body holds no event: its array is empty")
}
