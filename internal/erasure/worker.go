package erasure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/redact"
	"github.com/authsync/authsync/internal/tenantdb"
)

const (
	// slice is how long a job works before it yields.
	slice = 10 * time.Second
	// passOnFor is how long an erasure waits for destinations that are paused, disabled or failing. What cannot be passed on until
	// then is in the receipt: the law gives a month.
	passOnFor = 7 * 24 * time.Hour
)

// Mirrors are the steps in the project's database; see mirror.Mirrors.
type Mirrors interface {
	BeginErasure(ctx context.Context, e mirror.Erasure, now time.Time) (mirror.Begun, error)
	EraseLedger(ctx context.Context, e mirror.Erasure, after mirror.LedgerPlace) (int64, *mirror.LedgerPlace, error)
	EraseRecords(ctx context.Context, e mirror.Erasure, keep int64) (mirror.ErasedRows, error)
	EraseInvitations(ctx context.Context, e mirror.Erasure, emails []string, after string, now time.Time) (mirror.ErasedInvitations, error)
	EndErasure(ctx context.Context, e mirror.Erasure, changeID int64) error
}

// Config configures the worker.
type Config struct {
	Pool    *pgxpool.Pool // the control database
	Vault   Vault
	Mirrors Mirrors
	Log     *slog.Logger
	// SettleAfter is how long after the tombstone an erasure may end: jobs that had read an event of the person before have
	// recorded it by then. 0 means jobs.StuckAfter.
	SettleAfter time.Duration
	// Pause replaces pauses in tests; nil keeps them.
	Pause func(time.Duration) time.Duration
	Now   func() time.Time // nil means time.Now
}

// Register adds the worker to a client under construction; see jobs.New.
func Register(c Config) jobs.Register {
	c.SettleAfter = cmp.Or(c.SettleAfter, jobs.StuckAfter)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Pause == nil {
		c.Pause = func(pause time.Duration) time.Duration { return pause }
	}
	return func(workers *river.Workers, _ map[string]river.QueueConfig) {
		river.AddWorker(workers, &worker{Config: &c})
	}
}

// worker works erase_user.
type worker struct {
	river.WorkerDefaults[Args]
	*Config
}

// Timeout is that of all jobs.
func (w *worker) Timeout(*river.Job[Args]) time.Duration { return jobs.Timeout }

// NextRetry retries soon after a worker died.
func (w *worker) NextRetry(job *river.Job[Args]) time.Time {
	return time.Now().Add(min(time.Duration(job.Attempt)*time.Second, 10*time.Second))
}

// errMoved means that another worker, which presumed this one dead, has gone on with the erasure.
var errMoved = errors.New("another worker goes on with the erasure")

// Work continues an erasure for a slice of time.
func (w *worker) Work(ctx context.Context, job *river.Job[Args]) error {
	until := time.Now().Add(slice)
	owns, err := jobs.Owns(ctx, w.Pool, job.JobRow, job.Args.subject())
	for err == nil && owns {
		if !time.Now().Before(until) {
			return jobs.Yield(ctx)
		}
		var r *run
		if r, err = w.load(ctx, job.Args.ErasureID); r == nil {
			break
		}
		err = r.step(ctx)
	}
	var wait *jobs.WaitError
	switch {
	case err == nil:
		return jobs.End(ctx, w.Pool, job.JobRow, job.Args.subject(), w.Now())
	case ctx.Err() != nil, errors.Is(err, errMoved):
		return jobs.Yield(ctx)
	case !errors.As(err, &wait):
		wait = &jobs.WaitError{After: time.Second, Err: err, Failed: true}
		if delay, is := errors.AsType[*tenantdb.DelayError](err); is {
			wait = &jobs.WaitError{After: delay.After, Err: fmt.Errorf("the project's database cannot be used now: %s", redact.Reason(delay.Err))}
		} else {
			w.Log.WarnContext(ctx, "job_snoozed", slog.Int64("job_id", job.ID), slog.String("kind", job.Kind), slog.Any("error", err))
		}
	}
	reason := redact.Reason(wait.Err)
	if _, err := w.Pool.Exec(ctx, setWaitReason, job.Args.ErasureID, reason); err != nil {
		return fmt.Errorf("note what an erasure waits for: %w", err)
	}
	wait.After = w.Pause(wait.After)
	return jobs.Wait(ctx, job.JobRow, reason, wait)
}

