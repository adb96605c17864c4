package mirror

import (
	"time"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// Event is a provider's event and the message that brought it.
type Event struct {
	provider.Event

	Provider   string
	InboxID    int64
	ReceivedAt time.Time
	// NoLedger: no message brought it, authsync read it from the provider. Its
	// version alone makes a repetition harmless, and its outcome may be unchanged.
	NoLedger bool
}

// fieldOfRaw is the bit of column raw in a sum of columns; see users.last_event_fields.
const fieldOfRaw = 1 << 9

// fieldColumns are the columns of users that an event sets, but for raw, in the sequence of their bits in a
// sum of columns.
func fieldColumns() []record.Column {
	return []record.Column{
		record.Email, record.FirstName, record.LastName, record.Username, record.ImageURL,
		record.CreatedAt, record.UpdatedAt, record.LastSignInAt, record.DeletedAt,
	}
}

// eventArray is the SQL of a capydb_auth.user_event[] made of parameters $1 to $27, which eventArgs gives: an array for
// each attribute, in the sequence of the type. Arrays of built-in types need no type registered with the connection,
// and the server has nothing to parse.
const eventArray = `ARRAY(
		SELECT ROW(e.*)::capydb_auth.user_event
		FROM unnest(
			$1::integer[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::bigint[], $7::integer[], $8::timestamptz[],
			$9::boolean[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::boolean[],
			$15::boolean[], $16::boolean[], $17::integer[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[],
			$23::text[], $24::text[], $25::text[], $26::text[], $27::jsonb[]
		) AS e)`

// eventArgs are the parameters of eventArray; the ordinal of each event is its index.
func eventArgs(events []*Event) []any {
	n := len(events)
	columns := fieldColumns()
	var (
		ordinals, inboxOrdinals, fields      = make([]int32, n), make([]int32, n), make([]int32, n)
		providers, ids, users                = make([]string, n), make([]string, n), make([]string, n)
		digests, inLedger, atReceipt         = make([]bool, n), make([]bool, n), make([]bool, n)
		deletedReceipt, signInIsLeast        = make([]bool, n), make([]bool, n)
		inboxIDs                             = make([]int64, n)
		received, at, deleted, sent, arrived = make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time, n)
		values                               = make([][]*string, len(columns))
		raws                                 = make([][]byte, n)
	)
	for c := range columns {
		values[c] = make([]*string, n)
	}
	for i, e := range events {
		ordinals[i], inboxOrdinals[i] = int32(i), int32(e.Ordinal) //nolint:gosec // both are bounded by what a message holds
		providers[i], ids[i], users[i] = e.Provider, e.ID, e.UserID
		digests[i], inLedger[i] = e.IDIsDigest, !e.NoLedger
		atReceipt[i], deletedReceipt[i], signInIsLeast[i] = e.AtIsReceipt, e.DeletedClockIsReceipt, e.LastSignInIsLeast
		inboxIDs[i] = e.InboxID
		received[i], at[i], deleted[i], sent[i] = instant(e.ReceivedAt), instant(e.At), instant(e.DeletedClock), instant(e.SentAt)
		arrived[i] = instant(e.arrivedAt())
		for c, column := range columns {
			if value, ok := e.Fields[column]; ok {
				fields[i] |= 1 << c
				values[c][i] = value
			}
		}
		if e.Raw != nil {
			fields[i] |= fieldOfRaw
			raws[i] = e.Raw
		}
	}
	args := []any{
		ordinals, providers, ids, digests, users, inboxIDs, inboxOrdinals, received, inLedger, at, deleted, sent, arrived,
		atReceipt, deletedReceipt, signInIsLeast, fields,
	}
	for _, v := range values {
		args = append(args, v)
	}
	return append(args, raws)
}

// instant gives nil for the zero time.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// arrivedAt is when the event was received, if its clocks alone do not decide whether it is newer
// than another; otherwise zero. Events of one message came in their sequence.
func (e *Event) arrivedAt() time.Time {
	arrived := e.ReceivedAt.Truncate(time.Microsecond).Add(time.Duration(e.Ordinal) * time.Microsecond)
	if !e.AtIsReceipt && !e.DeletedClockIsReceipt && !e.At.After(arrived) && !e.DeletedClock.After(arrived) {
		return time.Time{}
	}
	return arrived
}

// size is about how many bytes the event takes in a call.
func (e *Event) size() int { return 512 + len(e.Raw) }

// pointers gives the events as eventArgs takes them.
func pointers(events []Event) []*Event {
	all := make([]*Event, len(events))
	for i := range events {
		all[i] = &events[i]
	}
	return all
}
