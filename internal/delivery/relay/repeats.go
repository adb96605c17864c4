package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/subscription"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// A mirror that lost changes, because its database was restored or recreated, is repaired (package
// sync/repair), which makes them again under new ids. No destination gets one twice:
//
//	the event was final before the loss   the lost change has a delivery                ▶ the delivery takes the new change: an unfinished
//	                                                                                    one is sent with it, a finished one if it is replayed
//	                                      none, and the destination had passed it       ▶ skipped
//	                                      none, and it had not                          ▶ made
//	a record found missing by a backfill, reconcile or refresh and older than
//	the loss, before a run has read all of its type since                                ▶ skipped
//	anything else                                                                     ▶ made; as updated, if a later event of a
//	                                                                                    record older than the loss, or known to
//	                                                                                    the destination
//
// A clone has no events of its own, and copies changes once more from its source, with the times when they were made there: one made
// before the loss counts as one whose event was final then.

// creationTakes is the longest delay between a record's creation and its event.
const creationTakes = 5 * time.Minute

// repeat describes a change that a repair may have made again.
type repeat struct {
	ChangeID      int64
	AppliedAt     *time.Time // when its event became final, or the change of a clone was made, if before the loss was found
	DeliveryID    *int64     // of the lost change
	DeliveryState *string
	IsComplete    bool // a run has read all records of its type since
	IsKnown       bool // before the loss, the destination had a delivery of the record or had passed a change
}

const selectRepeats = `SELECT * FROM authsync.repeated_changes($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

// move is a delivery that takes a new change.
type move struct {
	subscription.Delivery

	isSent bool // and is not sent again because of that
}

// unrepeated returns the changes of a page to deliver, and the deliveries that take new changes.
func (r *Relay) unrepeated(ctx context.Context, f *standing, changes []mirror.FeedChange) (kept []mirror.FeedChange, moved []move, err error) {
	if f.LostTo == nil || len(changes) == 0 || changes[len(changes)-1].ID <= *f.LostTo {
		return changes, nil, nil
	}
	known, err := r.repeats(ctx, f, changes)
	if err != nil {
		return nil, nil, err
	}
	kept = make([]mirror.FeedChange, 0, len(changes))
	for _, c := range changes {
		was := known[c.ID]
		switch {
		case c.ID <= *f.LostTo:
			kept = append(kept, c)
		case !f.isRepeat(&c, was):
			kept = append(kept, f.ofOlderRecord(c, was))
		case was.DeliveryID != nil:
			d := subscription.DeliveryOf(&c)
			d.DeliveryID = was.DeliveryID
			moved = append(moved, move{d, *was.DeliveryState == delivery.StateDelivered || *was.DeliveryState == delivery.StateCoalesced})
		case was.AppliedAt != nil && f.PassedUntil != nil && !was.AppliedAt.Before(*f.PassedUntil):
			kept = append(kept, c)
		}
	}
	return kept, moved, nil
}

// settleHeld ends a page behind the first change that a delivery takes which is held back, or was cancelled while it was, if a later
// one is of the same record: what that one makes of the deletion is decided when the deletion is known by its new change.
func (f *standing) settleHeld(
	changes, kept []mirror.FeedChange, moved []move,
) ([]mirror.FeedChange, []mirror.FeedChange, []move) {
	if !f.Withholds {
		return changes, kept, moved
	}
	for _, d := range moved {
		isLater := func(c mirror.FeedChange) bool {
			return c.ID > d.ChangeID && c.RecordType == d.RecordType && c.RecordID == d.RecordID
		}
		if d.isSent || !slices.ContainsFunc(kept, isLater) {
			continue
		}
		isBehind := func(c mirror.FeedChange) bool { return c.ID > d.ChangeID }
		return slices.DeleteFunc(slices.Clone(changes), isBehind), slices.DeleteFunc(kept, isBehind),
			slices.DeleteFunc(moved, func(m move) bool { return m.ChangeID > d.ChangeID })
	}
	return changes, kept, moved
}

// isAmid reports whether a change that was made at a time may be one that the repair has made again.
func (f *standing) isAmid(at time.Time) bool {
	return at.Before(f.RepairedUntil())
}

// repeats looks up the changes of a page that a repair may have made.
func (r *Relay) repeats(ctx context.Context, f *standing, changes []mirror.FeedChange) (map[int64]repeat, error) {
	var ids []int64
	var types, records, events, providers []string
	var users, organizations []*string
	var times []time.Time
	for i := range changes {
		c := &changes[i]
		if c.ID <= *f.LostTo || !f.isAmid(c.ChangedAt) && c.Kind != record.Created {
			continue
		}
		ids, types, records = append(ids, c.ID), append(types, string(c.RecordType)), append(records, c.RecordID)
		users, organizations = append(users, pgdb.NullText(c.UserID)), append(organizations, pgdb.NullText(c.OrganizationID))
		events, providers, times = append(events, c.EventID), append(providers, c.Provider), append(times, c.ChangedAt)
	}
	known := make(map[int64]repeat, len(ids))
	if len(ids) == 0 {
		return known, nil
	}
	rows, err := r.config.Pool.Query(ctx, selectRepeats, pgdb.Planned, f.ID, *f.LostTo, *f.FoundAt, ids, types, records, users, organizations,
		events, providers, times)
	if err != nil {
		return nil, fmt.Errorf("find changes relayed before: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[repeat])
	if err != nil {
		return nil, fmt.Errorf("find changes relayed before: %w", err)
	}
	for _, f := range found {
		known[f.ChangeID] = f
	}
	return known, nil
}

// isRead reports whether the change comes from reading the record from the provider, not from a message.
func isRead(c *mirror.FeedChange) bool {
	kind, _, _ := strings.Cut(c.EventID, ":")
	return slices.Contains([]string{provider.KindBackfill, provider.KindReconcile, provider.KindRefresh}, kind)
}

func (f *standing) isRepeat(c *mirror.FeedChange, r repeat) bool {
	if r.AppliedAt != nil {
		return true
	}
	if r.ChangeID == 0 || !isRead(c) || c.Kind != record.Created || r.IsComplete {
		return false
	}
	at, ok := createdAt(c)
	return !ok || at.Before(*f.FoundAt)
}

// ofOlderRecord corrects the event type of a record that is older than the loss but new to the mirror.
func (f *standing) ofOlderRecord(c mirror.FeedChange, r repeat) mirror.FeedChange {
	if c.Kind != record.Created || isRead(&c) {
		return c
	}
	at, ok := createdAt(&c)
	isOlder := ok && at.Before(*f.FoundAt) && !c.EventAt.Before(at.Add(creationTakes))
	if !isOlder && !r.IsKnown {
		return c
	}
	c.Kind, c.Before = record.Updated, delivery.UnknownBefore(record.Ref{Type: c.RecordType, ID: c.RecordID})
	return c
}

// createdAt returns when the provider created the record.
func createdAt(c *mirror.FeedChange) (at time.Time, ok bool) {
	var row struct {
		CreatedAt *time.Time `json:"created_at"`
	}
	if json.Unmarshal(c.Row, &row) != nil || row.CreatedAt == nil {
		return time.Time{}, false
	}
	return *row.CreatedAt, true
}
