package syncrun_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const jobOfRun = `SELECT coalesce(max(job_id), 0)::text FROM authsync.job_requests WHERE kind = 'backfill'`

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
			run, err := b.store.Start(t.Context(), b.projectID, provider.Clerk, syncrun.Order{Kind: c.kind})
			require.NoError(t, err)
			_, err = b.control.Exec(t.Context(), `UPDATE authsync.sync_runs SET `+c.progress)
			require.NoError(t, err)
			b.loseJob(t, c.deletes)
			b.work(t, b.mirrors, 0)
			waittest.Until(t, func() bool {
				latest, err := b.store.Latest(t.Context(), b.projectID, provider.Clerk, c.kind)
				require.NoError(t, err)
				return latest.ID == run.ID && latest.State == syncrun.Done
			})
			require.Equal(t, c.written, b.mirrored(t), "from where it was")
			b.restful(t)
		})
	}
}

// loseJob cancels, and perhaps deletes, the job of the run.
func (b *testBundle) loseJob(t *testing.T, deletes bool) {
	t.Helper()
	client := jobstest.Client(t, b.control)
	found, err := client.JobList(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, found.Jobs, 1)
	_, err = client.JobCancel(t.Context(), found.Jobs[0].ID)
	require.NoError(t, err)
	if deletes {
		_, err = client.JobDelete(t.Context(), found.Jobs[0].ID)
		require.NoError(t, err)
	}
}

// restful waits until no run has a job, and no job is left to do.
func (b *testBundle) restful(t *testing.T) {
	t.Helper()
	waittest.Until(t, func() bool {
		return one(t, b.control, jobOfRun) == "0" && one(t, b.control, `SELECT count(*)::text FROM authsync.river_job WHERE finalized_at IS NULL`) == "0"
	})
}

// A run that was cancelled and whose job is gone as well gets a job that finds nothing to do.
func TestACancelledRunStaysCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t, 30, 10)
	b.start(t)
	_, err := b.store.Cancel(t.Context(), b.projectID, provider.Clerk, provider.KindBackfill)
	require.NoError(t, err)
	b.loseJob(t, true)
	b.work(t, b.mirrors, 0)
	b.restful(t)
	b.ends(t, syncrun.Cancelled)
	require.Equal(t, "0 0 0 0", b.mirrored(t))
}

// A person has an old job of a run retried in River UI: the run's own job does the work, with what it holds.
func TestAJobThatIsNotTheRunsDoesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, 30, 10)
	b.start(t)
	b.loseJob(t, false)
	reached, goOn := make(chan struct{}), make(chan struct{})
	free := sync.OnceFunc(func() { close(goOn) })
	b.account.before = func(cursor string) (*userapi.Page, error) {
		if cursor == "10" {
			close(reached)
			<-goOn
		}
		return nil, nil
	}
	b.work(t, b.mirrors, 0) // rescued, the run has a second job
	t.Cleanup(free)
	waittest.Receive(t, reached)
	closed := b.account.timesClosed()
	require.Equal(t, 1, jobstest.RetryIn(t, b.control, []rivertype.JobState{rivertype.JobStateCancelled}, jobs.Backfill))
	waittest.Until(t, func() bool {
		return one(t, b.control, `SELECT count(*)::text FROM authsync.river_job WHERE state = 'completed' AND kind = 'backfill'`) == "1"
	})
	require.Equal(t, closed, b.account.timesClosed(), "what the run's own job works with")
	free()
	b.ends(t, syncrun.Done)
	require.Equal(t, "30 30 30 0", b.mirrored(t))
	b.restful(t)
}

// Why a run waits stands with its job, too, without what the provider says of its users.
func TestTheJobOfARunSaysWhyItWaits(t *testing.T) {
	t.Parallel()
	b := setup(t, 30, 10)
	b.account.before = func(string) (*userapi.Page, error) { return nil, errors.New("user ada@example.com is odd") }
	b.start(t)
	b.work(t, b.mirrors, 0)
	b.eventually(t, func(r syncrun.Run) bool { return r.WaitReason != nil })
	waittest.Until(t, func() bool {
		return one(t, b.control, `SELECT count(*)::text FROM authsync.river_job WHERE metadata #>> '{output,wait_reason}' <> ''`) == "1"
	})
	require.NotContains(t, one(t, b.control, `SELECT string_agg(to_jsonb(j)::text, '') FROM authsync.river_job AS j`), "ada@example.com")
	b.account.mu.Lock()
	b.account.before = nil
	b.account.mu.Unlock()
	b.ends(t, syncrun.Done)
}
