package prune

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pause"
	"github.com/authsync/authsync/internal/retention"
)

// The destination that has read the fewest changes.
const selectSlowest = `
	SELECT p.cursor, d.name, '' AS state
	FROM authsync.destinations AS d
	JOIN authsync.destination_progress AS p ON p.destination_id = d.id
	WHERE d.project_id = $1
	ORDER BY p.cursor
	LIMIT 1`

// The first change that a delivery needs of some records, each given with the last change up to which it is pruned: of
// deliveries that are not finished, and of those that failed lately, which may be sent again. Each record costs a look-up or two.
const selectNeeded = `
	SELECT n.change_id, n.name, n.state
	FROM unnest($2::text[], $3::text[], $4::bigint[]) AS c (record_type, record_id, change_id)
	CROSS JOIN LATERAL (
		SELECT coalesce(o.first_change_id, o.change_id) AS change_id, d.name, o.state
		FROM authsync.deliveries AS o
		JOIN authsync.destinations AS d ON d.id = o.destination_id
		WHERE o.record_id = c.record_id AND o.record_type = c.record_type AND o.finished_at IS NULL
			AND o.project_id = $1
		UNION ALL
		SELECT coalesce(o.first_change_id, o.change_id), d.name, o.state
		FROM authsync.destinations AS d
		JOIN authsync.deliveries AS o ON o.destination_id = d.id
		WHERE d.project_id = $1 AND o.state = 'failed' AND o.record_type = c.record_type AND o.record_id = c.record_id
			AND o.finished_at > $5
	) AS n
	WHERE n.change_id <= c.change_id
	ORDER BY n.change_id
	LIMIT 1`

// need is a change that must stay, and whose it is.
type need struct {
	ChangeID    int64
	Destination string
	State       string // of the delivery; empty: the destination has not read it
}

// reason says why changes past their retention stay.
func (n *need) reason() string {
	switch n.State {
	case "":
		return "destination " + n.Destination + " has not read changes that are past their retention"
	case delivery.StateHeld:
		return "a deletion is held back from destination " + n.Destination
	case delivery.StateFailed:
		return "a delivery to destination " + n.Destination + " failed and may be retried"
	default:
		return "a delivery to destination " + n.Destination + " is not finished"
	}
}

func (p *Pruner) pruneChanges(ctx context.Context, one project, done *pruned) error {
	now := p.config.Now()
	before := one.Settings.Effective(p.config.Retention, retention.Changes).Before(now)
	if before.IsZero() {
		return nil
	}
	slowest, err := p.need(ctx, selectSlowest, one.ID)
	if err != nil {
		return err
	}
	failed := now.Add(-failedFor)
	if kept := one.Settings.Effective(p.config.Retention, retention.Deliveries).Before(now); kept.After(failed) {
		failed = kept
	}
	for {
		began := time.Now()
		// The one behind tells whether the destination holds anything.
		page, err := p.config.Mirrors.PrunableChanges(ctx, one.ID, before, math.MaxInt64, p.config.Batch)
		if err != nil || len(page) == 0 {
			return err
		}
		to := page[len(page)-1].ChangeID
		if slowest != nil && slowest.ChangeID < to {
			to = slowest.ChangeID
			done.held = slowest.reason()
		}
		needed, err := p.firstNeeded(ctx, one.ID, page, failed)
		if err != nil {
			return err
		}
		if needed != nil && needed.ChangeID <= to {
			to = needed.ChangeID - 1
			done.held = needed.reason()
		}
		n, err := p.config.Mirrors.PruneChanges(ctx, one.ID, to)
		if err != nil {
			return err
		}
		done.changes += int64(n)
		if done.held != "" || len(page) < p.config.Batch {
			return nil
		}
		if err := pause.For(ctx, time.Since(began)); err != nil {
			return err
		}
	}
}

// firstNeeded is the first change among those of the page's records that a delivery needs; nil: none.
func (p *Pruner) firstNeeded(ctx context.Context, projectID uuid.UUID, page []mirror.PrunableChange, failedSince time.Time) (*need, error) {
	last := map[mirror.PrunableChange]int64{}
	for _, c := range page { // by id
		last[mirror.PrunableChange{Ref: c.Ref}] = c.ChangeID
	}
	types, ids, changes := make([]string, 0, len(last)), make([]string, 0, len(last)), make([]int64, 0, len(last))
	for c, id := range last {
		types, ids, changes = append(types, string(c.Type)), append(ids, c.ID), append(changes, id)
	}
	return p.need(ctx, selectNeeded, projectID, types, ids, changes, failedSince)
}

func (p *Pruner) need(ctx context.Context, query string, args ...any) (*need, error) {
	var n need
	err := p.config.Pool.QueryRow(ctx, query, args...).Scan(&n.ChangeID, &n.Destination, &n.State)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nothing is needed
	}
	if err != nil {
		return nil, err
	}
	return &n, nil
}
