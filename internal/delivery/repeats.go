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

// A mirror that lost changes, because its database was restored or it was made anew, is repaired (package
// mirrorrepair), and makes them once more under new ids. A destination is told of none of them twice:
//
//	the event was final before the loss   the lost change has a delivery that ended   ▶ passed by
//	                                      a delivery that has not ended, or failed    ▶ it is of the new change from now on
//	                                      none, and the destination had passed it     ▶ passed by
//	                                      none, and it had not                        ▶ made
//	a user whom a backfill, a reconcile or a refresh finds missing, and who is
//	older than the loss, before a run has been through all users since                ▶ passed by
//	anything else                                                                     ▶ made; if it is a later event of a user
//	                                                                                    who is older than the loss, or whom the
//	                                                                                    destination knew, as updated

// loss is what the mirror of a destination lost last; the zero loss: nothing since the destination was made.
type loss struct {
	LostTo     *int64 // what a repair makes has greater ids
	FoundAt    *time.Time
	ReplayedAt *time.Time // when the events had been applied again
	// PassedUntil is before when the destination had passed all changes; nil: it had passed all there were.
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
	// clocksApart is by how much clocks may differ.
	clocksApart = 5 * time.Minute
	// creationTakes is how much later than a user the event may be that tells of its creation.
	creationTakes = 5 * time.Minute
)

// repeat is what is known of a change that a repair may have made once more.
type repeat struct {
	ChangeID      int64
	AppliedAt     *time.Time // when its event was final before the loss was found; nil: it was not
	DeliveryID    *int64     // of the lost change
	DeliveryState *string
	IsComplete    bool // a run has been through all users of the provider since
	IsKnown       bool // the destination had a delivery of the user before the loss, or had passed a change
}

const selectRepeats = `SELECT * FROM authsync.repeated_changes($1, $2, $3, $4, $5, $6, $7, $8)`

// unrepeated gives the changes of a page that a destination is to be told of, and the deliveries that are of
// new changes from now on.
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

// repeats asks about the changes of a page that a repair may have made.
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
		return nil, fmt.Errorf("look for changes that were relayed before: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[repeat])
	if err != nil {
		return nil, fmt.Errorf("look for changes that were relayed before: %w", err)
	}
	for _, r := range found {
		known[r.ChangeID] = r
	}
	return known, nil
}

// isRead reports that the change is of a user who was read from the provider, and of no message.
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

// ofOlderUser makes an event of a user who was there before the loss, but is new to the mirror now, what it is.
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

// unknownBefore is the row before a change of a user whom the mirror did not have.
func unknownBefore(userID string) json.RawMessage {
	row := make(map[string]any, len(columns()))
	for _, column := range columns() {
		row[column] = nil
	}
	row["id"] = userID
	text, err := json.Marshal(row)
	if err != nil { // of texts and nulls
		panic(err)
	}
	return text
}

// createdAt is when the provider made the user.
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
	becauseRepairing = "the project's database has lost this change and is being repaired: it is sent when the change has been made once more"
	becauseLost      = "the project's database lost this change, because it was restored or its mirror was made anew, and the repair made no such change: " +
		"newer events had said all of it, or it came from no message. Compare with the user as it is now, and replay that: authsync destinations replay"
	becauseGone = "the change is no longer in the project's database: somebody has removed it from capydb_auth.user_changes. " +
		"The user's next change is sent; cancel this delivery"
)

// gone says what becomes of deliveries whose change the project's database does not have. The mirror is looked
// at first: this may be the first sign that it has lost something.
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
		return fmt.Errorf("read what the mirror has lost: %w", err)
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

// lookForRepair is how soon a delivery whose change is being brought back is looked at again.
const lookForRepair = 10 * time.Second

// unsentResult is what became of a delivery that has nothing to send.
func (o *Outbox) unsentResult(d outgoing) sent {
	s := sent{outgoing: d, outcome: d.unsent, result: destination.Result{Outcome: destination.GiveUp, Reason: d.because}}
	if d.unsent == outcomeDeferred { // by a job of its own, so that others go on
		s.result.Outcome = destination.Deferred
		s.aside = d.State != stateRetrying
		s.retryAt = o.config.Now().Add(o.config.Retry(lookForRepair))
	}
	return s
}
