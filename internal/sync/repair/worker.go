package repair

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/redact"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/tenantdb"
)

const (
	// slice is how long the job works before it yields.
	slice = 10 * time.Second
	// maxWaiting is how many pending messages a project may have before more are added: new
	// messages must not wait behind everything that was lost.
	maxWaiting = 20_000
	// recheckAfter is the pause before checking again whether pending messages were applied,
	// recheckRunAfter whether a run has ended.
	recheckAfter, recheckRunAfter = time.Second, 10 * time.Second
)

// Args are the arguments of repair_mirror, which restores what a project's mirror has lost.
type Args struct {
	ProjectID uuid.UUID `json:"project_id"`
}

// Kind implements river.JobArgs.
func (Args) Kind() string { return jobs.RepairMirror }

// Config configures the workers.
type Config struct {
	Pool    *pgxpool.Pool // the control database
	Inbox   *inbox.Inbox
	Mirrors interface {
		Check(ctx context.Context, projectID uuid.UUID) error
		RestoreTombstones(ctx context.Context, projectID uuid.UUID) error
		FindRestored(ctx context.Context, projectID uuid.UUID, of record.Type, in mirror.Blocks) (ids []string, isLast bool, err error)
		RemoveInvitations(ctx context.Context, projectID uuid.UUID, ids []string) error
	}
	Erasures Erasures // nil: nobody is ever erased
	// Providers returns a project's providers, Start starts a reconcile of one; see syncrun.Store.
	Providers func(ctx context.Context, projectID uuid.UUID) ([]string, error)
	Start     func(ctx context.Context, projectID uuid.UUID, providerName string, o syncrun.Order) (syncrun.Run, error)
	Log       *slog.Logger
	Now       func() time.Time // nil means time.Now
}

// Register adds the workers to a client under construction; see jobs.New.
func Register(config Config) jobs.Register {
	if config.Now == nil {
		config.Now = time.Now
	}
	return func(workers *river.Workers, _ map[string]river.QueueConfig) {
		river.AddWorker(workers, &repairWorker{Config: &config})
		river.AddWorker(workers, &checkWorker{Config: &config})
	}
}

// repairWorker works repair_mirror.
type repairWorker struct {
	river.WorkerDefaults[Args]
	*Config
}

// Timeout is that of all jobs.
func (w *repairWorker) Timeout(*river.Job[Args]) time.Duration { return jobs.Timeout }

// Work continues a repair. If the process dies, messages may become pending once more, which is
// harmless.
func (w *repairWorker) Work(ctx context.Context, job *river.Job[Args]) error {
	until, subject := time.Now().Add(slice), job.Args.ProjectID.String()
	owns, err := jobs.Owns(ctx, w.Pool, job.JobRow, subject)
	var r Repair
	if err == nil && owns {
		r, err = unfinished(ctx, w.Pool, job.Args.ProjectID)
	}
	if err == nil && r.ID == 0 {
		return jobs.End(ctx, w.Pool, job.JobRow, subject, w.Now())
	}
	if err == nil && r.ReplayCursor == 0 {
		err = w.notTooOften(ctx, r.ProjectID)
	}
	if err == nil && r.ErasedAt == nil {
		err = w.erase(ctx, &r, until)
	}
	for err == nil && r.LastPendingID == nil {
		if !time.Now().Before(until) {
			return jobs.Yield(ctx)
		}
		if err = w.awaitCapacity(ctx, r.ProjectID); err == nil {
			err = w.replay(ctx, &r)
		}
	}
	if err == nil && r.ReplayedAt == nil {
		err = w.replayed(ctx, &r)
	}
	if err == nil && r.FinishedAt == nil {
		err = w.reconcile(ctx, &r)
	}
	var wait *jobs.WaitError
	var delay *tenantdb.DelayError
	switch {
	case err == nil:
		return jobs.End(ctx, w.Pool, job.JobRow, subject, w.Now())
	case ctx.Err() != nil, errors.Is(err, errRestarted), errors.Is(err, errSliceOver):
		return jobs.Yield(ctx)
	case errors.As(err, &delay):
		wait = &jobs.WaitError{After: delay.After, Err: fmt.Errorf("the project's database cannot be used now: %s", redact.Reason(delay.Err))}
	case errors.Is(err, mirror.ErrKeyUnknown):
		wait = &jobs.WaitError{After: time.Second, Err: err}
	case !errors.As(err, &wait):
		w.Log.WarnContext(ctx, "job_snoozed", slog.Int64("job_id", job.ID), slog.String("kind", job.Kind), slog.Any("error", err))
		wait = &jobs.WaitError{After: time.Second, Err: err, Failed: true}
	}
	return jobs.Wait(ctx, job.JobRow, redact.Reason(wait.Err), wait)
}

