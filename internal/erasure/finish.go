package erasure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pgdb"
)

// lookAgain is the first pause before destinations are looked at again, lookAtMost the longest.
const lookAgain, lookAtMost = time.Second, time.Minute

const (
	// A destination that was made after the tombstone reads only what comes later.
	selectAnswers = `
		SELECT t.name, t.type, coalesce(d.state, '') AS state, d.last_status AS status, d.reason, d.finished_at AS at,
			d.finished_at IS NOT NULL OR d.id IS NULL AND (f.cursor >= $2 OR t.created_at > $3) AS is_final
		FROM authsync.destinations AS t
		JOIN authsync.destination_progress AS f ON f.destination_id = t.id
		LEFT JOIN authsync.deliveries AS d ON d.destination_id = t.id AND d.change_id = $2
		WHERE t.project_id = $1
		ORDER BY t.name`

	cancelOutstanding = `
		SELECT authsync.cancel_delivery(d.project_id, d.id, $3)
		FROM authsync.deliveries AS d
		JOIN authsync.destinations AS t ON t.id = d.destination_id
		WHERE t.project_id = $1 AND d.change_id = $2 AND d.finished_at IS NULL`

	setAnswers = `UPDATE authsync.erasures SET destinations = $3 WHERE id = $1 AND steps = $2 AND state = 'running'`
)

// destinations waits until each destination has heard of the erasure and each clone has gone through its own, or has had its time.
func (r *run) destinations(ctx context.Context) error {
	type row struct {
		Answer
		IsFinal bool
	}
	rows, err := pgdb.Collect[row](ctx, r.Pool, selectAnswers, r.row.ProjectID, r.about.ChangeID, r.row.MarkedAt)
	if err != nil {
		return fmt.Errorf("read what destinations answered: %w", err)
	}
	answers := make([]Answer, 0, len(rows))
	waiting := ""
	late := r.row.MarkedAt != nil && r.Now().Sub(*r.row.MarkedAt) >= passOnFor
	for _, one := range rows {
		a := one.Answer
		if !one.IsFinal {
			waiting = a.Name
			if a.State == "" {
				a.State = "pending"
			}
			if late {
				a.State = "not_passed_on"
			}
		}
		if a.State != "" { // otherwise it was made later
			answers = append(answers, a)
		}
	}
	cloned, clone, err := r.cloned(ctx, late)
	if err != nil {
		return err
	}
	settled := r.row.MarkedAt == nil || r.Now().Sub(*r.row.MarkedAt) >= r.SettleAfter
	if settled && (waiting == "" && clone == "" || late) {
		return r.inTx(ctx, func(tx pgx.Tx) (string, error) {
			if _, err := tx.Exec(ctx, setAnswers, r.id, r.row.Steps, answers); err != nil {
				return "", fmt.Errorf("record what destinations answered: %w", err)
			}
			if err := r.setCloned(ctx, tx, cloned); err != nil {
				return "", err
			}
			if _, err := tx.Exec(ctx, cancelOutstanding, r.row.ProjectID, r.about.ChangeID, r.Now()); err != nil {
				return "", fmt.Errorf("cancel what could not be passed on: %w", err)
			}
			return phaseFinish, nil
		})
	}
	if _, err := r.Pool.Exec(ctx, setAnswers, r.id, r.row.Steps, answers); err != nil {
		return fmt.Errorf("record what destinations answered: %w", err)
	}
	if err := r.setCloned(ctx, r.Pool, cloned); err != nil {
		return err
	}
	if err := delivery.RequestRelay(ctx, r.Pool, r.row.ProjectID); err != nil {
		return err
	}
	reason := "jobs that began before the tombstone was set may still be at work"
	if clone != "" {
		reason = "the erasure from clone " + clone + " is not done yet"
	}
	if waiting != "" {
		reason = "destination " + waiting + " has not heard of the erasure yet"
	}
	return &jobs.WaitError{After: lookAgain, Most: lookAtMost, Failed: true, Err: errors.New(reason)}
}