const (
	setWaitReason = `UPDATE authsync.erasures SET wait_reason = $2 WHERE id = $1 AND state = 'running'`

	selectRun = `
		SELECT e.project_id, e.subject_sealed, e.phase, e.steps, e.counts, e.marked_at
		FROM authsync.erasures AS e
		WHERE e.id = $1 AND e.state = 'running'`

	commitStep = `
		UPDATE authsync.erasures SET
			steps = steps + 1, subject_sealed = $3, phase = $4, counts = $5, marked_at = $6, invitation_digests = $7, wait_reason = NULL
		WHERE id = $1 AND steps = $2 AND state = 'running'`
)

// run is an erasure at work.
type run struct {
	*worker

	id       uuid.UUID
	row      runRow
	about    subject
	erasure  mirror.Erasure
	rowsGone map[string]int64
}

type runRow struct {
	ProjectID     uuid.UUID
	SubjectSealed []byte
	Phase         string
	Steps         int64
	Counts        map[string]int64
	MarkedAt      *time.Time
}

// load reads an erasure; nil: it is done.
func (w *worker) load(ctx context.Context, id uuid.UUID) (*run, error) {
	row, err := pgdb.CollectOne[runRow](ctx, w.Pool, selectRun, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // that there is nothing to do is not an error
	}
	if err != nil {
		return nil, fmt.Errorf("read an erasure: %w", err)
	}
	key, err := w.Vault.EnsureErasureKey(ctx, row.ProjectID)
	if err != nil {
		return nil, err
	}
	about, err := openSubject(w.Vault, row.ProjectID, id, row.SubjectSealed)
	if err != nil {
		return nil, err
	}
	r := &run{worker: w, id: id, row: row, about: about, rowsGone: map[string]int64{}}
	r.erasure = mirror.Erasure{ProjectID: row.ProjectID, Key: key, UserID: r.about.UserID, EventID: "erasure:" + id.String()}
	return r, nil
}

// step does one step and commits it. What a step does in the control database is in the transaction that commits it.
func (r *run) step(ctx context.Context) error {
	switch r.row.Phase {
	case phaseMark:
		return r.mark(ctx)
	case phaseLedger:
		return r.ledger(ctx)
	case phaseMirror:
		return r.mirror(ctx)
	case phaseInvitations:
		return r.invitations(ctx)
	case phaseEvents:
		return r.inTx(ctx, func(tx pgx.Tx) (string, error) { return r.events(ctx, tx, phaseInbox) })
	case phaseInbox:
		return r.inTx(ctx, func(tx pgx.Tx) (string, error) { return r.messages(ctx, tx) })
	case phaseRemains:
		return r.inTx(ctx, func(tx pgx.Tx) (string, error) { return r.remains(ctx, tx) })
	case phaseClones:
		return r.clones(ctx)
	case phaseDestinations:
		return r.destinations(ctx)
	default:
		return r.finish(ctx)
	}
}

// inTx does a step in the control database; do returns the phase of the next one.
func (r *run) inTx(ctx context.Context, do func(tx pgx.Tx) (next string, err error)) error {
	return pgdb.InTx(ctx, r.Pool, func(tx pgx.Tx) error {
		next, err := do(tx)
		if err != nil {
			return err
		}
		return r.commit(ctx, tx, next)
	})
}

// commit records a step.
func (r *run) commit(ctx context.Context, tx delivery.Execer, next string) error {
	sealed, err := sealSubject(r.Vault, r.row.ProjectID, r.id, &r.about)
	if err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, commitStep, r.id, r.row.Steps, sealed, next, r.counts(), r.row.MarkedAt, r.invitationDigests())
	if err != nil {
		return fmt.Errorf("record a step of an erasure: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errMoved
	}
	return nil
}

