package repair

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/plural"
)

// Causes of a repair.
const (
	Rewound   = "rewound"   // the mirror went back to an earlier state
	Recreated = "recreated" // the mirror was recreated, empty
)

// Repair is the repair of a mirror that lost applied events.
type Repair struct {
	ID        int64
	ProjectID uuid.UUID
	Cause     string
	// KnownAppliedTo is the mirror's progress before the loss. Another loss during the repair
	// restarts it with a new value.
	KnownAppliedTo int64
	// LostSince is the start of the period that is applied again; nil means everything.
	LostSince *time.Time
	// NotInInboxUntil is the time before which messages are no longer in the inbox; nil if it has
	// all.
	NotInInboxUntil *time.Time
	LastInboxID     int64
	ReplayCursor    int64
	// Messages is the number of messages to apply again; final once LastPendingID is known.
	Messages      int64
	LastPendingID *int64
	ReplayedAt    *time.Time
	// SearchedTable is the table that is searched for users and invitations that had been erased, before block SearchedTo; nil: not
	// begun, empty: done.
	SearchedTable       *string
	SearchedTo          int64
	ReturnedUsers       int64      // users whose erasure was begun again
	ReturnedInvitations int64      // invitations that were removed again
	ErasedAt            *time.Time // nil: the mirror may have some of them
	// Reconciled lists the providers for which a reconcile was started; Unreconciled says why
	// others had none.
	Reconciled   []string
	Unreconciled map[string]string
	FoundAt      time.Time
	FinishedAt   *time.Time
}

const columns = `
	r.id, r.project_id, r.cause, r.known_applied_to, nullif(r.lost_since, '-infinity') AS lost_since, r.not_in_inbox_until, r.last_inbox_id,
	r.replay_cursor, r.messages, r.last_pending_id, r.replayed_at, r.searched_table, r.searched_to, r.returned_users,
	r.returned_invitations, r.erased_at, r.reconciled_providers AS reconciled,
	r.unreconciled_providers AS unreconciled, r.found_at, r.finished_at`

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// unfinished returns a project's running repair, or the zero Repair.
func unfinished(ctx context.Context, db querier, projectID uuid.UUID) (Repair, error) {
	rows, err := db.Query(ctx, `SELECT `+columns+` FROM authsync.mirror_repairs AS r WHERE r.project_id = $1 AND r.finished_at IS NULL`, projectID)
	if err != nil {
		return Repair{}, fmt.Errorf("read the repair: %w", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Repair])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Repair{}, nil
	case err != nil:
		return Repair{}, fmt.Errorf("read the repair: %w", err)
	}
	return r, nil
}

// Of returns the newest limit repairs of a project, newest first.
func Of(ctx context.Context, db querier, projectID uuid.UUID, limit int) ([]Repair, error) {
	rows, err := db.Query(ctx, `
		SELECT `+columns+`
		FROM authsync.mirror_repairs AS r
		WHERE r.project_id = $1
		ORDER BY r.id DESC
		LIMIT $2`, projectID, limit)
	if err != nil {
		return nil, fmt.Errorf("read the repairs of the mirror: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[Repair])
	if err != nil {
		return nil, fmt.Errorf("read the repairs of the mirror: %w", err)
	}
	return all, nil
}

// What describes the loss.
func (r *Repair) What() string {
	at := r.FoundAt.UTC().Format("2006-01-02 15:04Z")
	if r.Cause == Recreated || r.LostSince == nil {
		return "its mirror was recreated, which was noticed at " + at
	}
	return fmt.Sprintf("its mirror had lost what was applied since %s, which was noticed at %s", r.LostSince.Add(margin).UTC().Format("2006-01-02 15:04Z"), at)
}

// Stage describes the progress.
func (r *Repair) Stage() string {
	users := plural.Of(r.ReturnedUsers, "user")
	if r.ErasedAt == nil && r.FinishedAt == nil {
		return "it is searched for users who had been erased; " + users + " so far" + plural.Word(r.ReturnedUsers, " is", " are") + " being erased again"
	}
	stage := r.replayStage()
	if r.ReturnedUsers > 0 {
		stage += "; " + users + " who had been erased" + plural.Word(r.ReturnedUsers, " was", " were") + " erased again: authsync erasures list has the receipts"
	}
	if n := r.ReturnedInvitations; n > 0 {
		stage += "; " + plural.Of(n, "invitation") + " that had been erased" + plural.Word(n, " was", " were") + " removed again"
	}
	return stage
}

func (r *Repair) replayStage() string {
	messages := plural.Of(r.Messages, "message")
	are, were := plural.Word(r.Messages, " is", " are"), plural.Word(r.Messages, " was", " were")
	switch {
	case r.FinishedAt != nil:
		return messages + were + " applied again"
	case r.ReplayedAt != nil:
		return messages + were + " applied again, and reconciles are about to start"
	case r.LastPendingID != nil:
		return messages + are + " being applied again"
	default:
		return "the inbox is being looked through: " + messages + " so far" + are + " applied again"
	}
}
