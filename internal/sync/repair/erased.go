package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
)

// tombstonesPage is the number of erasures whose tombstones are read at a time.
const tombstonesPage = 500

const selectTombstones = `
	SELECT e.id, e.digest, e.invitation_digests, coalesce(e.marked_at, e.requested_at) AS erased_at
	FROM authsync.erasures AS e
	WHERE e.project_id = $1 AND e.id > $2 AND (e.marked_at IS NOT NULL OR e.state = 'done')
	ORDER BY e.id
	LIMIT $3`

// Tombstones returns a page of those of the project's erased users; see mirror.Ledger.
func (l *Ledger) Tombstones(ctx context.Context, projectID, after uuid.UUID) (page []mirror.Tombstone, next uuid.UUID, err error) {
	type row struct {
		ID                uuid.UUID
		Digest            []byte
		InvitationDigests [][]byte
		ErasedAt          time.Time
	}
	rows, err := pgdb.Collect[row](ctx, l.pool, selectTombstones, pgdb.Planned, projectID, after, tombstonesPage)
	if err != nil {
		return nil, uuid.Nil, fmt.Errorf("read who was erased: %w", err)
	}
	for _, one := range rows {
		for _, digest := range append([][]byte{one.Digest}, one.InvitationDigests...) {
			page = append(page, mirror.Tombstone{Digest: digest, ErasedAt: one.ErasedAt})
		}
	}
	if len(rows) == tombstonesPage {
		next = rows[len(rows)-1].ID
	}
	return page, next, nil
}

// Erasures erase users again whom a restored mirror has; see erasure.Store.
type Erasures interface {
	// Restart has the project's erasures that are at work begin anew: what they removed may be there again.
	Restart(ctx context.Context, projectID uuid.UUID) error
	// Repeat begins erasures of users who had been erased, and returns how many were not under way already.
	Repeat(ctx context.Context, projectID uuid.UUID, userIDs []string, by string) (begun int64, err error)
	// EraseInvitations removes what the control database has of invitations that had been erased.
	EraseInvitations(ctx context.Context, projectID uuid.UUID, ids []string) error
	// Rowless reports whether all erasures of the project have removed the users' rows and changes.
	Rowless(ctx context.Context, projectID uuid.UUID) (bool, error)
}

const (
	// searchedBlocks is how many blocks of a table are searched per call: some ten thousand rows.
	searchedBlocks = 1000
	// removedAtOnce is how many invitations are removed per call.
	removedAtOnce = 500
)

const (
	selectHasErased = `SELECT EXISTS (SELECT FROM authsync.erasures AS e WHERE e.project_id = $1)`

	noteSearched = `
		UPDATE authsync.mirror_repairs AS r
		SET searched_table = $3, searched_to = $4, returned_users = returned_users + $5, returned_invitations = returned_invitations + $6
		WHERE r.id = $1 AND r.known_applied_to = $2 AND r.erased_at IS NULL`

	endErasing = `
		UPDATE authsync.mirror_repairs AS r SET erased_at = $3
		WHERE r.id = $1 AND r.known_applied_to = $2 AND r.erased_at IS NULL
		RETURNING r.erased_at`
)

