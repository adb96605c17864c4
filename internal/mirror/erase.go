package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/record"
)

// ErasureKeys gives the key of the digests by which a project's erased users are remembered; nil if nobody of the project was
// erased. See project.Directory.
type ErasureKeys interface {
	ErasureKey(ctx context.Context, projectID uuid.UUID) ([]byte, error)
}

// Owned is a record and the user it belongs to, if it belongs to one.
type Owned struct {
	record.Ref

	UserID string
}

// erasureKey is the key of the project's erasures. What is not known yet counts as none: apply_next then refuses the call, if
// there are erasures.
func (t *tenant) erasureKey(ctx context.Context) []byte {
	if t.config.ErasureKeys == nil {
		return nil
	}
	key, err := t.config.ErasureKeys.ErasureKey(ctx, t.projectID)
	if err != nil {
		return nil
	}
	return key
}

// ErasureDigest is capydb_auth.erasure_digest, which has it in hexadecimal.
func ErasureDigest(key []byte, t record.Type, id string) []byte {
	sum := sha256.Sum256(append(slices.Clone(key), string(t)+":"+id...))
	return sum[:]
}

const findErased = `SELECT capydb_auth.find_erased($1, $2, $3, $4)`

// Erased returns the indexes of those records that were erased, or whose user was: nothing about them may be stored. It costs
// nothing in projects of which nobody was. The error is a *tenantdb.DelayError while the database is unavailable; so it is of
// the methods below.
func (m *Mirrors) Erased(ctx context.Context, projectID uuid.UUID, records []Owned) (erased []int, err error) {
	if m.config.ErasureKeys == nil || len(records) == 0 {
		return nil, nil
	}
	key, err := m.config.ErasureKeys.ErasureKey(ctx, projectID)
	if err != nil || key == nil {
		return nil, err
	}
	types, ids, users := make([]string, len(records)), make([]string, len(records)), make([]*string, len(records))
	for i := range records {
		types[i], ids[i] = string(records[i].Type), records[i].ID
		if records[i].UserID != "" {
			users[i] = &records[i].UserID
		}
	}
	err = m.query(ctx, projectID, func(ctx context.Context, t *tenant) error {
		rows, err := t.pool.Query(ctx, findErased, key, types, ids, users)
		if err != nil {
			return err
		}
		places, err := pgx.CollectRows(rows, pgx.RowTo[int])
		erased = erased[:0]
		for _, place := range places {
			erased = append(erased, place-1)
		}
		return err
	})
	return erased, err
}

// Erasure is the erasure of a user from a mirror. Its methods are the steps, in this sequence; each can be repeated, and does a
// bounded amount of work.
type Erasure struct {
	ProjectID uuid.UUID
	Key       []byte // of the digests; see ErasureKeys
	UserID    string
	EventID   string // names the erasure in the change that passes it on
}

// Begun is what a mirror has of a user at the beginning of an erasure.
type Begun struct {
	// ChangeID is the change that passes the erasure on.
	ChangeID int64
	Emails   []string
}

const beginErasure = `SELECT change_id, emails, applied_to FROM capydb_auth.erase_begin($1, $2, $3, $4, $5, $6)`

// BeginErasure sets the tombstone: from its commit on, no event brings the user back. It counts as a call, and the ledger knows of
// it once it returns: a mirror that loses the tombstone is noticed like one that loses an event.
func (m *Mirrors) BeginErasure(ctx context.Context, e Erasure, now time.Time) (b Begun, err error) {
	err = m.query(ctx, e.ProjectID, func(ctx context.Context, t *tenant) error {
		return t.counted(ctx, func(known *Progress) error {
			err := t.pool.QueryRow(ctx, beginErasure, e.Key, e.UserID, e.EventID, now, known.Epoch, known.AppliedTo).
				Scan(&b.ChangeID, &b.Emails, &known.AppliedTo)
			known.ChangeID = max(known.ChangeID, b.ChangeID)
			return err
		})
	})
	return b, err
}

// The tables in which a restored mirror may have users or invitations that were erased.
const (
	SearchedUsers       = "users"
	SearchedInvitations = "invitations"
	SearchedChanges     = "changes"
)

// RestoreTombstones sets the tombstones of all who were ever erased, which a mirror that was restored from a backup may lack.
func (m *Mirrors) RestoreTombstones(ctx context.Context, projectID uuid.UUID) error {
	return m.query(ctx, projectID, func(ctx context.Context, t *tenant) error { return t.restoreTombstones(ctx) })
}

// ErrKeyUnknown means that this process does not know the key yet by which erased users are recognized. It reads it within seconds.
var ErrKeyUnknown = errors.New("this process does not know yet how erased users are recognized; it tries again in a moment")

const findRestored = `SELECT record_ids, is_last FROM capydb_auth.find_restored($1, $2, $3, $4, $5)`

// Blocks are a range of those of a table.
type Blocks struct {
	Table       string
	From, Count int64
}