// invitationDigests are those by which the invitations are remembered that were erased with the person.
func (r *run) invitationDigests() [][]byte {
	all := make([][]byte, len(r.about.Invitations))
	for i, id := range r.about.Invitations {
		all[i] = mirror.ErasureDigest(r.erasure.Key, record.Invitation, id)
	}
	return all
}

// counts are those of all steps, with this one.
func (r *run) counts() map[string]int64 {
	all := map[string]int64{}
	for _, some := range []map[string]int64{r.row.Counts, r.rowsGone} {
		for table, n := range some {
			if n > 0 {
				all[table] += n
			}
		}
	}
	return all
}

// remember adds addresses that were the person's.
func (r *run) remember(emails []string) {
	for _, email := range emails {
		if email = strings.TrimSpace(email); strings.Contains(email, "@") && !slices.Contains(r.about.Emails, email) {
			r.about.Emails = append(r.about.Emails, email)
		}
	}
}

// mark sets the tombstone, then cancels what is to be delivered of the user.
func (r *run) mark(ctx context.Context) error {
	if r.about.ChangeID == 0 {
		now := r.Now()
		begun, err := r.Mirrors.BeginErasure(ctx, r.erasure, now)
		if err != nil {
			return err
		}
		r.about.ChangeID = begun.ChangeID
		r.row.MarkedAt = &now
		r.remember(begun.Emails)
		return r.commit(ctx, r.Pool, phaseMark)
	}
	return r.inTx(ctx, func(tx pgx.Tx) (string, error) {
		more, err := r.cancelDeliveries(ctx, tx, false)
		if err != nil || more {
			return phaseMark, err
		}
		return phaseLedger, delivery.RequestRelay(ctx, tx, r.row.ProjectID)
	})
}

func (r *run) ledger(ctx context.Context) error {
	removed, next, err := r.Mirrors.EraseLedger(ctx, r.erasure, r.about.Ledger)
	if err != nil {
		return err
	}
	r.rowsGone["capydb_auth.processed_events"] = removed
	if next == nil {
		return r.commit(ctx, r.Pool, phaseMirror)
	}
	r.about.Ledger = *next
	return r.commit(ctx, r.Pool, phaseLedger)
}

func (r *run) mirror(ctx context.Context) error {
	rows, err := r.Mirrors.EraseRecords(ctx, r.erasure, r.about.ChangeID)
	if err != nil {
		return err
	}
	r.rowsGone["capydb_auth.changes"] = rows.Changes
	r.rowsGone["capydb_auth.memberships"] = rows.Memberships
	r.rowsGone["capydb_auth.sessions"] = rows.Sessions
	r.rowsGone["capydb_auth.users"] = rows.Users
	r.rowsGone["capydb_auth.reconcile_findings"] = rows.Findings
	r.remember(rows.Emails)
	if !rows.IsDone {
		return r.commit(ctx, r.Pool, phaseMirror)
	}
	return r.commit(ctx, r.Pool, phaseInvitations)
}

func (r *run) invitations(ctx context.Context) error {
	if len(r.about.Emails) == 0 {
		return r.commit(ctx, r.Pool, phaseEvents)
	}
	rows, err := r.Mirrors.EraseInvitations(ctx, r.erasure, r.about.Emails, r.about.InvitationAfter, r.Now())
	if err != nil {
		return err
	}
	r.rowsGone["capydb_auth.invitations"] = rows.Invitations
	r.rowsGone["capydb_auth.changes"] = rows.Changes
	r.about.Invitations = append(r.about.Invitations, rows.IDs...)
	if rows.NextAfter == nil {
		return r.commit(ctx, r.Pool, phaseEvents)
	}
	r.about.InvitationAfter = *rows.NextAfter
	return r.commit(ctx, r.Pool, phaseInvitations)
}
