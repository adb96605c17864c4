// Package subscription decides which changes of a project's records a destination takes, and what happens to a
// destination whose filter keeps costing workers. The relay asks it about new changes, a replay about past ones.
//
// It changes nothing but the state of such a destination, in a transaction of the caller's.
//
// If the process dies, neither the deliveries nor the cursor have moved, and the next run decides the
// same.
package subscription

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
)

// Subscription is what a destination takes of its project's changes, and how far it has read.
type Subscription struct {
	ID         uuid.UUID // of the destination
	ProjectID  uuid.UUID
	Type       string
	EventTypes []string
	Fields     []string
	Condition  *string
	Holdback   *time.Duration // how long it is not told of a deletion; nil: it is told at once
	Withholds  bool           // there are deletions that it has not been told of
	Cursor     int64
}

// Columns are the columns of a Subscription in a SELECT from authsync.destinations AS d and
// authsync.destination_progress AS f.
const Columns = `d.id, d.project_id, d.type, d.event_types, d.fields, d.condition, d.holdback,
	EXISTS (
		SELECT FROM authsync.deliveries AS w
		WHERE w.destination_id = d.id AND w.held_from IS NOT NULL AND w.state IN ('held', 'cancelled')
	) AS withholds, f.cursor`

// Filter decides whether a destination takes a change; why explains a refusal.
type Filter interface {
	Wants(m destination.Message) (wanted bool, why string, err error)
}

