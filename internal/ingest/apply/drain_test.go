package apply_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// While a project's database is unavailable, a person does to its job what River UI offers.
func TestMessagesAreAppliedWhateverAPersonDoesToTheirJob(t *testing.T) {
	t.Parallel()
	end := func(t *testing.T, b *testBundle, how func(id int64) error) {
		t.Helper()
		waittest.Until(t, func() bool { // again while a worker has it
			err := how(b.job(t, "apply_inbox").ID)
			require.True(t, err == nil || errors.Is(err, rivertype.ErrJobRunning) || errors.Is(err, rivertype.ErrNotFound), "%v", err)
			return err == nil
		})
	}
	for name, act := range map[string]func(t *testing.T, b *testBundle){
		"retries it": func(t *testing.T, b *testBundle) {
			t.Helper()
			end(t, b, func(id int64) error { _, err := b.jobs.JobRetry(t.Context(), id); return err })
		},
		"cancels it": func(t *testing.T, b *testBundle) {
			t.Helper()
			end(t, b, func(id int64) error { _, err := b.jobs.JobCancel(t.Context(), id); return err })
		},
		"deletes it": func(t *testing.T, b *testBundle) {
			t.Helper()
			end(t, b, func(id int64) error { _, err := b.jobs.JobDelete(t.Context(), id); return err })
		},
		"deletes what says that it is there": func(t *testing.T, b *testBundle) {
			t.Helper()
			exec(t, b, `UPDATE authsync.job_requests SET job_id = NULL`)
			exec(t, b, `SELECT authsync.request_idle('-infinity')`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			exec(t, b, `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'away', '')`, b.awayID)
			id := b.deliver(t, b.awayID, created("evt_1", "auth0|1", "a@example.com"))
			act(t, b)
			b.mu.Lock()
			b.databases[b.awayID] = b.databases[b.projectID]
			b.mu.Unlock()
			b.eventually(t, id, 0, inbox.Applied)
			b.settled(t)
			require.Zero(t, value[int64](t, b, `SELECT count(*) FROM authsync.stuck_jobs`))
		})
	}
}

// A person has an old job of the project run again: the project's one job does the work.
func TestAJobThatIsNotTheProjectsAppliesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.eventually(t, b.deliver(t, b.projectID, created("evt_1", "auth0|1", "a@example.com")), 0, inbox.Applied)
	b.settled(t)
	old := b.job(t, "apply_inbox")
	_, err := b.jobs.JobRetry(t.Context(), old.ID)
	require.NoError(t, err)
	b.eventually(t, b.deliver(t, b.projectID, created("evt_2", "auth0|2", "b@example.com")), 0, inbox.Applied)
	b.settled(t)
	waittest.Until(t, func() bool {
		return value[int64](t, b, `SELECT count(*) FROM authsync.river_job WHERE kind = 'apply_inbox' AND state <> 'completed'`) == 0
	})
	require.Equal(t, 2, b.changes(t))
}

// What an outage leaves behind: many messages, each of a commit of its own. They fill batches, by
// one job, and the project beside does not wait for them to be through.
func TestABacklogOfSingleMessagesDrainsInBatchesByOneJob(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	big := pgtest.Project(t)
	bigID := uuid.New()
	const count = 3000
	exec(t, b, `
		WITH stored AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT $1, 'auth0', now(), '{}', convert_to(replace($2, 'NUMBER', n::text), 'UTF8')
			FROM generate_series(1, $3::integer) AS n
			RETURNING id, project_id, received_at, octet_length(body) AS bytes
		)
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
		SELECT project_id, ARRAY[id], bytes, received_at, received_at FROM stored ORDER BY id`,
		bigID, created("evt_NUMBER", "auth0|NUMBER", "NUMBER@example.com"), count)
	b.mu.Lock()
	b.databases[bigID] = pgtest.URL(t, big)
	b.mu.Unlock()
	exec(t, b, `SELECT authsync.request_job('apply_inbox', $1::uuid::text, jsonb_build_object('project_id', $1::uuid))`, bigID)
	for i := range 20 {
		b.eventually(t, b.deliver(t, b.projectID, created(fmt.Sprint("evt_", i), fmt.Sprint("auth0|", i), "a@example.com")), 0, inbox.Applied)
	}
	b.settled(t)
	require.Equal(t, int64(count), value[int64](t, b, `SELECT count(*) FROM authsync.event_outcomes WHERE project_id = $1 AND outcome = 'applied'`, bigID))
	require.Equal(t, int64(1), value[int64](t, b, `SELECT count(*) FROM authsync.river_job WHERE args ->> 'project_id' = $1`, bigID.String()),
		"the number of jobs does not grow with the backlog")
	require.LessOrEqual(t, value[int64](t, b, `SELECT count(DISTINCT xmin::text) FROM authsync.event_outcomes WHERE project_id = $1`, bigID),
		int64(count/500+2), "commits")
	require.Zero(t, value[int64](t, b, `SELECT count(*) FROM authsync.river_job WHERE coalesce((metadata ->> 'snoozes')::integer, 0) > 1`))
}

// Beside others at work a backlog goes on by smaller batches, and rests between them.
func TestABacklogLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.others.Store(true)
	const count = 1000
	exec(t, b, `
		WITH stored AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT $1, 'auth0', now(), '{}', convert_to(replace($2, 'NUMBER', n::text), 'UTF8')
			FROM generate_series(1, $3::integer) AS n
			RETURNING id, project_id, received_at, octet_length(body) AS bytes
		)
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
		SELECT project_id, ARRAY[id], bytes, received_at, received_at FROM stored ORDER BY id`,
		b.projectID, created("evt_NUMBER", "auth0|NUMBER", "NUMBER@example.com"), count)
	exec(t, b, `SELECT authsync.request_job('apply_inbox', $1::uuid::text, jsonb_build_object('project_id', $1::uuid))`, b.projectID)
	b.settled(t)
	require.Equal(t, int64(count/100), value[int64](t, b, `SELECT count(DISTINCT xmin::text) FROM authsync.event_outcomes`))
}

// A message that waits twice, because it is replayed, is applied once.
func TestAMessageThatWaitsTwiceIsApplied(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.deliver(t, b.projectID, created("evt_1", "auth0|1", "a@example.com"))
	b.eventually(t, id, 0, inbox.Applied)
	exec(t, b, `
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
		SELECT project_id, ARRAY[id], 1, received_at, received_at FROM authsync.inbox, generate_series(1, 3)`)
	_, err := b.inbox.Replay(t.Context(), inbox.Filter{InboxIDs: []int64{id}}, "", waittest.Bound)
	require.NoError(t, err)
	b.settled(t)
	require.Equal(t, 1, b.changes(t))
	require.Empty(t, b.job(t, "apply_inbox").Errors)
}
