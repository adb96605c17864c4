package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/subscription"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
)

// Replay selects what to deliver again. Empty fields match everything.
type Replay struct {
	// From selects changes since then, including those without a delivery; the zero value selects existing
	// deliveries.
	From       From
	To         time.Time // exclusive
	UserID     string    // the user, its memberships and sessions
	RecordType string
	RecordID   string
	EventType  string
	// State is a finished state; empty: all of them except coalesced.
	State  string
	DryRun bool
}

// Replayed is the result of a replay.
type Replayed struct {
	Matched  int64
	Requeued int64 // deliveries requeued or created
	DryRun   bool
}

// replayPage is the number of deliveries per transaction.
const replayPage = 1000

// Replay requeues finished deliveries. If From is set and State is not, it also makes deliveries of
// changes that have none and match the filter now: those before the destination's start, and those
// filtered out at the time. It works page by page; after an error the result shows what was done, and calling
// it again does the rest.
//
// Only pending deliveries are ordered: the replay of an older change may follow a newer one already delivered.
func (a *Admin) Replay(ctx context.Context, projectID, destinationID uuid.UUID, r Replay) (done Replayed, err error) {
	done.DryRun = r.DryRun
	if r.State != "" && !slices.Contains([]string{delivery.StateDelivered, delivery.StateCoalesced, delivery.StateFailed, delivery.StateCancelled}, r.State) {
		return done, fault.New(fault.WrongState, "only deliveries that are delivered, coalesced, failed or cancelled can be replayed, not "+r.State)
	}
	var last int64 // deliveries created now are not requeued
	if err := a.config.Pool.QueryRow(ctx, `SELECT coalesce(max(id), 0) FROM authsync.deliveries`).Scan(&last); err != nil {
		return done, fmt.Errorf("replay deliveries: %w", err)
	}
	if r.State == "" && r.From != (From{}) { // first: they are older
		if err := a.replayChanges(ctx, projectID, destinationID, r, &done); err != nil {
			if fault.Is(err, fault.WrongState) {
				return done, err // its message is complete
			}
			return done, fmt.Errorf("replay changes: %w", err)
		}
	}
	if err := a.replayDeliveries(ctx, projectID, destinationID, last, r, &done); err != nil {
		return done, fmt.Errorf("replay deliveries: %w", err)
	}
	return done, nil
}

const addPast = `SELECT authsync.add_past_deliveries($1, $2, $3, $4)`

const requeue = `SELECT authsync.requeue_deliveries($1, $2)`

// The project, which is the destination's, is the first column of the indexes of records and of users. The order is that of
// deliveries_project_idx.
const selectReplayed = `
	SELECT o.id
	FROM authsync.deliveries AS o
	WHERE o.project_id = $12 AND o.destination_id = $1 AND o.id > $2 AND o.id <= $3
	  AND (o.state = $4 OR $4 IS NULL AND o.state IN ('delivered', 'failed', 'cancelled')
	       -- Not a deletion that was cancelled while it was held: the destination is not to hear of it.
	       AND NOT (o.state = 'cancelled' AND o.held_from IS NOT NULL))
	  AND ($5::text IS NULL OR o.user_id = $5) AND ($6::text IS NULL OR o.event_type = $6)
	  AND ($7::timestamptz IS NULL OR o.changed_at >= $7) AND ($8::timestamptz IS NULL OR o.changed_at < $8)
	  AND ($9::text IS NULL OR o.record_type = $9) AND ($10::text IS NULL OR o.record_id = $10)
	ORDER BY o.id NULLS FIRST
	LIMIT $11`

func (a *Admin) replayDeliveries(ctx context.Context, projectID, destinationID uuid.UUID, last int64, r Replay, done *Replayed) error {
	after := int64(0)
	for {
		rows, err := a.config.Pool.Query(ctx, selectReplayed, pgdb.Planned, destinationID, after, last, pgdb.NullText(r.State),
			pgdb.NullText(r.UserID), pgdb.NullText(r.EventType), optionalTime(r.From.Time), optionalTime(r.To),
			pgdb.NullText(r.RecordType), pgdb.NullText(r.RecordID), replayPage, projectID)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		if len(ids) > 0 && !r.DryRun {
			var n *int64
			if err := a.config.Pool.QueryRow(ctx, requeue, destinationID, ids).Scan(&n); err != nil {
				return err
			}
			if n != nil {
				done.Requeued += *n
			}
		}
		done.Matched += int64(len(ids))
		if len(ids) < replayPage {
			return nil
		}
		after = ids[len(ids)-1]
	}
}

func optionalTime(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}