// Config configures Filters.
type Config struct {
	// New compiles a destination's filter.
	New     func(eventTypes, fields []string, condition *string) (Filter, error)
	Metrics *delivery.Metrics
	Log     *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Filters applies the filters of destinations. It is safe for concurrent use.
type Filters struct {
	config Config

	mu  sync.Mutex
	all map[uuid.UUID]*cachedFilter
}

// New returns Filters.
func New(config Config) (*Filters, error) {
	if config.New == nil {
		return nil, errors.New("subscriptions need New")
	}
	if config.Metrics == nil {
		config.Metrics = delivery.NewMetrics(nil)
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Filters{config: config, all: make(map[uuid.UUID]*cachedFilter)}, nil
}

// Delivery is a delivery in the format of authsync.make_deliveries.
type Delivery struct {
	ChangeID   int64       `json:"change_id"`
	RecordType record.Type `json:"record_type"`
	RecordID   string      `json:"record_id"`
	UserID     string      `json:"user_id,omitempty"`
	OrderKey   string      `json:"order_key"`
	EventType  string      `json:"event_type"`
	Changed    []string    `json:"changed"`
	ChangedAt  time.Time   `json:"changed_at"`
	EventID    string      `json:"event_id"`
	Reason     *string     `json:"reason,omitempty"`
	// DeliveryID is the delivery of the original change, which takes this one; nil: a new delivery.
	DeliveryID *int64 `json:"delivery_id,omitempty"`
	// HeldFrom is the commit of the deletion with which it is held back; nil: it is not.
	HeldFrom *time.Time `json:"held_from,omitempty"`
	// Withheld is the deletion before it that the destination has not heard of; nil: there is none. It IsUndo if it
	// restores the record, and IsCancelled if there is nothing to send, for that Reason.
	Withheld    *int64 `json:"withheld,omitempty"`
	IsUndo      bool   `json:"is_undo,omitempty"`
	IsCancelled bool   `json:"is_cancelled,omitempty"`
}

// DeliveryOf returns the delivery of a change.
func DeliveryOf(c *mirror.FeedChange) Delivery {
	return Delivery{
		ChangeID: c.ID, RecordType: c.RecordType, RecordID: c.RecordID, UserID: c.UserID, OrderKey: delivery.OrderKey(c),
		EventType: delivery.EventType(c), Changed: c.Changed, ChangedAt: c.ChangedAt, EventID: c.EventID,
	}
}

// timePerPage limits the time one destination's filter may spend on a page. A slow one advances as far as it
// got, and the project's other destinations get their turn.
const timePerPage = 2 * time.Second

// Chosen is what a destination takes of a page.
type Chosen struct {
	Deliveries []Delivery
	Checked    int // how many changes were checked
	// Stop is why the first unchecked change was not checked: the filter keeps costing workers
	// (destination.Halts), or none is available now (destination.Unavailable). Nil: its time was used up.
	Stop error
}

// Choose returns what a destination takes out of as many changes as its filter can check within its time, at least
// one. A change whose filter fails becomes a failed delivery, so that nothing is dropped silently. withheld is what the
// destination has not heard of their records; see FindWithheld.
func (a *Filters) Choose(s *Subscription, changes []mirror.FeedChange, withheld map[record.Ref]Withheld) Chosen {
	chosen := Chosen{Deliveries: make([]Delivery, 0, len(changes))}
	filter := a.filter(s)
	p := &page{Subscription: s, now: a.config.Now(), withheld: withheld}
	until := p.now.Add(timePerPage)
	for i := range changes {
		if i > 0 && !a.config.Now().Before(until) {
			chosen.Checked = i
			return chosen
		}
		d, wanted, err := p.choose(filter, &changes[i])
		if err != nil {
			chosen.Checked, chosen.Stop = i, err
			return chosen
		}
		if wanted {
			chosen.Deliveries = append(chosen.Deliveries, d)
		}
	}
	chosen.Checked = len(changes)
	return chosen
}

// choose returns the delivery of a change, if there is to be one. An error means that the change was not checked.
func (p *page) choose(filter *cachedFilter, c *mirror.FeedChange) (d Delivery, wanted bool, err error) {
	as, w, undoes, err := p.undo(c)
	if err == nil {
		err = filter.broken
	}
	switch {
	case c.Kind == record.Erased: // no filter holds it back
		wanted, err = true, nil
	case err != nil || undoes && len(as.Changed) == 0:
	default:
		messages := delivery.Messages{DestinationID: p.ID, ProjectID: p.ProjectID}
		wanted, _, err = filter.Wants(messages.Of(&as))
	}
	if destination.Halts(err) || destination.Unavailable(err) {
		return Delivery{}, false, err
	}
	d = DeliveryOf(&as)
	if err != nil {
		reason := "whether the destination wants this change cannot be said: " + err.Error()
		d.Reason, wanted = &reason, true
	}
	if !undoes {
		if wanted {
			p.held(c, &d)
		}
		return d, wanted, nil
	}
	delete(p.withheld, record.Ref{Type: c.RecordType, ID: c.RecordID})
	if !wanted {
		reason := reasonUndone
		d = DeliveryOf(c)
		d.Reason, d.IsCancelled = &reason, true
	}
	d.Withheld, d.IsUndo = &w.ChangeID, true
	return d, true, nil
}

// Compile compiles the filter of a subscription as it is now, outside of the cache.
func (a *Filters) Compile(s *Subscription) (Filter, error) {
	return a.config.New(s.EventTypes, s.Fields, s.Condition)
}

const haltFilter = `SELECT authsync.halt_filter($1, $2, $3, $4, $5, $6)`

// HaltReason is the reason for pausing a destination whose filter keeps costing workers.
func HaltReason(err error) string {
	return delivery.Clean(err.Error() + "; change the condition, and resume the destination")
}

// Halt pauses a destination because of what its filter has cost. It reports whether the destination still had this
// filter and is paused now: the caller calls Halted after the commit.
func (a *Filters) Halt(ctx context.Context, tx pgx.Tx, s *Subscription, why error) (halted bool, err error) {
	err = tx.QueryRow(ctx, haltFilter, s.ID, s.EventTypes, s.Fields, s.Condition, HaltReason(why), a.config.Now()).Scan(&halted)
	if err != nil {
		return false, fmt.Errorf("pause the destination: %w", err)
	}
	return halted, nil
}

// Halted logs and counts a destination paused by Halt.
func (a *Filters) Halted(ctx context.Context, s *Subscription) {
	a.config.Metrics.Halted(s.Type, delivery.StatePaused)
	a.config.Log.ErrorContext(ctx, "destination_paused", slog.String("project_id", s.ProjectID.String()),
		slog.String("destination_id", s.ID.String()), slog.String("type", s.Type), slog.String("because", "filter"))
}