const (
	// A mirror that loses data more often than that, such as one behind a misbehaving server, is
	// repaired later.
	oftenRepairs, oftenWithin = 5, 10 * time.Minute

	selectOften = `
		SELECT r.found_at
		FROM authsync.mirror_repairs AS r
		WHERE r.project_id = $1
		ORDER BY r.found_at DESC
		OFFSET $2
		LIMIT 1`
)

// notTooOften waits if the mirror was repaired too often recently.
func (w *repairWorker) notTooOften(ctx context.Context, projectID uuid.UUID) error {
	var found time.Time
	err := w.Pool.QueryRow(ctx, selectOften, projectID, oftenRepairs).Scan(&found)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read how often the mirror was repaired: %w", err)
	}
	if after := found.Add(oftenWithin).Sub(w.Now()); after > 0 {
		return &jobs.WaitError{After: after, Err: fmt.Errorf("the mirror has lost something more than %d times within %s", oftenRepairs, oftenWithin)}
	}
	return nil
}

// awaitCapacity waits while the project has so many pending messages that more would delay new
// ones.
func (w *repairWorker) awaitCapacity(ctx context.Context, projectID uuid.UUID) error {
	var waiting int64
	err := w.Pool.QueryRow(ctx, `SELECT coalesce(sum(n.messages), 0) FROM authsync.inbox_pending AS n WHERE n.project_id = $1`, projectID).Scan(&waiting)
	switch {
	case err != nil:
		return fmt.Errorf("count what waits: %w", err)
	case waiting >= maxWaiting:
		return &jobs.WaitError{After: recheckAfter, Err: fmt.Errorf("%d messages of the project wait to be applied first", waiting)}
	}
	return nil
}

const (
	moveOn = `
		UPDATE authsync.mirror_repairs
		SET replay_cursor = $2, messages = messages + $3
		WHERE id = $1 AND known_applied_to = $4 AND replay_cursor = $5 AND last_pending_id IS NULL`

	endLooking = `
		UPDATE authsync.mirror_repairs AS r
		SET last_pending_id = coalesce((SELECT max(n.id) FROM authsync.inbox_pending AS n WHERE n.project_id = r.project_id), 0)
		WHERE r.id = $1
		RETURNING r.last_pending_id`
)

// errSliceOver means that the job has worked for long enough.
var errSliceOver = errors.New("the rest is for the next job")

// errRestarted reports that a repair restarts because the mirror lost data again.
var errRestarted = errors.New("the repair begins anew")

// replay makes a page of messages pending again.
func (w *repairWorker) replay(ctx context.Context, r *Repair) error {
	return pgdb.InTx(ctx, w.Pool, func(tx pgx.Tx) error {
		lost := inbox.Lost{ProjectID: r.ProjectID, After: r.ReplayCursor, Last: r.LastInboxID}
		if r.LostSince != nil {
			lost.Since = *r.LostSince
		}
		next, messages, err := w.Inbox.ReplayLost(ctx, tx, lost)
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, moveOn, r.ID, next, messages, r.KnownAppliedTo, r.ReplayCursor)
		switch {
		case err != nil:
			return fmt.Errorf("note how far the repair is: %w", err)
		case tag.RowsAffected() == 0:
			return errRestarted
		}
		r.ReplayCursor, r.Messages = next, r.Messages+int64(messages)
		if next < r.LastInboxID {
			return nil
		}
		return tx.QueryRow(ctx, endLooking, r.ID).Scan(&r.LastPendingID)
	})
}

