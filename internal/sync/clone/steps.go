package clone

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/mirror"
)

// The phases.
const (
	phaseBegin   = "begin"
	phaseCopy    = "copy"
	phaseRemove  = "remove"
	phaseChanges = "changes"
)

// step does one step and commits it. idle: there is nothing more to do now.
func (r *run) step(ctx context.Context) (idle bool, err error) {
	switch r.row.Phase {
	case phaseBegin:
		return false, r.begin(ctx)
	case phaseCopy:
		return false, r.copy(ctx)
	case phaseRemove:
		return false, r.remove(ctx)
	default:
		return r.changes(ctx)
	}
}

// begin notes where the source is, before the first row is read.
func (r *run) begin(ctx context.Context) error {
	origin, err := r.Mirrors.CloneOrigin(ctx, r.source)
	if err != nil {
		return inSource(err)
	}
	if err := r.Mirrors.BeginClone(ctx, r.id, r.source, origin); err != nil {
		return inClone(err)
	}
	r.expected, r.row.RowsCopied = &origin.Rows, 0
	return r.commit(ctx, phaseCopy, &place{})
}

// copy copies a page of rows.
func (r *run) copy(ctx context.Context) error {
	tables := mirror.CloneTables()
	if r.place.Table >= len(tables) {
		return r.commit(ctx, phaseRemove, &place{})
	}
	table := tables[r.place.Table]
	rows, err := r.Mirrors.ClonePage(ctx, r.source, table, r.place.After, r.Page)
	if err != nil {
		return inSource(err)
	}
	if len(rows) == 0 {
		return r.commit(ctx, phaseCopy, &place{Table: r.place.Table + 1})
	}
	after, err := table.Key(rows[len(rows)-1])
	if err != nil {
		return inSource(err)
	}
	if err := r.Mirrors.WriteClone(ctx, r.id, table, rows); err != nil {
		return inClone(err)
	}
	r.row.RowsCopied += int64(len(rows))
	return r.commit(ctx, phaseCopy, &place{Table: r.place.Table, After: after})
}

// remove removes a page of rows that the source does not have: those of a copy of its database that were erased there since.
func (r *run) remove(ctx context.Context) error {
	tables := mirror.CloneRecords()
	if r.place.Table >= len(tables) {
		now := r.Now()
		r.copiedAt = &now
		return r.commit(ctx, phaseChanges, nil)
	}
	table := tables[r.place.Table]
	keys, err := r.Mirrors.CloneKeys(ctx, r.id, table, r.place.After, r.Page)
	if err != nil {
		return inClone(err)
	}
	if len(keys) == 0 {
		return r.commit(ctx, phaseRemove, &place{Table: r.place.Table + 1})
	}
	missing, err := r.Mirrors.MissingFrom(ctx, r.source, table, keys)
	if err != nil {
		return inSource(err)
	}
	if len(missing) > 0 {
		if err := r.Mirrors.RemoveFromClone(ctx, r.id, table, missing); err != nil {
			return inClone(err)
		}
	}
	return r.commit(ctx, phaseRemove, &place{Table: r.place.Table, After: keys[len(keys)-1]})
}

// changes copies a page of the feed, after the rows that it is about.
func (r *run) changes(ctx context.Context) (idle bool, err error) {
	known, err := r.Mirrors.CloneProgress(ctx, r.id)
	if err != nil {
		return false, inClone(err)
	}
	origin, err := r.Mirrors.CloneOrigin(ctx, r.source)
	if err != nil {
		return false, inSource(err)
	}
	// The clone's database is another one, or went back in time; or the source's mirror was recreated.
	if known == nil || known.SourceID != r.source || known.SourceEpoch != origin.Epoch {
		return false, r.commit(ctx, phaseBegin, nil)
	}
	changes, err := r.Mirrors.CloneChanges(ctx, r.source, known.ChangeID, r.Page)
	if err != nil {
		return false, inSource(err)
	}
	if len(changes) == 0 {
		return true, r.caughtUpNow(ctx)
	}
	if err := r.rowsOf(ctx, changes, known.RowsFrom); err != nil {
		return false, err
	}
	ok, err := r.Mirrors.WriteCloneChanges(ctx, r.id, *known, changes)
	if err != nil {
		return false, inClone(err)
	}
	if !ok {
		return false, errMoved
	}
	if err := delivery.RequestRelay(ctx, r.Pool, r.id); err != nil {
		return false, err
	}
	behind := max(origin.ChangeID-changes[len(changes)-1].ID, 0)
	r.behind = &behind
	r.row.ChangesCopied += int64(len(changes))
	return false, r.commit(ctx, r.row.Phase, nil)
}

// caughtUpNow notes that the clone has all that the source had when it was looked at.
func (r *run) caughtUpNow(ctx context.Context) error {
	now, none := r.Now(), int64(0)
	r.caughtUp, r.behind = &now, &none
	if r.row.Phase != r.row.Mode {
		r.Log.InfoContext(ctx, "mirror_cloned", slog.String("project_id", r.id.String()), slog.String("source_project_id", r.source.String()),
			slog.String("mode", r.row.Mode))
	}
	return r.commit(ctx, r.row.Mode, nil)
}

// rowsOf copies the rows that changes are about, as they are now, unless they were copied after these changes.
func (r *run) rowsOf(ctx context.Context, changes []mirror.CloneChange, from int64) error {
	for _, table := range mirror.CloneRecords() {
		var keys []json.RawMessage
		seen := make(map[string]bool)
		for _, c := range changes {
			if c.ID <= from || string(c.RecordType) != table.Type || seen[c.RecordID] {
				continue
			}
			seen[c.RecordID] = true
			if key, ok := c.Key(); ok {
				keys = append(keys, key)
			}
		}
		for next := 0; len(keys) > 0; {
			rows, following, err := r.Mirrors.CloneRows(ctx, r.source, table, keys, next)
			if err != nil {
				return inSource(err)
			}
			if len(rows) > 0 {
				if err := r.Mirrors.WriteClone(ctx, r.id, table, slices.Clip(rows)); err != nil {
					return inClone(err)
				}
			}
			if next = following; next == 0 {
				break
			}
		}
	}
	return nil
}
