package prune

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// State is how the last pruning of a project's mirror went.
type State struct {
	AttemptedAt time.Time
	FinishedAt  *time.Time // when everything was last gone, apart from what is held; nil: never yet
	HeldReason  *string    // why rows past their retention stay; nil: none do
	HeldSince   *time.Time // since when some do
	LastError   *string    // why the last attempt ended early; nil: it did not
}

const selectState = `
	SELECT m.attempted_at, m.finished_at, m.held_reason, m.held_since, m.last_error
	FROM authsync.mirror_prunings AS m
	WHERE m.project_id = $1`

// Of returns how the last pruning of a project's mirror went; nil: it was never attempted.
func Of(ctx context.Context, db pgdb.Querier, projectID uuid.UUID) (*State, error) {
	s, err := pgdb.CollectOne[State](ctx, db, selectState, projectID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // a new project has none
	}
	if err != nil {
		return nil, fmt.Errorf("read how the mirror was pruned: %w", err)
	}
	return &s, nil
}