const (
	// The rows stay, so that counts do.
	eraseDeliveries = `
		UPDATE authsync.deliveries AS d SET
			record_id = 'erased', user_id = NULL, order_key = 'erased:' || d.id, event_id = NULL, changed = '{}', last_response = NULL,
			attempt_log = NULL, reason = CASE WHEN d.change_id = $3 THEN d.reason END
		FROM (
			SELECT u.id FROM authsync.deliveries AS u
			WHERE u.project_id = $1 AND u.user_id = $2
			ORDER BY u.id
			LIMIT $4
		) AS his
		WHERE d.id = his.id`

	eraseInvitationDeliveries = `
		UPDATE authsync.deliveries AS d SET
			record_id = 'erased', order_key = 'erased:' || d.id, event_id = NULL, changed = '{}', last_response = NULL, attempt_log = NULL,
			reason = NULL
		WHERE d.project_id = $1 AND d.record_type = 'invitation' AND d.record_id = ANY ($2::text[])
		  AND d.state IN ('delivered', 'coalesced', 'cancelled', 'failed')`

	cancelInvitations = `
		SELECT authsync.cancel_delivery(d.project_id, d.id, $3)
		FROM authsync.deliveries AS d
		WHERE d.project_id = $1 AND d.record_type = 'invitation' AND d.record_id = ANY ($2::text[])
		  AND d.state IN ('held', 'blocked', 'ready', 'retrying')`

	deleteExternalIDs = `
		DELETE FROM authsync.external_ids AS l
		WHERE l.destination_id IN (SELECT d.id FROM authsync.destinations AS d WHERE d.project_id = $1)
		  AND (l.record_type = 'user' AND l.record_id = $2
		       OR l.record_type = 'membership' AND substr(l.record_id, strpos(l.record_id, '/') + 1) = $2
		       OR l.record_type = 'invitation' AND l.record_id = ANY ($3::text[]))`

	endErasure = `
		UPDATE authsync.erasures SET
			state = 'done', steps = steps + 1, subject_sealed = NULL, counts = $3, wait_reason = NULL, finished_at = $4
		WHERE id = $1 AND steps = $2 AND state = 'running'`
)

// finish removes the ids that were needed until now, and makes the receipt. What was recorded of the person while the tombstone was
// being set goes, too.
func (r *run) finish(ctx context.Context) error {
	isLast := false
	err := r.inTx(ctx, func(tx pgx.Tx) (string, error) {
		if _, err := r.events(ctx, tx, phaseFinish); err != nil || r.rowsGone["authsync.event_outcomes"] > 0 {
			return phaseFinish, err
		}
		if more, err := r.cancelDeliveries(ctx, tx, true); err != nil || more {
			return phaseFinish, err
		}
		if err := r.deliveries(ctx, tx); err != nil || r.rowsGone["authsync.deliveries"] >= deliveriesPage {
			return phaseFinish, err
		}
		isLast = true
		return phaseFinish, nil
	})
	if err != nil || !isLast {
		return err
	}
	r.row.Steps++
	r.row.Counts, r.rowsGone = r.counts(), map[string]int64{}
	if err := r.Mirrors.EndErasure(ctx, r.erasure, r.about.ChangeID); err != nil {
		return err
	}
	tag, err := r.Pool.Exec(ctx, endErasure, r.id, r.row.Steps, r.counts(), r.Now())
	if err != nil {
		return fmt.Errorf("end an erasure: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errMoved
	}
	r.Log.InfoContext(ctx, "user_erased", slog.String("project_id", r.row.ProjectID.String()), slog.String("erasure_id", r.id.String()))
	return nil
}

// deliveries erases a page of the user's deliveries, and all that is known of the destinations' own ids.
func (r *run) deliveries(ctx context.Context, tx pgx.Tx) error {
	invitations := r.about.Invitations
	if invitations == nil {
		invitations = []string{}
	}
	for _, s := range []struct {
		table, sql string
		args       []any
	}{
		{"authsync.deliveries", eraseDeliveries, []any{r.row.ProjectID, r.about.UserID, r.about.ChangeID, deliveriesPage}},
		{"", cancelInvitations, []any{r.row.ProjectID, invitations, r.Now()}},
		{"authsync.deliveries", eraseInvitationDeliveries, []any{r.row.ProjectID, invitations}},
		{"authsync.external_ids", deleteExternalIDs, []any{r.row.ProjectID, r.about.UserID, invitations}},
	} {
		tag, err := tx.Exec(ctx, s.sql, s.args...)
		if err != nil {
			return fmt.Errorf("erase deliveries: %w", err)
		}
		if s.table != "" {
			r.rowsGone[s.table] += tag.RowsAffected()
		}
	}
	return nil
}