const (
	selectSubscriber = `
		SELECT ` + subscription.Columns + `
		FROM authsync.destinations AS d
		JOIN authsync.destination_progress AS f ON f.destination_id = d.id
		WHERE d.id = $1`

	selectLoss = `
		SELECT ` + delivery.LossColumns + `
		FROM authsync.destinations AS d
		JOIN authsync.destination_progress AS f ON f.destination_id = d.id` + delivery.LossJoin + `
		WHERE d.id = $1`

	selectKnown = `SELECT o.change_id FROM authsync.deliveries AS o WHERE o.destination_id = $1 AND o.change_id = ANY ($2)`
)

// replayChanges makes deliveries of changes that the destination has passed.
func (a *Admin) replayChanges(ctx context.Context, projectID, destinationID uuid.UUID, r Replay, done *Replayed) error {
	f, err := pgdb.CollectOne[subscription.Subscription](ctx, a.config.Pool, selectSubscriber, pgdb.Planned, destinationID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	// The relay makes those after the destination's cursor.
	after, err := a.Cursor(ctx, projectID, r.From)
	page := delivery.FirstPage
	for err == nil && after < f.Cursor {
		var changes []mirror.FeedChange
		changes, err = a.config.Feed.ReadChanges(ctx, projectID, after, page)
		if err != nil || len(changes) == 0 {
			break
		}
		after, page = changes[len(changes)-1].ID, delivery.NextPage(page, changes)
		chosen := slices.DeleteFunc(changes, func(c mirror.FeedChange) bool {
			return c.ID > f.Cursor || !r.matches(&c)
		})
		for err == nil && len(chosen) > 0 {
			var n int
			n, err = a.replaySome(ctx, &f, chosen, r.DryRun, done)
			chosen = chosen[n:]
		}
	}
	return err
}

// matches reports whether a replay selects a change, apart from when it begins.
func (r *Replay) matches(c *mirror.FeedChange) bool {
	is := func(given, value string) bool { return given == "" || given == value }
	return is(r.UserID, c.UserID) && is(r.RecordType, string(c.RecordType)) && is(r.RecordID, c.RecordID) &&
		is(r.EventType, delivery.EventType(c)) && (r.To.IsZero() || c.ChangedAt.Before(r.To))
}

// replaySome makes the deliveries of as many changes as the destination's filter can check within its time; n is how many that
// were, 0 if the destination has moved meanwhile and they are to be looked at again.
func (a *Admin) replaySome(
	ctx context.Context, f *subscription.Subscription, chosen []mirror.FeedChange, dryRun bool, done *Replayed,
) (n int, err error) {
	unknown, err := a.withoutDelivery(ctx, f.ID, chosen)
	if err != nil {
		return 0, err
	}
	loss, err := a.lossOf(ctx, f.ID)
	if err != nil {
		return 0, err
	}
	withheld, err := subscription.FindWithheld(ctx, a.config.Pool, a.config.Feed, f, &loss, unknown)
	if err != nil {
		return 0, err
	}
	k := known{loss: &loss, open: make(map[int64]bool)}
	for _, w := range withheld {
		k.open[w.ChangeID] = loss.IsAmid() || !w.OpenUntil.IsZero()
	}
	wanted := a.config.Filters.Choose(f, unknown, withheld)
	deliveries, newest, err := a.stillDeleted(ctx, f.ProjectID, wanted.Deliveries, k)
	if err != nil {
		return 0, err
	}
	made, err := a.replayPage(ctx, f.ID, deliveries, newest, dryRun, done)
	if err != nil {
		return 0, err
	}
	if !made {
		f.Withholds = true
		return 0, nil
	}
	n = len(chosen)
	if wanted.Checked < len(unknown) {
		n = slices.IndexFunc(chosen, func(c mirror.FeedChange) bool { return c.ID == unknown[wanted.Checked].ID })
	}
	if destination.Halts(wanted.Stop) {
		return n, a.halt(ctx, f, wanted.Stop, dryRun)
	}
	return n, wanted.Stop
}

// lossOf returns what the mirror last lost, for a destination.
func (a *Admin) lossOf(ctx context.Context, destinationID uuid.UUID) (delivery.Loss, error) {
	loss, err := pgdb.CollectOne[delivery.Loss](ctx, a.config.Pool, selectLoss, destinationID)
	if errors.Is(err, pgx.ErrNoRows) { // it was deleted, which is found when deliveries are made
		return delivery.Loss{}, nil
	}
	return loss, err
}

// withoutDelivery returns the changes of which the destination has no delivery.
func (a *Admin) withoutDelivery(ctx context.Context, destinationID uuid.UUID, changes []mirror.FeedChange) ([]mirror.FeedChange, error) {
	ids := make([]int64, len(changes))
	for i := range changes {
		ids[i] = changes[i].ID
	}
	rows, err := a.config.Pool.Query(ctx, selectKnown, pgdb.Planned, destinationID, ids)
	if err != nil {
		return nil, err
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(changes), func(c mirror.FeedChange) bool { return slices.Contains(known, c.ID) }), nil
}

// known is what a replay knows of deletions while the mirror is repaired.
type known struct {
	loss *delivery.Loss
	// open are those that are withheld already and whose records are in the mirror as they should not be: that tells nothing.
	open map[int64]bool
}

// isMadeAgain reports that the repair has made a deletion again, and may make again what restored the record, which is not sent once more.
func (k known) isMadeAgain(deletion int64) bool { return k.loss.IsAmid() && deletion > *k.loss.LostTo }

// stillDeleted leaves out the deletions that a holdback would hold, of records that have been restored since: what restored them
// may not be in the replay. newest is the change up to which it knows this; nil: there are no such deletions.
func (a *Admin) stillDeleted(
	ctx context.Context, projectID uuid.UUID, deliveries []subscription.Delivery, k known,
) (still []subscription.Delivery, newest *int64, err error) {
	held := make(map[record.Type][]string)
	for i := range deliveries {
		if d := &deliveries[i]; d.HeldFrom != nil {
			held[d.RecordType] = append(held[d.RecordType], d.RecordID)
		}
	}
	if len(held) == 0 {
		return deliveries, nil, nil
	}
	cursor, err := a.config.Feed.ChangeCursor(ctx, projectID, time.Time{}) // first: what comes later is not known
	if err != nil {
		return nil, nil, err
	}
	restored := make(map[record.Ref]bool)
	for t, ids := range held {
		rows, err := a.config.Feed.LatestRows(ctx, projectID, t, ids)
		if err != nil {
			return nil, nil, err
		}
		for id, row := range rows {
			isDeleted, err := delivery.IsDeleted(t, row)
			if err != nil {
				return nil, nil, err
			}
			restored[record.Ref{Type: t, ID: id}] = !isDeleted
		}
	}
	undone := make(map[int64]bool) // by a change of the replay
	for i := range deliveries {
		if d := &deliveries[i]; d.IsUndo {
			undone[*d.Withheld] = true
		}
	}
	return slices.DeleteFunc(deliveries, func(d subscription.Delivery) bool {
		deletion := d.ChangeID
		if d.Withheld != nil {
			deletion = *d.Withheld
		}
		if d.HeldFrom == nil || undone[deletion] || undone[d.ChangeID] || k.open[deletion] {
			return false
		}
		return restored[record.Ref{Type: d.RecordType, ID: d.RecordID}] || k.isMadeAgain(deletion)
	}), &cursor, nil
}

// replayPage makes deliveries. ok is false if they are to be chosen again; see authsync.add_past_deliveries.
func (a *Admin) replayPage(
	ctx context.Context, destinationID uuid.UUID, wanted []subscription.Delivery, newest *int64, dryRun bool, done *Replayed,
) (ok bool, err error) {
	if dryRun || len(wanted) == 0 {
		done.Matched += int64(len(wanted))
		return true, nil
	}
	doc, err := json.Marshal(wanted)
	if err != nil {
		return false, err
	}
	var made *int64
	if err := a.config.Pool.QueryRow(ctx, addPast, destinationID, doc, a.config.Now(), newest).Scan(&made); err != nil {
		return false, err
	}
	if made == nil {
		var exists bool
		err := a.config.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM authsync.destinations AS d WHERE d.id = $1)`, destinationID).Scan(&exists)
		return !exists, err
	}
	done.Matched += int64(len(wanted))
	done.Requeued += *made
	return true, nil
}

// halt pauses a destination whose filter halted on a past change. Its error tells the caller of the replay.
func (a *Admin) halt(ctx context.Context, s *subscription.Subscription, why error, dryRun bool) error {
	if dryRun {
		return fault.New(fault.WrongState, subscription.HaltReason(why))
	}
	var halted bool
	err := pgdb.InTx(ctx, a.config.Pool, func(tx pgx.Tx) (err error) {
		halted, err = a.config.Filters.Halt(ctx, tx, s, why)
		return err
	})
	if err != nil {
		return err
	}
	if halted {
		a.config.Filters.Halted(ctx, s)
	}
	return fault.New(fault.WrongState, subscription.HaltReason(why))
}
