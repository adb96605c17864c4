// Package repair restores what a mirror has lost. Package mirror reports each mirror's progress,
// and when one went back because its database was restored from a backup, failed over to a lagging
// replica, or was recreated; repair records that, and a job restores the lost data.
//
//	mirror ──Exchange──▶ authsync.mirror_progress
//	       ──Lost──────▶ authsync.mirror_repairs + job repair_mirror
//	                          │ erasing again ─▶ users who were erased since, whom a backup had
//	                          │ looking through the inbox ─▶ messages pending again, a bounded number at a time
//	                          │ replaying                 ─▶ until the last of them was applied
//	                          │ reconciling               ─▶ a reconcile for each provider whose credentials allow
//	                          ▼
//	                        finished
//	check_mirrors ─▶ mirror.Check, once a minute, also for mirrors without events
//
// Every event is applied exactly once, because the mirror's ledger knows the events it still has.
// Time determines which were lost: the mirror records when its last call began, and everything that
// became final since then, plus a few minutes because clocks differ, is applied again.
//
// The step that a repair has reached is committed with what the step did. If the process dies, the job
// is rescued and goes on there.
package repair

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
)

// margin is added to the period that is applied again: it exceeds any expected difference between
// clocks.
const margin = 5 * time.Minute

// Ledger is the mirror.Ledger of a control database. It is safe for concurrent use.
type Ledger struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// NewLedger returns a Ledger; a nil now means time.Now.
func NewLedger(pool *pgxpool.Pool, now func() time.Time) *Ledger {
	if now == nil {
		now = time.Now
	}
	return &Ledger{pool: pool, now: now}
}

const (
	noteProgress = `
		INSERT INTO authsync.mirror_progress AS p (project_id, epoch, applied_to, change_id)
		SELECT j.id, $2, $3, $4 FROM authsync.projects AS j WHERE j.id = $1
		ON CONFLICT (project_id) DO UPDATE
		SET applied_to = excluded.applied_to, change_id = greatest(p.change_id, excluded.change_id), recorded_at = now()
		WHERE p.epoch = excluded.epoch AND p.applied_to < excluded.applied_to`

	selectProgress = `SELECT p.epoch, p.applied_to, p.change_id FROM authsync.mirror_progress AS p WHERE p.project_id = $1`

	recordProgress = `
		UPDATE authsync.mirror_progress AS p
		SET applied_to = $3, change_id = greatest(p.change_id, $4), recorded_at = now()
		WHERE p.project_id = $1 AND p.epoch = $2 AND p.applied_to < $3`

	adoptProgress = `
		UPDATE authsync.mirror_progress AS p
		SET epoch = $2, applied_to = $3, change_id = greatest(p.change_id, $4), recorded_at = now()
		WHERE p.project_id = $1 AND (p.epoch <> $2 OR p.applied_to < $3)`
)

// Exchange records a mirror's progress and returns its greatest recorded progress; see
// mirror.Ledger.
func (l *Ledger) Exchange(ctx context.Context, projectID uuid.UUID, p mirror.Progress) (known mirror.Progress, err error) {
	if p.Epoch != uuid.Nil {
		if _, err := l.pool.Exec(ctx, noteProgress, projectID, p.Epoch, p.AppliedTo, p.ChangeID); err != nil {
			return known, fmt.Errorf("note how far the mirror is: %w", err)
		}
	}
	err = l.pool.QueryRow(ctx, selectProgress, projectID).Scan(&known.Epoch, &known.AppliedTo, &known.ChangeID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return known, fmt.Errorf("read how far the mirror was: %w", err)
	}
	return known, nil
}

// Record records a mirror's progress in the transaction that records its events' outcomes, so that
// no event is recorded as applied without the ledger. It ignores the zero Progress.
func Record(ctx context.Context, tx pgx.Tx, projectID uuid.UUID, p mirror.Progress) error {
	if p.Epoch == uuid.Nil {
		return nil
	}
	if _, err := tx.Exec(ctx, recordProgress, projectID, p.Epoch, p.AppliedTo, p.ChangeID); err != nil {
		return fmt.Errorf("record how far the mirror is: %w", err)
	}
	return nil
}

// Adopt replaces a mirror's recorded progress; see mirror.Ledger.
func (l *Ledger) Adopt(ctx context.Context, projectID uuid.UUID, p mirror.Progress) error {
	if _, err := l.pool.Exec(ctx, adoptProgress, projectID, p.Epoch, p.AppliedTo, p.ChangeID); err != nil {
		return fmt.Errorf("note how far the mirror is now: %w", err)
	}
	return nil
}

