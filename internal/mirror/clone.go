package mirror

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
)

// A clone is a mirror that is made from another one, its source. Nothing here connects the two databases: rows are read from
// the one and written to the other, in bounded pages, all columns of each row, also those that order events:
//
//	CloneOrigin ─▶ BeginClone ─▶ ClonePage ─▶ WriteClone          all rows, table by table
//	                             CloneKeys ─▶ MissingFrom ─▶ RemoveFromClone
//	                             CloneChanges ─▶ CloneRows ─▶ WriteClone ─▶ WriteCloneChanges   what changes from then on
//
// All methods return a *tenantdb.DelayError while a database is unavailable.

// CloneOrigin is a source at the time when its rows begin to be copied.
type CloneOrigin struct {
	Epoch uuid.UUID
	// ChangeID is the newest change: what it and older ones did is in every row that is read from now on.
	ChangeID int64
	// Rows is how many there are, as PostgreSQL estimates.
	Rows int64
}

const selectOrigin = `
	SELECT p.epoch, capydb_auth.change_cursor(NULL) AS change_id, (
		SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint
		FROM pg_catalog.pg_class AS c
		JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = 'capydb_auth' AND c.relkind = 'r' AND c.relname::text = ANY ($1::text[])
	) AS rows
	FROM capydb_auth.mirror_progress AS p`

// CloneOrigin reads the origin of a source.
func (m *Mirrors) CloneOrigin(ctx context.Context, source uuid.UUID) (CloneOrigin, error) {
	var names []string
	for _, t := range CloneTables() {
		names = append(names, t.Name)
	}
	found, err := queryAll[CloneOrigin](ctx, m, source, selectOrigin, names)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("the mirror has %d rows in mirror_progress", len(found))
	}
	if err != nil {
		return CloneOrigin{}, err
	}
	return found[0], nil
}

const beginClone = `SELECT capydb_auth.clone_begin($1, $2, $3)`

// BeginClone makes a mirror the clone of a source, or has its rows copied once more.
func (m *Mirrors) BeginClone(ctx context.Context, clone, source uuid.UUID, o CloneOrigin) error {
	return m.query(ctx, clone, func(ctx context.Context, t *tenant) error {
		_, err := t.pool.Exec(ctx, beginClone, source, o.Epoch, o.ChangeID)
		return err
	})
}

// ClonePage reads the rows of a table of the source behind one, nil: from the first; at most limit, and fewer where they are long. It
// returns none only at the end.
func (m *Mirrors) ClonePage(ctx context.Context, source uuid.UUID, table CloneTable, after json.RawMessage, limit int) ([]json.RawMessage, error) {
	return m.documents(ctx, source, table.page(after != nil), clonePageBytes, after, limit)
}

// CloneRows reads rows of a table of the source by key, those from an index on; next is where to go on, 0: there are no more.
func (m *Mirrors) CloneRows(
	ctx context.Context, source uuid.UUID, table CloneTable, keys []json.RawMessage, from int,
) (rows []json.RawMessage, next int, err error) {
	found, err := m.documents(ctx, source, table.rows(), clonePageBytes, keys[from:])
	if err != nil {
		return nil, 0, err
	}
	if next = from + len(found); next >= len(keys) {
		next = 0
	}
	return slices.DeleteFunc(found, func(row json.RawMessage) bool { return string(row) == "null" }), next, nil
}

const lockMirror = `SELECT capydb_auth.lock_mirror()`

// WriteClone makes rows of a table of the clone those of its source; nothing is written about users who were erased from the clone.
func (m *Mirrors) WriteClone(ctx context.Context, clone uuid.UUID, table CloneTable, rows []json.RawMessage) error {
	return m.inClone(ctx, clone, func(ctx context.Context, tx pgx.Tx, t *tenant) error {
		_, err := tx.Exec(ctx, table.write(), table.Type, rows, t.erasureKey(ctx))
		return err
	})
}

// inClone does something in a clone that no other writer must come between.
func (m *Mirrors) inClone(ctx context.Context, clone uuid.UUID, do func(ctx context.Context, tx pgx.Tx, t *tenant) error) error {
	return m.query(ctx, clone, func(ctx context.Context, t *tenant) error {
		return pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, lockMirror); err != nil {
				return err
			}
			return do(ctx, tx, t)
		})
	})
}

// CloneKeys reads keys of a table of records of the clone, those behind one; nil: from the first; at most limit.
func (m *Mirrors) CloneKeys(ctx context.Context, clone uuid.UUID, table CloneTable, after json.RawMessage, limit int) ([]json.RawMessage, error) {
	return m.documents(ctx, clone, table.keys(after != nil), clonePageBytes, after, limit)
}

// MissingFrom returns those of some keys that a table of records of the source does not have.
func (m *Mirrors) MissingFrom(ctx context.Context, source uuid.UUID, table CloneTable, keys []json.RawMessage) ([]json.RawMessage, error) {
	return m.documents(ctx, source, table.missing(), mostKeyBytes, keys)
}

// RemoveFromClone removes rows of a table of records of the clone that its source does not have. A placeholder stays: the application
// that uses the clone's database made it.
func (m *Mirrors) RemoveFromClone(ctx context.Context, clone uuid.UUID, table CloneTable, keys []json.RawMessage) error {
	return m.inClone(ctx, clone, func(ctx context.Context, tx pgx.Tx, _ *tenant) error {
		_, err := tx.Exec(ctx, table.remove(), keys)
		return err
	})
}