// erase has users and invitations erased again that were erased after the backup from which the mirror was restored. Nothing is applied
// again, and so nothing goes to destinations, before the rows are gone. The process that found the loss sets the tombstones, too, but may
// not have come to it yet, or have died before: without them, the search finds nobody.
func (w *repairWorker) erase(ctx context.Context, r *Repair, until time.Time) error {
	var any bool
	if err := w.Pool.QueryRow(ctx, selectHasErased, r.ProjectID).Scan(&any); err != nil {
		return fmt.Errorf("read whether anybody was erased: %w", err)
	}
	if any && w.Erasures != nil {
		if r.SearchedTable == nil {
			if err := w.Mirrors.RestoreTombstones(ctx, r.ProjectID); err != nil {
				return err
			}
			if err := w.Erasures.Restart(ctx, r.ProjectID); err != nil {
				return err
			}
			if err := w.searched(ctx, r, place{table: mirror.SearchedUsers}, 0, 0); err != nil {
				return err
			}
		}
		for *r.SearchedTable != "" {
			if !time.Now().Before(until) {
				return errSliceOver
			}
			if err := w.search(ctx, r); err != nil {
				return err
			}
		}
		rowless, err := w.Erasures.Rowless(ctx, r.ProjectID)
		if err != nil {
			return err
		}
		if !rowless {
			return &jobs.WaitError{After: recheckAfter, Err: errors.New("users who had been erased are erased again first")}
		}
	}
	err := w.Pool.QueryRow(ctx, endErasing, r.ID, r.KnownAppliedTo, w.Now()).Scan(&r.ErasedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return errRestarted
	}
	return err
}

// place is a block of a table; no table: behind all of them.
type place struct {
	table string
	block int64
}

// searchedFor is what each table is searched for, and which one follows it.
var searchedFor = map[string]struct { //nolint:gochecknoglobals // read-only
	records []record.Type
	next    string
}{
	mirror.SearchedUsers:       {[]record.Type{record.User}, mirror.SearchedInvitations},
	mirror.SearchedInvitations: {[]record.Type{record.Invitation}, mirror.SearchedChanges},
	mirror.SearchedChanges:     {[]record.Type{record.User, record.Invitation}, ""},
}

// search searches a range of blocks.
func (w *repairWorker) search(ctx context.Context, r *Repair) error {
	in := mirror.Blocks{Table: *r.SearchedTable, From: r.SearchedTo, Count: searchedBlocks}
	table := searchedFor[in.Table]
	next, begun := place{in.Table, in.From + in.Count}, int64(0)
	for _, of := range table.records {
		found, isLast, err := w.Mirrors.FindRestored(ctx, r.ProjectID, of, in)
		if err != nil {
			return err
		}
		if isLast {
			next = place{table: table.next}
		}
		slices.Sort(found)
		found = slices.Compact(found)
		if of == record.User {
			begun, err = w.Erasures.Repeat(ctx, r.ProjectID, found, fmt.Sprintf("repair %d of the mirror", r.ID))
		} else {
			err = w.removeInvitations(ctx, r, found)
		}
		if err != nil {
			return err
		}
	}
	return w.searched(ctx, r, next, begun, 0)
}

// removeInvitations removes invitations that were erased, a bounded number at a time. If the process dies, the range is searched once
// more, for the others. Their deliveries are erased before, lest they be sent, and after: a page that was read before may
// have made more.
func (w *repairWorker) removeInvitations(ctx context.Context, r *Repair, ids []string) error {
	for some := range slices.Chunk(ids, removedAtOnce) {
		if err := w.Erasures.EraseInvitations(ctx, r.ProjectID, some); err != nil {
			return err
		}
		if err := w.Mirrors.RemoveInvitations(ctx, r.ProjectID, some); err != nil {
			return err
		}
		if err := w.Erasures.EraseInvitations(ctx, r.ProjectID, some); err != nil {
			return err
		}
		if err := w.searched(ctx, r, place{*r.SearchedTable, r.SearchedTo}, 0, int64(len(some))); err != nil {
			return err
		}
	}
	return nil
}

// searched notes how far the search is, and how many users and invitations it has found more.
func (w *repairWorker) searched(ctx context.Context, r *Repair, to place, users, invitations int64) error {
	tag, err := w.Pool.Exec(ctx, noteSearched, r.ID, r.KnownAppliedTo, to.table, to.block, users, invitations)
	if err != nil {
		return fmt.Errorf("note how far the search for erased users is: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errRestarted
	}
	r.SearchedTable, r.SearchedTo = &to.table, to.block
	r.ReturnedUsers, r.ReturnedInvitations = r.ReturnedUsers+users, r.ReturnedInvitations+invitations
	return nil
}