const (
	// lockProgress serializes the recording of a mirror's losses.
	lockProgress = `SELECT p.epoch FROM authsync.mirror_progress AS p WHERE p.project_id = $1 FOR UPDATE`

	// restartRepair restarts a running repair, because what it restored is lost again. It ignores
	// the same loss found by another process. The repair's changes are still those after the first
	// loss.
	restartRepair = `
		UPDATE authsync.mirror_repairs AS r
		SET cause = $2, epoch = $3, known_applied_to = $4, found_applied_to = $5, found_at = $6,
		    last_inbox_id = (SELECT coalesce(max(i.id), 0) FROM authsync.inbox AS i), lost_since = least(r.lost_since, coalesce($7::timestamptz, '-infinity')),
		    searched_table = NULL, searched_to = 0, erased_at = NULL,
		    replay_cursor = 0, messages = 0, last_pending_id = NULL, replayed_at = NULL, reconciled_providers = '{}', unreconciled_providers = '{}'
		WHERE r.project_id = $1 AND r.finished_at IS NULL AND (r.epoch, r.known_applied_to) <> ($3, $4)
		RETURNING r.id`

	// insertRepair records a loss once. What an earlier repair restored after the time of the
	// backup is lost again, although the events' outcomes have the time of the first application.
	insertRepair = `
		INSERT INTO authsync.mirror_repairs (
			project_id, cause, epoch, known_applied_to, found_applied_to, found_at, last_inbox_id, lost_change_id, lost_since, not_in_inbox_until
		)
		SELECT p.id, $2, $3, $4, $5, $6, (SELECT coalesce(max(i.id), 0) FROM authsync.inbox AS i), $8, l.since,
		       CASE WHEN greatest(l.since, p.created_at) < o.since THEN o.since END
		FROM authsync.projects AS p
		CROSS JOIN LATERAL (
			SELECT least(s.since, min(r.lost_since)) AS since
			FROM (SELECT coalesce($7::timestamptz, '-infinity') AS since) AS s
			LEFT JOIN authsync.mirror_repairs AS r ON r.project_id = p.id AND r.replayed_at >= s.since
			GROUP BY s.since
		) AS l
		CROSS JOIN (SELECT min(d.day)::timestamp AT TIME ZONE 'UTC' AS since FROM authsync.inbox_days AS d) AS o
		WHERE p.id = $1
		ON CONFLICT ON CONSTRAINT mirror_repairs_known_key DO NOTHING
		RETURNING id`

	pruneRepairs = `DELETE FROM authsync.mirror_repairs AS r WHERE r.project_id = $1 AND r.finished_at < $2`

	// selectToldID returns the greatest id of a change that a destination of the project has
	// received.
	selectToldID = `
		SELECT coalesce(max(greatest(f.cursor, l.change_id)), 0)
		FROM authsync.destinations AS d
		JOIN authsync.destination_progress AS f ON f.destination_id = d.id
		LEFT JOIN LATERAL (SELECT max(e.change_id) AS change_id FROM authsync.deliveries AS e WHERE e.destination_id = d.id) AS l ON true
		WHERE d.project_id = $1`

	// noteReached records how far each destination had read the lost changes, so that those are not
	// sent to it again. For a destination that had not read all, time decides, because nothing else
	// is known of lost changes without a delivery. So it does in a clone, which may be behind: what it copies is older than the loss
	// even if it had not copied that before.
	noteReached = `
		WITH told AS (
			UPDATE authsync.destinations AS d
			SET state_reason = $3
			WHERE d.project_id = $1 AND d.state = 'active'
		)
		UPDATE authsync.destination_progress AS f
		SET passed_until = CASE
			WHEN f.cursor >= $2 AND NOT EXISTS (SELECT FROM authsync.clones AS s WHERE s.project_id = $1) THEN 'infinity'
			WHEN f.cursor = 0 THEN 'epoch'
			ELSE least(f.passed_until, coalesce(l.changed_at, d.created_at) - interval '5 minutes')
		END
		FROM authsync.destinations AS d
		LEFT JOIN LATERAL (
			SELECT e.changed_at FROM authsync.deliveries AS e WHERE e.destination_id = d.id ORDER BY e.change_id DESC LIMIT 1
		) AS l ON true
		WHERE d.project_id = $1 AND f.destination_id = d.id`
)

// noticeOfLoss is the notice shown on each of the project's destinations.
func noticeOfLoss(at time.Time) string {
	return "The project's database had lost changes, which was noticed at " + at.UTC().Format("2006-01-02 15:04Z") + ". They are brought back, and " +
		"what was delivered to this destination is not sent again. Users that are read from their provider meanwhile are not sent either, if " +
		"they are older than that: authsync destinations replay sends them"
}

// keepRepairs is how long finished repairs are kept.
const keepRepairs = 90 * 24 * time.Hour

// Lost records that a mirror has lost applied events and requests the job that restores them; see
// mirror.Ledger.
func (l *Ledger) Lost(ctx context.Context, projectID uuid.UUID, known, found mirror.Progress) (changeID int64, err error) {
	err = pgdb.InTx(ctx, l.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockProgress, projectID); err != nil {
			return fmt.Errorf("lock how far the mirror is: %w", err)
		}
		if err := tx.QueryRow(ctx, selectToldID, projectID).Scan(&changeID); err != nil {
			return fmt.Errorf("read what destinations have heard of: %w", err)
		}
		changeID = max(changeID, known.ChangeID)
		id, err := l.record(ctx, tx, projectID, known, found, changeID)
		if err != nil {
			return fmt.Errorf("record the loss: %w", err)
		}
		if id == 0 {
			return nil
		}
		if _, err := tx.Exec(ctx, noteReached, projectID, known.ChangeID, noticeOfLoss(l.now())); err != nil {
			return fmt.Errorf("note how far destinations are: %w", err)
		}
		return jobs.Request(ctx, tx, Args{ProjectID: projectID}, projectID.String())
	})
	return changeID, err
}

// record returns the repair of a loss, or 0 if another process was faster or the project is gone.
func (l *Ledger) record(ctx context.Context, tx pgx.Tx, projectID uuid.UUID, known, found mirror.Progress, changeID int64) (id int64, err error) {
	cause := Rewound
	if known.Epoch != found.Epoch {
		cause = Recreated
	}
	var since *time.Time // nil means that everything is lost
	if !found.AppliedAt.IsZero() {
		at := found.AppliedAt.Add(-margin)
		since = &at
	}
	if _, err := tx.Exec(ctx, pruneRepairs, projectID, l.now().Add(-keepRepairs)); err != nil {
		return 0, err
	}
	args := []any{projectID, cause, found.Epoch, known.AppliedTo, found.AppliedTo, l.now(), since}
	err = tx.QueryRow(ctx, restartRepair, args...).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = tx.QueryRow(ctx, insertRepair, append(args, changeID)...).Scan(&id)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return id, err
}