// CloneProgress is how far a clone has copied the change feed of its source.
type CloneProgress struct {
	SourceID    uuid.UUID
	SourceEpoch uuid.UUID
	ChangeID    int64 // the last change of the source that was copied
	RowsFrom    int64 // rows that later changes are about have to be read
}

const selectCloneProgress = `SELECT c.source_id, c.source_epoch, c.change_id, c.rows_from FROM capydb_auth.clone_progress AS c`

// CloneProgress reads how far a clone is; nil: the mirror is no clone.
func (m *Mirrors) CloneProgress(ctx context.Context, clone uuid.UUID) (*CloneProgress, error) {
	found, err := queryAll[CloneProgress](ctx, m, clone, selectCloneProgress)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// CloneChange is a change of the source's feed as it is copied.
type CloneChange struct {
	ID         int64       `json:"id"`
	RecordType record.Type `json:"record_type"`
	RecordID   string      `json:"record_id"`

	Doc json.RawMessage `json:"-"`
}

// Key returns the key of the record that the change is about, as CloneRows takes it; ok is false if no record can have it.
func (c CloneChange) Key() (key json.RawMessage, ok bool) {
	fields := map[string]string{"id": c.RecordID}
	if c.RecordType == record.Membership {
		organizationID, userID, ok := record.SplitMembershipID(c.RecordID)
		if !ok {
			return nil, false
		}
		fields = map[string]string{"organization_id": organizationID, "user_id": userID}
	}
	key, err := json.Marshal(fields)
	return key, err == nil
}

// CloneChanges reads the next changes of the source's feed behind one, at most limit, and fewer where they are long.
func (m *Mirrors) CloneChanges(ctx context.Context, source uuid.UUID, after int64, limit int) ([]CloneChange, error) {
	found, err := m.documents(ctx, source, selectCloneChanges, clonePageBytes, after, limit)
	if err != nil {
		return nil, err
	}
	changes := make([]CloneChange, len(found))
	for i := range found {
		if err := json.Unmarshal(found[i], &changes[i]); err != nil {
			return nil, fmt.Errorf("read a change: %w", err)
		}
		changes[i].Doc = found[i]
	}
	return changes, nil
}

const selectCloneChanges = `
	SELECT to_jsonb(t) AS doc
	FROM capydb_auth.changes AS t
	WHERE t.id > $1
	ORDER BY t.id
	LIMIT $2`

const (
	countCall         = `SELECT capydb_auth.count_call($1, $2, $3)`
	writeCloneChanges = `SELECT capydb_auth.clone_changes($1, $2, $3, $4, $5)`
)

// WriteCloneChanges copies changes into the clone's feed, exactly once, and notifies those who listen. ok is false if somebody else
// has copied them. It counts as a call, and the ledger knows of it once it returns: a clone that loses changes is noticed before it
// copies them once more.
func (m *Mirrors) WriteCloneChanges(ctx context.Context, clone uuid.UUID, from CloneProgress, changes []CloneChange) (ok bool, err error) {
	docs := make([]json.RawMessage, len(changes))
	for i := range changes {
		docs[i] = changes[i].Doc
	}
	to := changes[len(changes)-1].ID
	err = m.query(ctx, clone, func(ctx context.Context, t *tenant) error {
		var newest *int64
		err := t.counted(ctx, func(known *Progress) error {
			return pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
				if err := tx.QueryRow(ctx, countCall, known.Epoch, known.AppliedTo, m.config.Now()).Scan(&known.AppliedTo); err != nil {
					return err
				}
				err := tx.QueryRow(ctx, writeCloneChanges, from.SourceID, from.ChangeID, to, docs, t.erasureKey(ctx)).Scan(&newest)
				if err == nil && newest != nil {
					known.ChangeID = max(known.ChangeID, *newest)
				}
				return err
			})
		})
		if ok = err == nil && newest != nil; !ok {
			return err
		}
		// After the commit, as announce does; who missed it reads the feed with the next one.
		if _, err := t.pool.Exec(ctx, notifyChanges, *newest); err != nil {
			t.config.Log.DebugContext(ctx, "changes_not_announced", slog.String("project_id", clone.String()), slog.Any("error", err))
		}
		return nil
	})
	return ok, err
}

// counted makes a call that is not one of apply_next, and reports it to the ledger: do makes it with what is known of the mirror, and
// brings that up to date. If the mirror has lost something, that is recorded first, and the call is made again.
func (t *tenant) counted(ctx context.Context, do func(known *Progress) error) error {
	call := func() error {
		if err := t.readProgress(ctx); err != nil {
			return err
		}
		known := t.progress.get()
		if err := do(&known); err != nil {
			return err
		}
		t.progress.advance(known, t.report)
		if _, err := t.ledger().Exchange(ctx, t.projectID, known); err != nil {
			return &ledgerError{err}
		}
		return nil
	}
	err := call()
	if pgdb.Code(err) == CodeLost {
		if err = t.resume(ctx); err == nil {
			err = call()
		}
	}
	return err
}
