package subscription

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
)

// A destination with a holdback hears of a deletion only when it is over:
//
//	deleted              ▶ held, for the holdback from its commit
//	changed, but deleted ▶ held with its deletion; none of the other records of the user waits for it
//	restored             ▶ nothing is sent of all these. What else differs from the row before the deletion is an update
//	erased               ▶ sent at once; the erasure cancels what is held
//
// The same holds of a deletion that was cancelled while it was held: the destination does not know of it.

// Withheld is a deletion of a record that a destination has not heard of.
type Withheld struct {
	ChangeID    int64           // of the deletion
	From        time.Time       // when it was committed
	IsCancelled bool            // it will not be sent
	Before      json.RawMessage // the row before it; nil: there was none
	IsLost      bool            // the feed has lost the deletion: Before is unknown
	OpenUntil   time.Time       // a change before this restores nothing: the mirror has lost the deletion and may make it again
}

// Feed reads changes by their ids; see mirror.Mirrors.
type Feed interface {
	ChangesByID(ctx context.Context, projectID uuid.UUID, ids []int64) ([]mirror.FeedChange, error)
}

// The first deletion of each record that is withheld: one look-up in deliveries_withheld_idx each.
const selectWithheld = `
	SELECT r.record_type, r.record_id, o.change_id, o.held_from, o.state
	FROM unnest($2::text[], $3::text[]) AS r (record_type, record_id)
	CROSS JOIN LATERAL (
		SELECT w.change_id, w.held_from, w.state
		FROM authsync.deliveries AS w
		WHERE w.held_from IS NOT NULL AND (w.state || '') IN ('held', 'cancelled')
		  AND (w.record_id, w.record_type, w.destination_id, w.change_id) >= (r.record_id, r.record_type, $1, 0)
		  AND (w.record_id, w.record_type, w.destination_id, w.change_id) <= (r.record_id, r.record_type, $1, 9223372036854775807)
		ORDER BY w.record_id, w.record_type, w.destination_id, w.change_id
		LIMIT 1
	) AS o`

// FindWithheld returns what a destination has not heard of the records of changes. loss was read after the changes: a loss is recorded
// before the mirror takes anything again. It returns a *tenantdb.DelayError if the project's database is unavailable.
func FindWithheld(
	ctx context.Context, db *pgxpool.Pool, feed Feed, s *Subscription, loss *delivery.Loss, changes []mirror.FeedChange,
) (map[record.Ref]Withheld, error) {
	found := make(map[record.Ref]Withheld)
	if !s.Withholds {
		return found, nil
	}
	refs := make(map[record.Ref]bool, len(changes))
	for i := range changes {
		refs[record.Ref{Type: changes[i].RecordType, ID: changes[i].RecordID}] = true
	}
	var types, ids []string
	for ref := range maps.Keys(refs) {
		types, ids = append(types, string(ref.Type)), append(ids, ref.ID)
	}
	rows, err := pgdb.Collect[struct {
		RecordType record.Type
		RecordID   string
		ChangeID   int64
		HeldFrom   time.Time
		State      string
	}](ctx, db, selectWithheld, pgdb.Planned, s.ID, types, ids)
	if err != nil {
		return nil, fmt.Errorf("find what is held back: %w", err)
	}
	if len(rows) == 0 {
		return found, nil
	}
	deletions := make([]int64, len(rows))
	for i := range rows {
		deletions[i] = rows[i].ChangeID
	}
	read, err := feed.ChangesByID(ctx, s.ProjectID, deletions)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		w := Withheld{ChangeID: row.ChangeID, From: row.HeldFrom, IsCancelled: row.State == delivery.StateCancelled, IsLost: true}
		if i := slices.IndexFunc(read, func(c mirror.FeedChange) bool { return c.ID == row.ChangeID }); i >= 0 {
			w.Before, w.IsLost = read[i].Before, false
		}
		// Until the repair may have made the deletion again, the record is in the mirror as if it had never been deleted.
		if w.IsLost && loss.LostTo != nil && w.ChangeID <= *loss.LostTo {
			w.OpenUntil = loss.RepairedUntil()
		}
		found[record.Ref{Type: row.RecordType, ID: row.RecordID}] = w
	}
	return found, nil
}

// undone returns a change that restores a record as a destination takes it that has not heard of the deletion: as what differs
// from the row before that. Changed is empty if nothing does.
func (w *Withheld) undone(c mirror.FeedChange) (mirror.FeedChange, error) {
	if w.IsLost {
		d, _ := record.Of(c.RecordType)
		c.Kind, c.Before = record.Updated, delivery.UnknownBefore(record.Ref{Type: c.RecordType, ID: c.RecordID})
		c.Changed = slices.DeleteFunc(slices.Clone(c.Changed), func(column string) bool { return column == d.Shown(record.DeletedAt) })
		return c, nil
	}
	kind, changed, err := delivery.Compare(c.RecordType, w.Before, c.Row)
	if err != nil {
		return c, fmt.Errorf("compare the rows of change %d: %w", c.ID, err)
	}
	c.Kind, c.Changed, c.Before = kind, changed, w.Before
	return c, nil
}

const (
	reasonUndone    = "the record was restored while its deletion was held back: there is nothing to send"
	reasonCancelled = "the deletion before it was cancelled while it was held back"
)

// page is what is being chosen of changes for a destination.
type page struct {
	*Subscription

	now      time.Time
	withheld map[record.Ref]Withheld
}

// held decides when a delivery of a change is sent that the destination takes, as far as a holdback decides it.
func (p *page) held(c *mirror.FeedChange, d *Delivery) {
	ref := record.Ref{Type: c.RecordType, ID: c.RecordID}
	w, isWithheld := p.withheld[ref]
	isWithheld = isWithheld && c.ID > w.ChangeID // a replay may be about what was before
	switch {
	case c.Kind == record.Erased:
		delete(p.withheld, ref)
	case isWithheld:
		d.Withheld = &w.ChangeID
		if d.Reason == nil {
			d.HeldFrom = &w.From
		}
		if w.IsCancelled {
			reason := reasonCancelled
			d.IsCancelled, d.HeldFrom, d.Reason = true, &w.From, &reason
		}
	case c.Kind == record.Deleted && d.Reason == nil && p.Holdback != nil && c.ChangedAt.Add(*p.Holdback).After(p.now):
		d.HeldFrom = &c.ChangedAt
		p.withheld[ref] = Withheld{ChangeID: c.ID, From: c.ChangedAt, Before: c.Before}
	}
}

// undo returns how a destination takes a change that restores a record whose deletion it has not heard of. ok is false if that is
// not so of this change.
func (p *page) undo(c *mirror.FeedChange) (as mirror.FeedChange, w Withheld, ok bool, err error) {
	w, ok = p.withheld[record.Ref{Type: c.RecordType, ID: c.RecordID}]
	if !ok || c.ID < w.ChangeID || c.Kind == record.Erased || c.ChangedAt.Before(w.OpenUntil) {
		return *c, w, false, nil
	}
	isDeleted, err := delivery.IsDeleted(c.RecordType, c.Row)
	if err != nil || isDeleted {
		return *c, w, false, err
	}
	as, err = w.undone(*c)
	return as, w, true, err
}
