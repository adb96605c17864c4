package backfill_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/backfill"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/waittest"
)

// TestRunsThatLostTheirJobGoOn has a person cancel or delete jobs in River UI.
func TestRunsThatLostTheirJobGoOn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind     string
		deletes  bool
		progress string // of the run by then
		written  string
	}{
		"CancelledBackfill":  {provider.KindBackfill, false, `cursor = '10', pages = 1, read = 10`, "20 20 20 0"},
		"DeletedBackfill":    {provider.KindBackfill, true, `cursor = '10', pages = 1, read = 10, state = 'running'`, "20 20 20 0"},
		"CancelledReconcile": {provider.KindReconcile, false, `read = 0`, "30 30 30 0"},
		"DeletedReconcile":   {provider.KindReconcile, true, `read = 0`, "30 30 30 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 30, 10)
			run, err := b.store.Start(t.Context(), b.projectID, provider.Clerk, backfill.Order{Kind: c.kind})
			require.NoError(t, err)
			require.NoError(t, pgdb.InTx(t.Context(), b.control, func(tx pgx.Tx) error {
				var jobID int64
				if err := tx.QueryRow(t.Context(), `UPDATE authsync.backfills SET `+c.progress+` RETURNING job_id`).Scan(&jobID); err != nil {
					return err
				}
				_, err := b.jobs.JobCancelTx(t.Context(), tx, jobID)
				if err == nil && c.deletes {
					_, err = b.jobs.JobDeleteTx(t.Context(), tx, jobID)
				}
				return err
			}))
			b.serve(t, b.accounts)
			waittest.Until(t, func() bool {
				latest, err := b.store.Latest(t.Context(), b.projectID, provider.Clerk, c.kind)
				require.NoError(t, err)
				return latest.ID == run.ID && latest.State == backfill.Done
			})
			require.Equal(t, c.written, b.mirrored(t), "from where it was")
		})
	}

	t.Run("OthersGetNone", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 30, 10)
		b.start(t)
		_, err := b.store.Cancel(t.Context(), b.projectID, provider.Clerk, provider.KindBackfill)
		require.NoError(t, err)
		_, err = b.control.Exec(t.Context(), `DELETE FROM authsync.river_job`)
		require.NoError(t, err)
		b.start(t)
		_, err = b.control.Exec(t.Context(), `UPDATE authsync.river_job SET state = 'scheduled', scheduled_at = now() + interval '1 hour'`)
		require.NoError(t, err)
		b.serve(t, b.accounts)
		waittest.Until(t, func() bool {
			return one(t, b.control, `SELECT count(*)::text FROM authsync.river_job WHERE kind = 'schedule_reconciles' AND state = 'completed'`) == "1"
		})
		require.Equal(t, "1", one(t, b.control, `SELECT count(*)::text FROM authsync.river_job WHERE kind = 'backfill'`),
			"one run was cancelled, the other has its job")
	})

	// Somebody is about to start the run again, or it is about to end, when mend looks.
	for name, c := range map[string]struct {
		meanwhile string
		jobs      string
	}{
		"NoneIfItGetsOneMeanwhile": {`
			WITH job AS (
				INSERT INTO authsync.river_job (kind, queue, max_attempts, args, state, scheduled_at)
				VALUES ('backfill', 'backfills', 25, '{}', 'scheduled', now() + interval '1 hour') RETURNING id
			)
			UPDATE authsync.backfills SET job_id = job.id FROM job`, "1"},
		"NoneIfItEndsMeanwhile": {`UPDATE authsync.backfills SET state = 'cancelled', finished_at = now()`, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 30, 10)
			b.start(t)
			_, err := b.control.Exec(t.Context(), `DELETE FROM authsync.river_job`)
			require.NoError(t, err)
			require.NoError(t, pgdb.InTx(t.Context(), b.control, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), c.meanwhile); err != nil {
					return err
				}
				b.serve(t, b.accounts)
				waittest.Until(t, func() bool {
					return one(t, b.control, `
						SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == "1"
				})
				return nil
			}))
			waittest.Until(t, func() bool {
				return one(t, b.control, `SELECT count(*)::text FROM authsync.river_job WHERE kind = 'schedule_reconciles' AND state = 'completed'`) == "1"
			})
			require.Equal(t, c.jobs, one(t, b.control, `SELECT count(*)::text FROM authsync.river_job WHERE kind = 'backfill'`))
		})
	}
}
