package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
)

// A mirror that lost changes, because its database was restored or recreated, is repaired (package
// mirrorrepair), which makes them again under new ids. No destination gets one twice:
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

// loss is what the mirror last lost, for a destination; the zero value: nothing since the destination was
// created.
type loss struct {
	LostTo     *int64 // repaired changes have greater ids
	FoundAt    *time.Time
	ReplayedAt *time.Time // when the events had been replayed
	// PassedUntil is the time before which the destination had passed all changes; nil: it had passed all
	// there were.
	PassedUntil *time.Time
}

const (
	lossColumns = `r.lost_change_id AS lost_to, r.found_at, r.replayed_at, nullif(f.passed_until, 'infinity') AS passed_until`
	lossJoin    = `
	LEFT JOIN LATERAL (
		SELECT m.lost_change_id, m.found_at, m.replayed_at
		FROM authsync.mirror_repairs AS m
		WHERE m.project_id = d.project_id AND m.found_at > d.created_at
		ORDER BY m.id DESC
		LIMIT 1
	) AS r ON true`
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
func (o *Outbox) unrepeated(ctx context.Context, f *standing, changes []mirror.FeedChange) (kept []mirror.FeedChange, moved []newDelivery, err error) {
	if f.LostTo == nil || len(changes) == 0 || changes[len(changes)-1].ID <= *f.LostTo {
		return changes, nil, nil
	}
	known, err := o.repeats(ctx, f, changes)
	if err != nil {
		return nil, nil, err
	}
	kept = make([]mirror.FeedChange, 0, len(changes))
	for _, c := range changes {
		r := known[c.ID]
		switch {
		case c.ID <= *f.LostTo:
			kept = append(kept, c)
		case !f.isRepeat(&c, r):
			kept = append(kept, f.ofOlderUser(c, r))
		case r.DeliveryID != nil && *r.DeliveryState != StateDelivered && *r.DeliveryState != StateCoalesced:
			moved = append(moved, newDelivery{
				ChangeID: c.ID, UserID: c.UserID, EventType: eventType(c.Kind), Changed: c.Changed, ChangedAt: c.ChangedAt, DeliveryID: r.DeliveryID,
			})
		case r.DeliveryID == nil && r.AppliedAt != nil && f.PassedUntil != nil && !r.AppliedAt.Before(*f.PassedUntil):
			kept = append(kept, c)
		}
	}
	return kept, moved, nil
}

// repeats looks up the changes of a page that a repair may have made.
func (o *Outbox) repeats(ctx context.Context, f *standing, changes []mirror.FeedChange) (map[int64]repeat, error) {
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
	rows, err := o.config.Pool.Query(ctx, selectRepeats, planned, f.ID, *f.LostTo, *f.FoundAt, ids, users, events, providers, times)
	if err != nil {
		return nil, fmt.Errorf("find changes relayed before: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[repeat])
	if err != nil {
		return nil, fmt.Errorf("find changes relayed before: %w", err)
	}
	for _, r := range found {
		known[r.ChangeID] = r
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
	c.Kind, c.Before = feedUpdated, unknownBefore(c.UserID)
	return c
}

// unknownBefore is the row before a change of a user that was not in the mirror.
func unknownBefore(userID string) json.RawMessage {
	row := make(map[string]any, len(columns()))
	for _, column := range columns() {
		row[column] = nil
	}
	row["id"] = userID
	text, err := json.Marshal(row)
	if err != nil { // cannot happen: strings and nulls only
		panic(err)
	}
	return text
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

const (
	becauseRepairing = "the project's database has lost this change and is being repaired: it is sent once the change is restored"
	becauseLost      = "the project's database lost this change, because it was restored or its mirror was recreated, and the repair did not restore it: " +
		"newer events superseded it, or it came from no message. Compare with the current user, and replay that: authsync destinations replay"
	becauseGone = "the change is no longer in the project's database: somebody has removed it from capydb_auth.user_changes. " +
		"The user's next change is sent; cancel this delivery"
)

// gone decides about deliveries whose change is missing in the project's database. It checks the mirror first:
// this may be the first sign of a loss.
func (o *Outbox) gone(ctx context.Context, destinationID uuid.UUID, all []outgoing) error {
	first := slices.IndexFunc(all, func(d outgoing) bool { return d.isGone })
	if first < 0 {
		return nil
	}
	if err := o.config.Feed.Check(ctx, all[first].ProjectID); err != nil {
		return err
	}
	type row struct {
		loss

		Cursor int64
	}
	f, err := queryOne[row](ctx, o.config.Pool, `
		SELECT f.cursor, `+lossColumns+`
		FROM authsync.destinations AS d
		JOIN authsync.destination_progress AS f ON f.destination_id = d.id`+lossJoin+`
		WHERE d.id = $1`, destinationID)
	if err != nil {
		return fmt.Errorf("read the losses of the mirror: %w", err)
	}
	isRepaired := false
	if f.LostTo != nil && f.ReplayedAt != nil {
		newest, err := o.config.Feed.ChangeCursor(ctx, all[first].ProjectID, time.Time{})
		if err != nil {
			return err
		}
		isRepaired = f.Cursor >= newest
	}
	for i := range all {
		d := &all[i]
		switch {
		case !d.isGone:
		case f.LostTo == nil || d.LastChangeID > *f.LostTo:
			d.unsent, d.because = outcomeFailed, becauseGone
		case isRepaired:
			d.unsent, d.because = outcomeCancelled, becauseLost
		default:
			d.unsent, d.because = outcomeDeferred, becauseRepairing
		}
	}
	return nil
}

// lookForRepair is how soon a delivery whose change is being restored is checked again.
const lookForRepair = 10 * time.Second

// unsentResult is the result of a delivery without a message.
func (o *Outbox) unsentResult(d outgoing) sent {
	s := sent{outgoing: d, outcome: d.unsent, result: destination.Result{Outcome: destination.GiveUp, Reason: d.because}}
	if d.unsent == outcomeDeferred { // by a job of its own, so that others continue
		s.result.Outcome = destination.Deferred
		s.aside = d.State != stateRetrying
		s.retryAt = o.config.Now().Add(o.config.Retry(lookForRepair))
	}
	return s
}