// FindRestored searches a range of blocks for users or invitations that were erased, by their tombstones. isLast: there is no block behind
// it. The caller knows that somebody of the project was erased.
func (m *Mirrors) FindRestored(ctx context.Context, projectID uuid.UUID, of record.Type, in Blocks) (ids []string, isLast bool, err error) {
	if m.config.ErasureKeys == nil {
		return nil, true, nil
	}
	key, err := m.config.ErasureKeys.ErasureKey(ctx, projectID)
	switch {
	case err != nil:
		return nil, false, err
	case key == nil:
		return nil, false, ErrKeyUnknown
	}
	err = m.query(ctx, projectID, func(ctx context.Context, t *tenant) error {
		return t.pool.QueryRow(ctx, findRestored, key, string(of), in.Table, in.From, in.Count).Scan(&ids, &isLast)
	})
	return ids, isLast, err
}

const removeInvitations = `SELECT FROM capydb_auth.remove_invitations($1)`

// RemoveInvitations removes invitations that were erased and that a restored mirror has again, with their changes.
func (m *Mirrors) RemoveInvitations(ctx context.Context, projectID uuid.UUID, ids []string) error {
	return m.query(ctx, projectID, func(ctx context.Context, t *tenant) error {
		_, err := t.pool.Exec(ctx, removeInvitations, ids)
		return err
	})
}

// minLongID is the length from which on an id is certain to mean the user wherever it is found; a shorter one, such as a
// number, may be anything.
const minLongID = 12

// IsLongID reports whether an id means its user wherever it is found.
func IsLongID(id string) bool { return len(id) >= minLongID }

// LedgerPlace is how far an erasure has read the ledger; the zero place is its beginning.
type LedgerPlace struct {
	Provider string `json:"provider,omitempty"`
	EventID  string `json:"event_id,omitempty"`
}

// ledgerPage is the number of entries of the ledger per call.
const ledgerPage = 20_000

const eraseLedger = `SELECT removed, next_provider, next_event_id FROM capydb_auth.erase_ledger($1, $2, $3, $4, $5)`

// EraseLedger removes what a page of the ledger has of the user; next is nil if it was the last one.
func (m *Mirrors) EraseLedger(ctx context.Context, e Erasure, after LedgerPlace) (removed int64, next *LedgerPlace, err error) {
	err = m.query(ctx, e.ProjectID, func(ctx context.Context, t *tenant) error {
		var provider, eventID *string
		next = nil
		err := t.pool.QueryRow(ctx, eraseLedger, e.UserID, IsLongID(e.UserID), after.Provider, after.EventID, ledgerPage).Scan(&removed, &provider, &eventID)
		if err == nil && provider != nil && eventID != nil {
			next = &LedgerPlace{*provider, *eventID}
		}
		return err
	})
	return removed, next, err
}

// ErasedRows is how many rows of the mirror's tables a step has removed.
type ErasedRows struct {
	Changes, Memberships, Sessions, Users, Findings int64
	Emails                                          []string // that the changes had
	IsDone                                          bool
}

// recordsPage is the number of changes per call.
const recordsPage = 2000

const eraseRecords = `
	SELECT changes, memberships, sessions, users, findings, emails, is_done FROM capydb_auth.erase_records($1, $2, $3)`

// EraseRecords removes rows and changes of the user, its memberships and sessions, except for the change keep; repeat it until
// it is done.
func (m *Mirrors) EraseRecords(ctx context.Context, e Erasure, keep int64) (rows ErasedRows, err error) {
	err = m.query(ctx, e.ProjectID, func(ctx context.Context, t *tenant) error {
		found, err := collect[ErasedRows](ctx, t.pool, eraseRecords, e.UserID, keep, recordsPage)
		if err == nil && len(found) == 1 {
			rows = found[0]
		}
		return err
	})
	return rows, err
}

// ErasedInvitations is what EraseInvitations has removed.
type ErasedInvitations struct {
	Invitations, Changes int64
	IDs                  []string `db:"ids"`
	NextAfter            *string  // where the next page begins; nil: there is none
}

// invitationsPage is the number of invitations read per call.
const invitationsPage = 5000

const eraseInvitations = `
	SELECT invitations, changes, ids, next_after FROM capydb_auth.erase_invitations($1, $2, $3, $4, $5)`

// EraseInvitations removes the invitations to some addresses out of a page of all invitations.
func (m *Mirrors) EraseInvitations(ctx context.Context, e Erasure, emails []string, after string, now time.Time) (rows ErasedInvitations, err error) {
	err = m.query(ctx, e.ProjectID, func(ctx context.Context, t *tenant) error {
		found, err := collect[ErasedInvitations](ctx, t.pool, eraseInvitations, e.Key, emails, after, invitationsPage, now)
		if err == nil && len(found) == 1 {
			rows = found[0]
		}
		return err
	})
	return rows, err
}

const endErasure = `
	DELETE FROM capydb_auth.changes AS c WHERE c.id = $1 AND c.record_type = 'user' AND c.kind = 'erased'`

// EndErasure removes the change that passed the erasure on.
func (m *Mirrors) EndErasure(ctx context.Context, e Erasure, changeID int64) error {
	return m.query(ctx, e.ProjectID, func(ctx context.Context, t *tenant) error {
		_, err := t.pool.Exec(ctx, endErasure, changeID)
		return err
	})
}
