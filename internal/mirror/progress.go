package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/tenantdb"
)

// Progress is how far a mirror is: how many calls have written to it, since it was made.
type Progress struct {
	Epoch     uuid.UUID // made with the mirror; uuid.Nil: nothing is known
	AppliedTo int64
	ChangeID  int64     // the greatest id of capydb_auth.changes that was ever given
	AppliedAt time.Time // when the last call began, of what was found; zero: there was none
}

// Lost reports whether a mirror that is as found has lost what it had when it was p.
func (p Progress) Lost(found Progress) bool {
	return p.Epoch != found.Epoch || found.AppliedTo < p.AppliedTo
}

// Ledger keeps, in the control database, how far each mirror was at least, so that one that was restored
// from a backup, or recreated, is noticed by whoever writes to it next:
//
//	call ──US004──▶ Lost: the loss is on record, with the job that applies again what was lost
//	                  └▶ Tombstones: who was erased cannot come back
//	                  └▶ resume_mirror: the mirror counts on from where it had been
//	                       └▶ Adopt: the ledger follows; then the call is repeated
//
// A process that dies in between leaves a mirror that refuses the next call too, and
// whoever makes that one does it all again: each step is repeatable.
type Ledger interface {
	// Exchange notes how far the mirror is, and gives how far it was at least, by what all processes have noted.
	// Of the zero Progress nothing is noted. If it gives the zero Progress, nothing is known.
	Exchange(ctx context.Context, projectID uuid.UUID, p Progress) (Progress, error)
	// Lost records that a mirror, known to have been further, was found like this, and has what was lost
	// applied again. It returns the greatest id of a change that was reported to anybody.
	Lost(ctx context.Context, projectID uuid.UUID, known, found Progress) (changeID int64, err error)
	// Tombstones returns a page of those of the project's erased users and of their invitations, behind one of the erasures; next is
	// that of the next page, uuid.Nil: there is none.
	Tombstones(ctx context.Context, projectID, after uuid.UUID) (page []Tombstone, next uuid.UUID, err error)
	// Adopt notes how far the mirror is from now on.
	Adopt(ctx context.Context, projectID uuid.UUID, p Progress) error
}

// noLedger is for those who keep none.
type noLedger struct{}

func (noLedger) Exchange(_ context.Context, _ uuid.UUID, p Progress) (Progress, error) { return p, nil }

func (noLedger) Lost(context.Context, uuid.UUID, Progress, Progress) (int64, error) { return 0, nil }

func (noLedger) Tombstones(context.Context, uuid.UUID, uuid.UUID) ([]Tombstone, uuid.UUID, error) {
	return nil, uuid.Nil, nil
}

func (noLedger) Adopt(context.Context, uuid.UUID, Progress) error { return nil }

// exchangeEvery is how often a mirror that is written to exchanges its progress with the ledger.
const exchangeEvery = 2 * time.Second

// known is what this process knows of a mirror's progress.
type known struct {
	mu        sync.Mutex
	progress  Progress
	readAt    time.Time   // when the ledger was last read
	telling   *time.Timer // will update the ledger; nil: it is up to date
	isClosing bool
}

func (k *known) get() Progress {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.progress
}

func (k *known) set(p Progress) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.progress, k.readAt = p, time.Now()
}

// doubt has the ledger read before the next call, which may reach another server.
func (k *known) doubt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.readAt = time.Time{}
}

func (k *known) isFresh() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.progress.Epoch != uuid.Nil && time.Since(k.readAt) < exchangeEvery
}

// advance records the result of a call, and has the ledger updated soon.
func (k *known) advance(p Progress, tell func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.progress.Epoch != p.Epoch || k.progress.AppliedTo >= p.AppliedTo {
		return
	}
	k.progress = p
	if k.telling == nil && !k.isClosing {
		k.telling = time.AfterFunc(exchangeEvery, tell)
	}
}

// settle reports whether the ledger was still to be updated.
func (k *known) settle(closing bool) (wasDue bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.isClosing = k.isClosing || closing
	wasDue = k.telling != nil
	if wasDue {
		k.telling.Stop()
		k.telling = nil
	}
	return wasDue
}

const selectProgress = `
	SELECT p.epoch, p.applied_to, p.applied_at, pg_is_in_recovery() AS is_standby
	FROM capydb_auth.mirror_progress AS p`

var errStandby = errors.New("the project's database is a standby, which cannot be written to")

// ReadProgress reads how far the mirror in a database is; the zero Progress where it does not say.
func ReadProgress(ctx context.Context, db interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
},
) (p Progress, err error) {
	rows, err := db.Query(ctx, selectProgress)
	if err != nil {
		return Progress{}, fmt.Errorf("read how far the mirror is: %w", err)
	}
	type row struct {
		Epoch     uuid.UUID
		AppliedTo int64
		AppliedAt *time.Time
		IsStandby bool
	}
	found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[row])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Progress{}, nil
	case err != nil:
		return Progress{}, fmt.Errorf("read how far the mirror is: %w", err)
	case found.IsStandby: // it lags behind, and that is all right
		return Progress{}, errStandby
	}
	p = Progress{Epoch: found.Epoch, AppliedTo: found.AppliedTo}
	if found.AppliedAt != nil {
		p.AppliedAt = found.AppliedAt.UTC()
	}
	return p, nil
}

