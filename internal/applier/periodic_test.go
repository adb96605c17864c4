package applier_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/applier"
	"github.com/authsync/authsync/internal/inbox"
	"github.com/authsync/authsync/internal/pgtest"
	"github.com/authsync/authsync/internal/waittest"
)

// While a project's database is away, a person cancels one of the jobs that wait for it and
// deletes another, as River UI does.
func TestDeliveriesWhoseJobSomebodyEndedAreApplied(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	cancelled := b.deliver(t, b.awayID, created("evt_1", "auth0|1", "a@example.com"))
	jobs := []int64{b.job(t, "apply_deliveries").ID}
	deleted := b.deliver(t, b.awayID, created("evt_2", "auth0|2", "b@example.com"))
	jobs = append(jobs, b.job(t, "apply_deliveries").ID)
	kept := b.deliver(t, b.awayID, created("evt_3", "auth0|3", "c@example.com"))
	for _, id := range jobs {
		_, err := b.jobs.JobCancel(t.Context(), id)
		require.NoError(t, err)
	}
	waittest.Until(t, func() bool { // once no worker has it
		_, err := b.jobs.JobDelete(t.Context(), jobs[1])
		return err == nil || !errors.Is(err, rivertype.ErrJobRunning)
	})
	waittest.Until(t, func() bool {
		return value[string](t, b, `SELECT state::text FROM authsync.river_job WHERE id = $1`, jobs[0]) == "cancelled"
	})

	for range 2 { // what came since is known, and then late
		exec(t, b, `UPDATE authsync.inbox_watch SET known_at = known_at - interval '3 minutes'`)
		exec(t, b, `DELETE FROM authsync.river_job WHERE kind = 'mend_inbox' AND state <> 'running'`)
		exec(t, b, `INSERT INTO authsync.river_job (kind, max_attempts, args) VALUES ('mend_inbox', 5, '{}')`)
		waittest.Until(t, func() bool { return b.job(t, "mend_inbox").State == rivertype.JobStateCompleted })
	}
	require.Equal(t, int64(3), value[int64](t, b, `SELECT count(*) FROM authsync.inbox_late`))
	b.mu.Lock()
	b.databases[b.awayID] = b.databases[b.projectID]
	b.mu.Unlock()
	for _, id := range []int64{cancelled, deleted, kept} {
		b.eventually(t, id, 0, inbox.Applied)
	}
	require.Equal(t, int64(3), value[int64](t, b, `SELECT count(*) FROM authsync.river_job WHERE kind = 'apply_deliveries'`),
		"the one that was cancelled, the one that was left alone, and one for both that had none")
	require.Zero(t, value[int64](t, b, `SELECT count(*) FROM authsync.stuck_jobs WHERE kind = 'apply_deliveries'`))
}

func TestTheInboxIsMendedByItself(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	waittest.Until(t, func() bool {
		return value[bool](t, b, `SELECT known_at > '-infinity' FROM authsync.inbox_watch`)
	})
}

// River's own default is a day for jobs that were cancelled and a week for those that were given up.
func TestWithoutRetentionJobsThatEndedStay(t *testing.T) {
	t.Parallel()
	b := &testBundle{control: pgtest.Control(t)}
	exec(t, b, `
		INSERT INTO authsync.river_job (kind, max_attempts, args, state, finalized_at)
		SELECT 'apply_event', 25, '{}', s::authsync.river_job_state, now() - interval '5 years'
		FROM unnest('{completed,cancelled,discarded}'::text[]) AS s`)
	log := slog.New(slog.DiscardHandler)
	jobs, err := inbox.NewJobs(log)
	require.NoError(t, err)
	b.inbox = inbox.New(b.control, jobs, inbox.Config{})
	t.Cleanup(func() { require.NoError(t, b.inbox.Close(context.Background())) })
	client, err := applier.NewClient(applier.Config{Pool: b.control, Inbox: b.inbox, Log: log}, applier.ClientConfig{Workers: workers})
	require.NoError(t, err)
	require.NoError(t, client.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.Background())) })
	left := func() string {
		return value[string](t, b, `SELECT coalesce(string_agg(state::text, ' ' ORDER BY state::text), '') FROM authsync.river_job WHERE kind = 'apply_event'`)
	}
	waittest.Until(t, func() bool { return left() != "cancelled completed discarded" },
		"River does not clean up")
	require.Equal(t, "cancelled discarded", left())
}

// value reads one value from the control database.
func value[T any](t *testing.T, b *testBundle, query string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, b.control.QueryRow(t.Context(), query, args...).Scan(&v))
	return v
}

func exec(t *testing.T, b *testBundle, statement string, args ...any) {
	t.Helper()
	_, err := b.control.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}
