package project

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const selectPulls = `
	SELECT h.provider, h.state, h.connected_since, h.cursor_moved_at, h.messages, h.last_message_at, h.wait_reason, h.retry_at,
	       h.lost_at, h.lost_reason, h.reconcile_due
	FROM authsync.pull_health AS h
	WHERE h.project_id = $1`

// Pull is how pulling the events of an integration is going; see package pull.
type Pull struct {
	Provider       string
	State          string // connected, waiting or failing
	ConnectedSince *time.Time
	CursorMovedAt  *time.Time
	Messages       int64
	LastMessageAt  *time.Time
	WaitReason     *string
	RetryAt        *time.Time
	LostAt         *time.Time
	LostReason     *string
	ReconcileDue   bool
}

// Pulls returns how pulling is going, by provider, for the project's integrations with option pull.
func (s *Store) Pulls(ctx context.Context, projectID uuid.UUID) (map[string]Pull, error) {
	rows, err := s.pool.Query(ctx, selectPulls, projectID)
	if err != nil {
		return nil, fmt.Errorf("read what is pulled: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[Pull])
	if err != nil {
		return nil, fmt.Errorf("read what is pulled: %w", err)
	}
	pulls := make(map[string]Pull, len(all))
	for _, p := range all {
		pulls[p.Provider] = p
	}
	return pulls, nil
}
