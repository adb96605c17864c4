package mirror

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/provider"
)

// Event is a provider's event and the delivery that brought it.
type Event struct {
	provider.Event

	Provider   string
	InboxID    int64
	ReceivedAt time.Time
	// NoLedger: no delivery brought it, authsync read it from the provider. Its
	// version alone makes a repetition harmless, and its outcome may be unchanged.
	NoLedger bool
}

// encode writes the event as an element of the argument of apply_events (its
// header lists the keys), without the opening brace and the ordinal: these are
// known only when the batch is put together.
//
// It is written by hand because it runs once an event and json.Marshal would
// read the user object, the bulk of it, another time.
func encode(e *Event) []byte {
	size := 512 + len(e.Raw)
	b := make([]byte, 0, size)
	b = appendText(b, "provider", e.Provider)
	b = appendText(b, "event_id", e.ID)
	b = append(b, `,"id_is_digest":`...)
	b = strconv.AppendBool(b, e.IDIsDigest)
	b = appendText(b, "user_id", e.UserID)
	b = append(b, `,"inbox_id":`...)
	b = strconv.AppendInt(b, e.InboxID, 10)
	b = append(b, `,"inbox_ordinal":`...)
	b = strconv.AppendInt(b, int64(e.Ordinal), 10)
	b = appendTime(b, "received_at", e.ReceivedAt)
	if e.NoLedger {
		b = append(b, `,"in_ledger":false`...)
	}
	b = appendTime(b, "at", e.At)
	b = appendTime(b, "deleted_clock", e.DeletedClock)
	b = appendTime(b, "sent_at", e.SentAt)
	b = appendArrival(b, e)
	if e.LastSignInIsLeast {
		b = append(b, `,"last_sign_in_at_is_least":true`...)
	}
	b = append(b, `,"fields":{`...)
	first := true
	for column, value := range e.Fields {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(b, string(column))
		b = append(b, ':')
		if value == nil {
			b = append(b, "null"...)
		} else {
			b = appendString(b, *value)
		}
	}
	b = append(b, '}')
	if e.Raw != nil {
		b = append(b, `,"raw":`...)
		b = append(b, e.Raw...)
	}
	return append(b, '}')
}

// appendArrival appends when the event was received, if its clocks alone do not say
// whether it is newer than another.
func appendArrival(b []byte, e *Event) []byte {
	arrived := e.arrivedAt()
	if !e.AtIsReceipt && !e.DeletedClockIsReceipt && !e.At.After(arrived) && !e.DeletedClock.After(arrived) {
		return b
	}
	if e.AtIsReceipt {
		b = append(b, `,"at_is_receipt":true`...)
	}
	if e.DeletedClockIsReceipt {
		b = append(b, `,"deleted_clock_is_receipt":true`...)
	}
	return appendTime(b, "arrived_at", arrived)
}

// arrivedAt is when the event was received. Those of one delivery came in their sequence.
func (e *Event) arrivedAt() time.Time {
	return e.ReceivedAt.Truncate(time.Microsecond).Add(time.Duration(e.Ordinal) * time.Microsecond)
}

// appendText appends a key and a text.
func appendText(b []byte, key, value string) []byte {
	b = append(b, ',')
	b = appendString(b, key)
	b = append(b, ':')
	return appendString(b, value)
}

// appendTime appends a key and a time; nothing for the zero time.
func appendTime(b []byte, key string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = append(b, ',')
	b = appendString(b, key)
	b = append(b, `:"`...)
	b = t.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendString appends a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil { // cannot happen: every string has a JSON form
				panic(err)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// join puts encoded events together to the argument of apply_events; the
// ordinal of each is its index.
func join(docs [][]byte) []byte {
	size := 2
	for _, d := range docs {
		size += len(d) + 24
	}
	b := make([]byte, 0, size)
	b = append(b, '[')
	for i, d := range docs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"ordinal":`...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, d...)
	}
	return append(b, ']')
}
