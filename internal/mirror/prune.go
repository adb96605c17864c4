package mirror

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/record"
)

const (
	pruneLedger  = `SELECT capydb_auth.prune_ledger($1, $2)`
	prunable     = `SELECT id, record_type, record_id FROM capydb_auth.prunable_changes($1, $2, $3) ORDER BY id`
	pruneChanges = `SELECT capydb_auth.prune_changes($1)`
)

// PruneLedger deletes at most limit entries of the ledger that were made before a time, and returns how many. The error is
// a *tenantdb.DelayError while the database is unavailable; so it is of the methods below.
func (m *Mirrors) PruneLedger(ctx context.Context, projectID uuid.UUID, before time.Time, limit int) (deleted int, err error) {
	err = m.query(ctx, projectID, func(ctx context.Context, t *tenant) error {
		return t.pool.QueryRow(ctx, pruneLedger, before, limit).Scan(&deleted)
	})
	return deleted, err
}

// PrunableChange is a change that is past its retention.
type PrunableChange struct {
	record.Ref

	ChangeID int64
}

// PrunableChanges returns the next changes that were made before a time, by id: at most limit, and none behind to.
func (m *Mirrors) PrunableChanges(
	ctx context.Context, projectID uuid.UUID, before time.Time, to int64, limit int,
) (found []PrunableChange, err error) {
	err = m.query(ctx, projectID, func(ctx context.Context, t *tenant) error {
		rows, err := t.pool.Query(ctx, prunable, before, to, limit)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c PrunableChange, err error) {
			err = row.Scan(&c.ChangeID, &c.Type, &c.ID)
			return c, err
		})
		return err
	})
	return found, err
}

// PruneChanges deletes changes that a later one, up to the id, of the same record has superseded. to is that of one of
// PrunableChanges.
func (m *Mirrors) PruneChanges(ctx context.Context, projectID uuid.UUID, to int64) (deleted int, err error) {
	err = m.query(ctx, projectID, func(ctx context.Context, t *tenant) error {
		return t.pool.QueryRow(ctx, pruneChanges, to).Scan(&deleted)
	})
	return deleted, err
}
