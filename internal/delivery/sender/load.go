package sender

import (
	"context"
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
	FirstChangeID int64 // destinations that take states: the earliest coalesced change
	LastChangeID  int64 // likewise, the newest
	AsOf          int64 // likewise, the change up to which the record may be shown
	RecordType    record.Type
	RecordID      string
	EventType     string
	Changed       []string
	ChangedAt     time.Time
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
	isGone  bool   // its change cannot be read: there is no message
	unsent  string // the outcome, if isGone
	because string // the reason, if isGone

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
		messages, err = of.Events(ctx, last)
	}
	if err == nil && to.Capabilities.Organizations {
		err = of.AddOrganizations(ctx, messages)
	}
	if err != nil {
		return nil, err
	}
	loaded := outgoings(states, all, messages)
	s.joinTraces(ctx, all[0].ProjectID, loaded)
	return loaded, s.gone(ctx, to.ID, loaded)
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
		alone := !states || len(t.Coalesced) == 0 && t.FirstChangeID == t.ChangeID
		if alone && m.Kind() == record.Created && t.EventType == destination.EventType(t.RecordType, record.Updated) { // see relay.ofOlderRecord
			loaded[i].message.EventType, loaded[i].message.Before = t.EventType, delivery.UnknownBefore(record.Ref{Type: t.RecordType, ID: t.RecordID})
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
