package erasure

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
)

const (
	selectRestartable = `
		SELECT e.id, e.subject_sealed
		FROM authsync.erasures AS e
		WHERE e.project_id = $1 AND e.state = 'running'
		FOR UPDATE`

	restartErasure = `
		UPDATE authsync.erasures SET phase = 'mark', steps = steps + 1, subject_sealed = $2, wait_reason = NULL WHERE id = $1`

	selectWithRows = `
		SELECT EXISTS (
			SELECT FROM authsync.erasures AS e
			WHERE e.project_id = $1 AND e.state = 'running' AND e.phase IN ('mark', 'ledger', 'mirror', 'invitations'))`
)

// Restart has a project's erasures that are at work begin anew, because its mirror was restored from a backup: what they have
// removed is there again, and the change that passes them on may be lost. That change is made once more for the same event, so no
// destination hears of it twice. What is known of the person stays, such as the addresses.
func (s *Store) Restart(ctx context.Context, projectID uuid.UUID) error {
	type row struct {
		ID            uuid.UUID
		SubjectSealed []byte
	}
	err := pgdb.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		rows, err := pgdb.Collect[row](ctx, tx, selectRestartable, projectID)
		if err != nil {
			return err
		}
		for _, one := range rows {
			about, err := openSubject(s.Vault, projectID, one.ID, one.SubjectSealed)
			if err != nil {
				return err
			}
			about.ChangeID, about.Ledger, about.InvitationAfter = 0, mirror.LedgerPlace{}, ""
			sealed, err := sealSubject(s.Vault, projectID, one.ID, &about)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, restartErasure, one.ID, sealed); err != nil {
				return err
			}
			args := Args{ErasureID: one.ID, ProjectID: projectID}
			if err := jobs.Request(ctx, tx, args, args.subject()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("restart erasures: %w", err)
	}
	return nil
}

// Repeat begins erasures of users who had been erased and whom a restored mirror has again, each with a receipt of its own, and
// returns how many were not under way already.
func (s *Store) Repeat(ctx context.Context, projectID uuid.UUID, userIDs []string, by string) (begun int64, err error) {
	for _, id := range userIDs {
		_, started, err := s.Start(ctx, projectID, id, by)
		if err != nil {
			return begun, err
		}
		if started {
			begun++
		}
	}
	return begun, nil
}

// EraseInvitations removes what the control database has of invitations that had been erased and that a restored mirror has again:
// a destination that was behind has read their changes. What is still to be delivered of them is cancelled.
func (s *Store) EraseInvitations(ctx context.Context, projectID uuid.UUID, ids []string) error {
	return pgdb.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		for _, do := range []struct {
			sql  string
			args []any
		}{
			{cancelInvitations, []any{projectID, ids, s.Now()}},
			{eraseInvitationDeliveries, []any{projectID, ids}},
			{deleteExternalIDs, []any{projectID, "", ids}},
		} {
			if _, err := tx.Exec(ctx, do.sql, do.args...); err != nil {
				return fmt.Errorf("erase deliveries of invitations: %w", err)
			}
		}
		return nil
	})
}

// Rowless reports whether all erasures of a project have removed the users' rows and changes.
func (s *Store) Rowless(ctx context.Context, projectID uuid.UUID) (bool, error) {
	var some bool
	if err := s.Pool.QueryRow(ctx, selectWithRows, projectID).Scan(&some); err != nil {
		return false, fmt.Errorf("read how far erasures are: %w", err)
	}
	return !some, nil
}