// readProgress reads how far the mirror must be, if that is unknown or was read some time ago.
func (t *tenant) readProgress(ctx context.Context) error {
	if t.progress.isFresh() {
		return nil
	}
	mine := t.progress.get()
	theirs, err := t.ledger().Exchange(ctx, t.projectID, mine)
	if err == nil && theirs.Epoch == uuid.Nil {
		var found Progress
		if found, err = ReadProgress(ctx, t.pool); err != nil {
			return err
		}
		if theirs, err = t.ledger().Exchange(ctx, t.projectID, found); theirs.Epoch == uuid.Nil {
			theirs = found // the project is being deleted
		}
	}
	if err != nil {
		return &ledgerError{err}
	}
	t.progress.settle(false)
	if theirs.Epoch == mine.Epoch && theirs.AppliedTo < mine.AppliedTo {
		theirs = mine
	}
	t.progress.set(theirs)
	return nil
}

// report tells the ledger how far the mirror is; nobody waits for it.
func (t *tenant) report() {
	ctx, cancel := context.WithTimeout(context.Background(), tenantdb.ConnectTimeout)
	defer cancel()
	if t.progress.settle(false) {
		if _, err := t.ledger().Exchange(ctx, t.projectID, t.progress.get()); err != nil {
			t.config.Log.DebugContext(ctx, "mirror_progress_not_recorded", slog.String("project_id", t.projectID.String()), slog.Any("error", err))
		}
	}
}

func (t *tenant) ledger() Ledger {
	if t.config.Ledger == nil {
		return noLedger{}
	}
	return t.config.Ledger
}

// ledgerError marks an error of the control database: neither the events nor the mirror are to blame.
type ledgerError struct{ err error }

func (e *ledgerError) Error() string { return "look how far the mirror is: " + e.err.Error() }
func (e *ledgerError) Unwrap() error { return e.err }

// resume lets a mirror be written to again that has lost what was applied to it.
func (t *tenant) resume(ctx context.Context) error {
	known, err := t.ledger().Exchange(ctx, t.projectID, t.progress.get())
	if err != nil {
		return &ledgerError{err}
	}
	found, err := ReadProgress(ctx, t.pool)
	if err != nil {
		return err
	}
	if !known.Lost(found) { // another process was faster
		t.progress.set(known)
		return nil
	}
	if t.config.Ledger != nil {
		t.logLoss(ctx, known, found)
	}
	changeID, err := t.ledger().Lost(ctx, t.projectID, known, found)
	if err != nil {
		return &ledgerError{err}
	}
	if err := t.restoreTombstones(ctx); err != nil {
		return err
	}
	next := Progress{ChangeID: max(changeID, known.ChangeID)}
	err = t.pool.QueryRow(ctx, `SELECT epoch, applied_to FROM capydb_auth.resume_mirror($1, $2)`,
		known.AppliedTo, next.ChangeID).Scan(&next.Epoch, &next.AppliedTo)
	if err != nil {
		return fmt.Errorf("resume the mirror: %w", err)
	}
	if err := t.ledger().Adopt(ctx, t.projectID, next); err != nil {
		return &ledgerError{err}
	}
	t.progress.set(next)
	return nil
}

// Tombstone remembers a record that was erased; see capydb_auth.erasures.
type Tombstone struct {
	Digest   []byte
	ErasedAt time.Time
}

const setTombstones = `
	INSERT INTO capydb_auth.erasures (digest, erased_at)
	SELECT encode(e.digest, 'hex'), e.erased_at FROM unnest($1::bytea[], $2::timestamptz[]) AS e (digest, erased_at)
	ON CONFLICT (digest) DO NOTHING`

// restoreTombstones sets the tombstones that the mirror has lost. It comes before the mirror takes events again, so that none of
// them brings somebody back who was erased.
func (t *tenant) restoreTombstones(ctx context.Context) error {
	for after := uuid.Nil; ; {
		page, next, err := t.ledger().Tombstones(ctx, t.projectID, after)
		if err != nil {
			return &ledgerError{err}
		}
		digests, times := make([][]byte, len(page)), make([]time.Time, len(page))
		for i, one := range page {
			digests[i], times[i] = one.Digest, one.ErasedAt
		}
		if len(page) > 0 {
			if _, err := t.pool.Exec(ctx, setTombstones, digests, times); err != nil {
				return fmt.Errorf("set the tombstones again: %w", err)
			}
		}
		if next == uuid.Nil {
			return nil
		}
		after = next
	}
}

func (t *tenant) logLoss(ctx context.Context, known, found Progress) {
	log := t.config.Log.With(slog.String("project_id", t.projectID.String()),
		slog.Int64("known_applied_to", known.AppliedTo), slog.Int64("found_applied_to", found.AppliedTo), slog.Time("applied_at", found.AppliedAt),
		slog.String("next_step", "none: what was lost is applied again from the inbox; authsync doctor says when that is done"))
	if known.Epoch != found.Epoch {
		log.ErrorContext(ctx, "mirror_recreated")
		return
	}
	log.ErrorContext(ctx, "mirror_rewound")
}

// Progress gives how far the project's mirror is at least, by the calls of this process; the zero
// Progress if there was none. Whoever records what happened to events notes it in the same transaction.
func (m *Mirrors) Progress(projectID uuid.UUID) Progress {
	m.mu.Lock()
	t := m.tenants[projectID]
	m.mu.Unlock()
	if t == nil || m.config.Ledger == nil {
		return Progress{}
	}
	return t.progress.get()
}

// Check looks whether the project's mirror has what was applied to it, and sees to it if not. The error is
// a *tenantdb.DelayError, or one of the control database.
func (m *Mirrors) Check(ctx context.Context, projectID uuid.UUID) error {
	return m.query(ctx, projectID, func(ctx context.Context, t *tenant) error {
		if err := t.readProgress(ctx); err != nil {
			return err
		}
		found, err := ReadProgress(ctx, t.pool)
		if err != nil || !t.progress.get().Lost(found) {
			return err
		}
		return t.resume(ctx)
	})
}
