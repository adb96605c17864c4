package userapi

import (
	"context"
	"encoding/json"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
)

// RecordSource is a Source that also reads organizations, memberships and invitations.
type RecordSource interface {
	// Records reads the records after a cursor; the empty cursor begins. It goes through the
	// provider's lists one after another. Otherwise it is like Source.Page: an error is never the
	// end, and any process may go on from a cursor.
	//
	// What the credentials do not allow, or the provider does not have, is left out, and a note says
	// so.
	Records(ctx context.Context, cursor string) (RecordPage, error)
	// Record reads one record, of a type that it lists. It returns ErrGone if the provider certainly
	// has no such record. A Record without an Object exists, but what it has may not be read. The error
	// is a fault.Unsupported if the credentials or the settings of the provider do not allow to ask.
	Record(ctx context.Context, ref RecordRef) (Record, error)
}

// Lagger is a Source some of whose answers may lag behind the provider's events.
type Lagger interface {
	// Lag is how far an answer about records of a type, be it a list or one record, lags at most: it knows
	// of all that happened longer before it was asked for. FetchedAt of what was read allows for it.
	Lag(t record.Type) time.Duration
}

// LagOf returns how far the answers of a source about records of a type lag at most; 0: not at all.
func LagOf(s Source, t record.Type) time.Duration {
	if lagger, lags := s.(Lagger); lags {
		return lagger.Lag(t)
	}
	return 0
}

// RecordRef names a record to be read.
type RecordRef struct {
	record.Ref

	// OrganizationID is the organization that the record belongs to, if it is known.
	OrganizationID string
}

// Record is an object of a provider that is not a user.
type Record struct {
	Type record.Type
	// Object is the provider's object, or the form that its events have where a list leaves out what
	// it was asked for, such as the organization of its members.
	Object json.RawMessage
	// FetchedAt is when the request that read it was sent, less what the answer may lag: its contents are
	// no older.
	FetchedAt time.Time
}

// Unreadable is the error of a record that cannot be read alone, because the mirror does not know enough
// of it or because it is of a type that is not listed.
func Unreadable(ref RecordRef) error {
	reason := "its provider is not asked about single " + string(ref.Type) + "s"
	if ref.Type == record.Invitation && ref.OrganizationID == "" {
		reason = "the mirror does not know which organization it belongs to"
	}
	return fault.Newf(fault.Unsupported, "%s %s cannot be read alone: %s", ref.Type, ref.ID, reason)
}

// RecordPage is one step through the lists. It may hold no records and still have a Next.
type RecordPage struct {
	Records []Record
	// Next is the cursor of the next page, empty at the end.
	Next string
	// Bad are the invalid entries, the others of which are in Records, and the lists that cannot be
	// read to their ends.
	Bad []Bad
	// Unlisted are the types whose lists were not read to their ends, or not at all: that one of their
	// records was not listed proves nothing.
	Unlisted []Unlisted
	// Notes are sentences for people.
	Notes []string
}

// Unlisted is a type of record that was not listed as a whole, and why.
type Unlisted struct {
	Type   record.Type
	Reason string
}

// Unlist notes that the lists of some types are not complete.
func (p *RecordPage) Unlist(reason string, types ...record.Type) {
	for _, t := range types {
		p.Unlisted = append(p.Unlisted, Unlisted{t, reason})
	}
}

// Add adds the entries of an answer. list describes it in the places of the invalid ones.
func (p *RecordPage) Add(t record.Type, list string, l *List) {
	for _, entry := range l.Entries {
		p.Records = append(p.Records, Record{Type: t, Object: entry.Object, FetchedAt: l.SentAt})
	}
	for _, bad := range l.Bad {
		p.Bad = append(p.Bad, Bad{Place: list + ", " + bad.Place, Reason: bad.Reason})
	}
}
