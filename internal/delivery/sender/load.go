package sender

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/destcache"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/record"
)

// readyDelivery is a delivery that can be sent now, as returned by authsync.take_deliveries.
type readyDelivery struct {
	ID            int64
	ProjectID     uuid.UUID
	ChangeID      int64
	FirstChangeID int64 // the earliest coalesced change; of an event, ChangeID or a deletion that was held back and is undone
	LastChangeID  int64 // likewise, the newest
	AsOf          int64 // likewise, the change up to which the record may be shown
	RecordType    record.Type
	RecordID      string
	EventType     string
	Changed       []string
	ChangedAt     time.Time // or since when it is no longer held
	State         string
	Attempts      int
	Begun         bool    // likewise: something of it may have arrived
	Coalesced     []int64 // ids of the deliveries coalesced into this one
	ExternalID    *string
}

// outgoing is a delivery with its message.
type outgoing struct {
	readyDelivery

	message destination.Message
	isGone  bool   // there is nothing to send: its change cannot be read, or nothing has changed
	unsent  string // the outcome, if isGone
	reason  string // the reason, if isGone

	traceParent string // of the message that brought the change; empty: not sampled
}

// load reads the messages of deliveries from the project's database. It returns a *tenantdb.DelayError if that
// is unavailable.
func (s *Sender) load(ctx context.Context, to *destcache.Destination, all []readyDelivery) ([]outgoing, error) {
	if len(all) == 0 {
		return nil, nil
	}
	states := to.Capabilities.States
	of := delivery.Messages{Feed: s.config.Feed, DestinationID: to.ID, ProjectID: all[0].ProjectID}
	first, last, asOf := make([]int64, len(all)), make([]int64, len(all)), make([]int64, len(all))
	for i, t := range all {
		first[i], last[i], asOf[i] = t.FirstChangeID, t.LastChangeID, t.AsOf // of an event, its change
	}
	var messages map[int64]destination.Message
	var err error
	if states {
		messages, err = of.States(ctx, first, last, asOf)
	} else {
		messages, err = s.events(ctx, of, all)
	}
	if err == nil && to.Capabilities.Organizations {
		err = of.AddOrganizations(ctx, messages)
	}
	if err != nil {
		return nil, err
	}
	loaded := outgoings(states, all, messages)
	s.joinTraces(ctx, all[0].ProjectID, loaded)
	if err := s.gone(ctx, to.ID, loaded); err != nil {
		return nil, err
	}
	for i := range loaded {
		if d := &loaded[i]; !states && d.isUndo() && !d.isGone && len(d.message.Changed) == 0 {
			d.isGone, d.unsent, d.reason = true, outcomeCancelled, reasonUndone
		}
	}
	return loaded, nil
}

const reasonUndone = "the record is as it was before its deletion, which was held back: there is nothing to send"

// isUndo reports whether an event stands for a deletion that was held back and what restored the record.
func (d *readyDelivery) isUndo() bool { return d.FirstChangeID != d.ChangeID }

// events returns the messages of events, by the id of the change. One that undoes a deletion says what differs from the row
// before that.
func (s *Sender) events(ctx context.Context, of delivery.Messages, all []readyDelivery) (map[int64]destination.Message, error) {
	var ids, first, last []int64
	for i := range all {
		if all[i].isUndo() {
			first, last = append(first, all[i].FirstChangeID), append(last, all[i].ChangeID)
		} else {
			ids = append(ids, all[i].ChangeID)
		}
	}
	if len(first) == 0 {
		return of.Events(ctx, ids)
	}
	messages, err := of.States(ctx, first, last, last)
	if err != nil || len(ids) == 0 {
		return messages, err
	}
	events, err := of.Events(ctx, ids)
	maps.Copy(messages, events)
	return messages, err
}

// asUpdate makes a message one of a record that the destination knows, though not what it was before.
func asUpdate(m *destination.Message) {
	d, _ := record.Of(m.RecordType)
	if m.Kind() == record.Restored {
		m.Changed = slices.DeleteFunc(slices.Clone(m.Changed), func(column string) bool { return column == d.Shown(record.DeletedAt) })
	}
	m.EventType = destination.EventType(m.RecordType, record.Updated)
	m.Before = delivery.UnknownBefore(record.Ref{Type: m.RecordType, ID: m.RecordID})
}

// outgoings joins deliveries with their messages.
func outgoings(states bool, all []readyDelivery, messages map[int64]destination.Message) []outgoing {
	loaded := make([]outgoing, len(all))
	for i, t := range all {
		m, ok := messages[t.LastChangeID]
		loaded[i] = outgoing{readyDelivery: t, message: m}
		if !ok {
			loaded[i].isGone = true
			continue
		}
		alone := len(t.Coalesced) == 0 && t.FirstChangeID == t.ChangeID
		if kind := m.Kind(); alone && t.EventType == destination.EventType(t.RecordType, record.Updated) &&
			// See relay.ofOlderRecord; or the deletion that it undoes was lost.
			(kind == record.Created || kind == record.Restored) {
			asUpdate(&loaded[i].message)
		}
		loaded[i].message.Attempt = t.Attempts + 1
		if states && t.Begun {
			loaded[i].message.Attempt = max(loaded[i].message.Attempt, 2)
		}
		if t.ExternalID != nil {
			loaded[i].message.ExternalID = *t.ExternalID
		}
	}
	return loaded
}
