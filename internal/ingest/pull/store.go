package pull

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/provider/userapi"
)

// row is a claimed row of authsync.pulls.
type row struct {
	ProjectID           uuid.UUID
	Provider            string
	Cursor              *string
	Origin              *string
	Since               time.Time
	ConsecutiveFailures int
	ReconcileDue        bool
	ChangedAt           time.Time // of the integration
}

const (
	// Without a stubbed clock it is PostgreSQL's, which all processes share.
	clock = `coalesce($1::timestamptz, clock_timestamp())`

	renewPulls = `SELECT r.project_id, r.provider, r.changed_at FROM authsync.renew_pulls($2, ` + clock + ` + $3::interval, $4, $5) AS r`

	claimPulls = `
		SELECT p.project_id, p.provider, p.cursor, p.origin, p.since, p.consecutive_failures, p.reconcile_due, p.changed_at
		FROM authsync.claim_pulls($2, $4, ` + clock + `, ` + clock + ` + $3::interval) AS p`

	countWaiting = `
		SELECT count(*)
		FROM authsync.pulls AS p
		JOIN authsync.integrations AS i ON i.project_id = p.project_id AND i.provider = p.provider
		WHERE i.options @> '{"pull": true}'
		  AND (p.claimed_by IS NULL OR p.claimed_until <= ` + clock + `)
		  AND (p.retry_at IS NULL OR p.retry_at <= ` + clock + `)`

	noteConnected = `
		UPDATE authsync.pulls AS p
		SET connected_since = coalesce(p.connected_since, ` + clock + `), wait_reason = NULL, retry_at = NULL
		WHERE p.project_id = $2 AND p.provider = $3 AND p.claimed_by = $4`

	moveCursor = `
		UPDATE authsync.pulls AS p
		SET cursor = coalesce($5, p.cursor), origin = CASE WHEN $5 IS NULL THEN p.origin ELSE $6 END,
		    cursor_moved_at = CASE WHEN $5 IS NULL THEN p.cursor_moved_at ELSE ` + clock + ` END,
		    messages = p.messages + $7, last_message_at = CASE WHEN $7 > 0 THEN ` + clock + ` ELSE p.last_message_at END,
		    consecutive_failures = 0
		WHERE p.project_id = $2 AND p.provider = $3 AND p.claimed_by = $4`

	releasePull = `
		UPDATE authsync.pulls AS p
		SET claimed_by = NULL, claimed_until = NULL, last_ended_at = ` + clock + `,
		    retry_at = ` + clock + ` + $5::interval, wait_reason = $6, consecutive_failures = $7,
		    connected_since = CASE WHEN $6::text IS NULL THEN p.connected_since END
		WHERE p.project_id = $2 AND p.provider = $3 AND p.claimed_by = $4`

	// A minute earlier, because the provider's clock may be behind.
	notePullLoss = `
		UPDATE authsync.pulls AS p
		SET cursor = $5, origin = CASE WHEN $5::text IS NOT NULL THEN $6 END, since = ` + clock + ` - interval '1 minute',
		    reconcile_due = true, lost_at = ` + clock + `, lost_reason = $7
		WHERE p.project_id = $2 AND p.provider = $3 AND p.claimed_by = $4`

	settleReconcile = `
		UPDATE authsync.pulls AS p SET reconcile_due = false
		WHERE p.project_id = $1 AND p.provider = $2 AND p.claimed_by = $3`
)

// stamp is the parameter of clock.
func (p *Puller) stamp() *time.Time {
	if p.config.Now == nil {
		return nil
	}
	now := p.config.Now()
	return &now
}

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, storeTimeout, errors.New("the control database did not answer in time"))
}

// renew prolongs the claims of what is pulled and returns the integrations that are still claimed,
// with the time of their last change. A claim whose release failed is not prolonged.
func (p *Puller) renew(ctx context.Context) (map[key]time.Time, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	projects, providers := p.pulled()
	rows, err := p.config.Pool.Query(ctx, renewPulls, p.stamp(), p.id, lease, projects, providers)
	if err != nil {
		return nil, fmt.Errorf("renew the claims: %w", err)
	}
	mine := map[key]time.Time{}
	var k key
	var changedAt time.Time
	_, err = pgx.ForEachRow(rows, []any{&k.projectID, &k.provider, &changedAt}, func() error { mine[k] = changedAt; return nil })
	if err != nil {
		return nil, fmt.Errorf("renew the claims: %w", err)
	}
	return mine, nil
}

// claim takes up to limit integrations that nobody pulls.
func (p *Puller) claim(ctx context.Context, limit int) ([]row, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := p.config.Pool.Query(ctx, claimPulls, p.stamp(), p.id, lease, limit)
	if err != nil {
		return nil, fmt.Errorf("claim what is to be pulled: %w", err)
	}
	claimed, err := pgx.CollectRows(rows, pgx.RowToStructByName[row])
	if err != nil {
		return nil, fmt.Errorf("claim what is to be pulled: %w", err)
	}
	return claimed, nil
}

func (p *Puller) countWaiting(ctx context.Context) (n int, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := p.config.Pool.QueryRow(ctx, countWaiting, p.stamp()).Scan(&n); err != nil {
		return 0, fmt.Errorf("count what waits to be pulled: %w", err)
	}
	return n, nil
}

// noteConnected records that the provider has accepted the connection.
func (c *connection) noteConnected(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	tag, err := c.config.Pool.Exec(ctx, noteConnected, c.stamp(), c.ProjectID, c.Provider, c.id)
	if err != nil {
		return fmt.Errorf("note the connection: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errNotMine
	}
	return nil
}

// move moves the cursor in the transaction that stores the messages before it, if the integration is
// still this puller's.
func (c *connection) move(ctx context.Context, tx pgx.Tx, batch userapi.EventBatch) error {
	tag, err := tx.Exec(ctx, moveCursor, c.stamp(), c.ProjectID, c.Provider, c.id, orNull(batch.Cursor), c.origin, len(batch.Bodies))
	if err != nil {
		return fmt.Errorf("move the cursor: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errNotMine
	}
	return nil
}

// result is how a connection ended.
type result struct {
	retryAfter time.Duration
	reason     string // empty if nothing is wrong
	failures   int
	lost       *userapi.LostError
}

// release records how the connection ended and lets others pull.
func (c *connection) release(ctx context.Context, r result) error {
	ctx, cancel := bounded(context.WithoutCancel(ctx))
	defer cancel()
	return pgx.BeginFunc(ctx, c.config.Pool, func(tx pgx.Tx) error {
		if l := r.lost; l != nil {
			_, err := tx.Exec(ctx, notePullLoss, c.stamp(), c.ProjectID, c.Provider, c.id, orNull(l.Cursor), c.origin, l.Reason)
			if err != nil {
				return fmt.Errorf("note the loss: %w", err)
			}
		}
		_, err := tx.Exec(ctx, releasePull, c.stamp(), c.ProjectID, c.Provider, c.id, r.retryAfter, orNull(r.reason), r.failures)
		if err != nil {
			return fmt.Errorf("release the claim: %w", err)
		}
		return nil
	})
}

// settleReconcile records that the reconcile was started.
func (c *connection) settleReconcile(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if _, err := c.config.Pool.Exec(ctx, settleReconcile, c.ProjectID, c.Provider, c.id); err != nil {
		return fmt.Errorf("note the reconcile: %w", err)
	}
	return nil
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
