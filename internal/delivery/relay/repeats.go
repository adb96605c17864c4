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
)

// A mirror that lost changes, because its database was restored or recreated, is repaired (package
// sync/repair), which makes them again under new ids. No destination gets one twice:
//
//	the event was final before the loss   the lost change has a finished delivery       ▶ skipped
//	                                      an unfinished or failed delivery              ▶ the delivery takes the new change
//	                                      none, and the destination had passed it       ▶ skipped
//	                                      none, and it had not                          ▶ made
//	a user found missing by a backfill, reconcile or refresh and older than
//	the loss, before a run has covered all users since                                ▶ skipped
//	anything else                                                                     ▶ made; as updated, if a later event of a
//	                                                                                    user older than the loss, or known to
//	                                                                                    the destination

// The kinds of change in the feed; see capydb_auth.user_changes.
const (
	feedCreated = "created"
	feedUpdated = "updated"
)

const (
	// clocksApart is the largest clock difference tolerated.
	clocksApart = 5 * time.Minute
	// creationTakes is the longest delay between a user's creation and its event.
	creationTakes = 5 * time.Minute
)

// repeat describes a change that a repair may have made again.
type repeat struct {
	ChangeID      int64
	AppliedAt     *time.Time // when its event became final, if before the loss was found
	DeliveryID    *int64     // of the lost change
	DeliveryState *string
	IsComplete    bool // a run has covered all users of the provider since
	IsKnown       bool // before the loss, the destination had a delivery of the user or had passed a change
}

const selectRepeats = `SELECT * FROM authsync.repeated_changes($1, $2, $3, $4, $5, $6, $7, $8)`

// unrepeated returns the changes of a page to deliver, and the deliveries that take new changes.
func (r *Relay) unrepeated(ctx context.Context, f *standing, changes []mirror.FeedChange) (kept []mirror.FeedChange, moved []subscription.Delivery, err error) {
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
			kept = append(kept, f.ofOlderUser(c, was))
		case was.DeliveryID != nil && *was.DeliveryState != delivery.StateDelivered && *was.DeliveryState != delivery.StateCoalesced:
			moved = append(moved, subscription.Delivery{
				ChangeID: c.ID, UserID: c.UserID, EventType: delivery.EventType(c.Kind), Changed: c.Changed, ChangedAt: c.ChangedAt,
				DeliveryID: was.DeliveryID,
			})
		case was.DeliveryID == nil && was.AppliedAt != nil && f.PassedUntil != nil && !was.AppliedAt.Before(*f.PassedUntil):
			kept = append(kept, c)
		}
	}
	return kept, moved, nil
}

// repeats looks up the changes of a page that a repair may have made.
func (r *Relay) repeats(ctx context.Context, f *standing, changes []mirror.FeedChange) (map[int64]repeat, error) {
	var ids []int64
	var users, events, providers []string
	var times []time.Time
	for i := range changes {
		c := &changes[i]
		amid := f.ReplayedAt == nil || c.ChangedAt.Before(f.ReplayedAt.Add(clocksApart))
		if c.ID <= *f.LostTo || !amid && c.Kind != feedCreated {
			continue
		}
		ids, users, events = append(ids, c.ID), append(users, c.UserID), append(events, c.EventID)
		providers, times = append(providers, c.Provider), append(times, c.ChangedAt)
	}
	known := make(map[int64]repeat, len(ids))
	if len(ids) == 0 {
		return known, nil
	}
	rows, err := r.config.Pool.Query(ctx, selectRepeats, pgdb.Planned, f.ID, *f.LostTo, *f.FoundAt, ids, users, events, providers, times)
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

// isRead reports whether the change comes from reading the user from the provider, not from a message.
func isRead(c *mirror.FeedChange) bool {
	kind, _, _ := strings.Cut(c.EventID, ":")
	return slices.Contains([]string{provider.KindBackfill, provider.KindReconcile, provider.KindRefresh}, kind)
}

func (f *standing) isRepeat(c *mirror.FeedChange, r repeat) bool {
	if r.AppliedAt != nil {
		return true
	}
	if r.ChangeID == 0 || !isRead(c) || c.Kind != feedCreated || r.IsComplete {
		return false
	}
	at, ok := createdAt(c)
	return !ok || at.Before(*f.FoundAt)
}

// ofOlderUser corrects the event type of a user who is older than the loss but new to the mirror.
func (f *standing) ofOlderUser(c mirror.FeedChange, r repeat) mirror.FeedChange {
	if c.Kind != feedCreated || isRead(&c) {
		return c
	}
	at, ok := createdAt(&c)
	isOlder := ok && at.Before(*f.FoundAt) && !c.EventAt.Before(at.Add(creationTakes))
	if !isOlder && !r.IsKnown {
		return c
	}
	c.Kind, c.Before = feedUpdated, delivery.UnknownBefore(c.UserID)
	return c
}

// createdAt returns when the provider created the user.
func createdAt(c *mirror.FeedChange) (at time.Time, ok bool) {
	var user struct {
		CreatedAt *time.Time `json:"created_at"`
	}
	if json.Unmarshal(c.User, &user) != nil || user.CreatedAt == nil {
		return time.Time{}, false
	}
	return *user.CreatedAt, true
}
