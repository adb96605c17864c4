package mirror

import (
	"time"

	"github.com/authsync/authsync/internal/pgdb"
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
	// Alone: it failed, or was deferred, in a call with others. It is tried in a call of its own, after those that are not,
	// and for a short time: no other event waits for a trigger that takes long with this one.
	Alone bool
}

// eventArray is the SQL of a capydb_auth.event[] made of parameters $1 to $41, which eventArgs gives: an array for
// each attribute, in the sequence of the type. Arrays of built-in types need no type registered with the connection,
// and the server has nothing to parse. Lists of texts come in PostgreSQL's notation, because unnest would flatten them.
const eventArray = `ARRAY(
		SELECT ROW(
			e.a1, e.a2, e.a3, e.a4, e.a5, e.a6, e.a7, e.a8, e.a9, e.a10, e.a11, e.a12, e.a13, e.a14, e.a15, e.a16, e.a17, e.a18,
			e.a19, e.a20, e.a21, e.a22, e.a23, e.a24, e.a25, e.a26, e.a27, e.a28, e.a29, e.a30, e.a31, e.a32, e.a33, e.a34, e.a35,
			e.a36, e.a37::text[], e.a38::text[], e.a39, e.a40, e.a41
		)::capydb_auth.event
		FROM unnest(
			$1::integer[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[], $9::bigint[],
			$10::integer[], $11::timestamptz[], $12::boolean[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[],
			$16::timestamptz[], $17::boolean[], $18::boolean[], $19::boolean[], $20::text[], $21::text[], $22::integer[],
			$23::text[], $24::text[], $25::text[], $26::text[], $27::text[], $28::timestamptz[], $29::timestamptz[],
			$30::timestamptz[], $31::timestamptz[], $32::jsonb[], $33::text[], $34::text[], $35::text[], $36::text[], $37::text[],
			$38::text[], $39::text[], $40::timestamptz[], $41::timestamptz[]
		) AS e (
			a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, a23, a24, a25,
			a26, a27, a28, a29, a30, a31, a32, a33, a34, a35, a36, a37, a38, a39, a40, a41
		))`

// eventArgs are the parameters of eventArray; the ordinal of each event is its index.
func eventArgs(events []*Event) []any {
	n := len(events)
	var (
		ordinals, inboxOrdinals, fields      = make([]int32, n), make([]int32, n), make([]int32, n)
		types, records, organizations, users = make([]string, n), make([]string, n), make([]*string, n), make([]*string, n)
		providers, ids                       = make([]string, n), make([]string, n)
		digests, inLedger, atReceipt         = make([]bool, n), make([]bool, n), make([]bool, n)
		deletedReceipt, signInIsLeast        = make([]bool, n), make([]bool, n)
		inboxIDs                             = make([]int64, n)
		received, at, deleted, sent, arrived = make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time, n)
		rolesAdded, rolesRemoved             []*string
		columns                              = record.Columns()
		values                               = make([][]*string, len(columns))
		raws                                 = make([][]byte, n)
	)
	places := make(map[record.Column]int, len(columns)) // the bits
	for c, column := range columns {
		places[column] = c
	}
	for i, e := range events {
		ref := e.Record()
		ordinals[i], inboxOrdinals[i] = int32(i), int32(e.Ordinal) //nolint:gosec // both are bounded by what a message holds
		types[i], records[i] = string(ref.Type), ref.ID
		organizations[i], users[i] = pgdb.NullText(e.OrganizationID), pgdb.NullText(e.UserID)
		providers[i], ids[i] = e.Provider, e.ID
		digests[i], inLedger[i] = e.IDIsDigest, !e.NoLedger
		atReceipt[i], deletedReceipt[i], signInIsLeast[i] = e.AtIsReceipt, e.DeletedClockIsReceipt, e.LastSignInIsLeast
		inboxIDs[i] = e.InboxID
		received[i], at[i], deleted[i], sent[i] = instant(e.ReceivedAt), instant(e.At), instant(e.DeletedClock), instant(e.SentAt)
		arrived[i] = instant(e.arrivedAt())
		put(&rolesAdded, n, i, pgdb.NullText(e.RoleAdded))
		put(&rolesRemoved, n, i, pgdb.NullText(e.RoleRemoved))
		for column, value := range e.Fields {
			c, known := places[column]
			if !known {
				continue
			}
			fields[i] |= 1 << c
			switch column {
			case record.OrganizationID:
				organizations[i] = value
			case record.UserID:
				users[i] = value
			default:
				put(&values[c], n, i, value)
			}
		}
		if e.Raw != nil {
			fields[i] |= 1 << places[record.Raw]
			raws[i] = e.Raw
		}
	}
	args := []any{
		ordinals, types, records, organizations, users, providers, ids, digests, inboxIDs, inboxOrdinals, received, inLedger,
		at, deleted, sent, arrived, atReceipt, deletedReceipt, signInIsLeast, rolesAdded, rolesRemoved, fields,
	}
	for c, column := range columns {
		switch column {
		case record.OrganizationID, record.UserID: // they have come before
		case record.Raw:
			args = append(args, raws)
		default:
			args = append(args, values[c])
		}
	}
	return args
}

// put sets an element of an array of n that is only made if it is needed: unnest takes what is missing as NULL.
func put(values *[]*string, n, i int, value *string) {
	if value == nil {
		return
	}
	if *values == nil {
		*values = make([]*string, n)
	}
	(*values)[i] = value
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