const endReplay = `
	UPDATE authsync.mirror_repairs AS r
	SET replayed_at = $2
	WHERE r.id = $1 AND r.known_applied_to = $3
	  AND NOT EXISTS (SELECT FROM authsync.inbox_pending AS n WHERE n.project_id = r.project_id AND n.id <= r.last_pending_id)
	  AND r.last_pending_id IS NOT NULL
	RETURNING r.replayed_at`

// replayed waits until the messages were applied.
func (w *repairWorker) replayed(ctx context.Context, r *Repair) error {
	err := w.Pool.QueryRow(ctx, endReplay, r.ID, w.Now(), r.KnownAppliedTo).Scan(&r.ReplayedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return &jobs.WaitError{After: recheckAfter, Err: errors.New("messages are being applied again")}
	}
	return err
}

const (
	noteReconcile = `
		UPDATE authsync.mirror_repairs AS r
		SET reconciled_providers = CASE WHEN $3::text IS NULL THEN array_append(r.reconciled_providers, $2) ELSE r.reconciled_providers END,
		    unreconciled_providers = CASE WHEN $3 IS NULL THEN r.unreconciled_providers ELSE r.unreconciled_providers || jsonb_build_object($2, $3) END
		WHERE r.id = $1 AND r.known_applied_to = $4`

	finishRepair = `UPDATE authsync.mirror_repairs AS r SET finished_at = $2 WHERE r.id = $1 AND r.known_applied_to = $3`
)

// reconcile starts a reconcile for each provider that allows one, and ends the repair: users that
// were read from the provider are in no message.
func (w *repairWorker) reconcile(ctx context.Context, r *Repair) error {
	providers, err := w.Providers(ctx, r.ProjectID)
	if err != nil && !errors.Is(err, project.ErrNoProject) {
		return err
	}
	for _, name := range providers {
		if _, noted := r.Unreconciled[name]; noted || slices.Contains(r.Reconciled, name) {
			continue
		}
		_, err := w.Start(ctx, r.ProjectID, name, syncrun.Order{Kind: provider.KindReconcile})
		var running *syncrun.RunningError
		var why *string
		switch {
		case errors.As(err, &running):
			return &jobs.WaitError{After: recheckRunAfter, Err: fmt.Errorf("a %s of %s is at work; a reconcile follows it", running.Run.Kind, provider.Title(name))}
		case fault.Is(err, fault.Unsupported):
			reason := err.Error()
			why = &reason
		case errors.Is(err, project.ErrNoProject), errors.Is(err, project.ErrNoIntegration):
			continue
		case err != nil:
			return err
		}
		if _, err := w.Pool.Exec(ctx, noteReconcile, r.ID, name, why, r.KnownAppliedTo); err != nil {
			return fmt.Errorf("note the reconcile: %w", err)
		}
	}
	tag, err := w.Pool.Exec(ctx, finishRepair, r.ID, w.Now(), r.KnownAppliedTo)
	switch {
	case err != nil:
		return fmt.Errorf("end the repair: %w", err)
	case tag.RowsAffected() == 0:
		return errRestarted
	}
	log := w.Log.With(slog.String("project_id", r.ProjectID.String()), slog.Int64("messages", r.Messages))
	if r.NotInInboxUntil != nil {
		log.WarnContext(ctx, "mirror_repaired_in_part", slog.Time("not_in_inbox_until", *r.NotInInboxUntil))
		return nil
	}
	log.InfoContext(ctx, "mirror_repaired")
	return nil
}
