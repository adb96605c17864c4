package inbox_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestJobsOfAnEvent(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	failed := stored(t, in)
	stored(t, in, func(m *inbox.Message) { m.ProjectID = uuid.New() })

	jobs, err := in.Jobs(t.Context(), failed.InboxID, 0)
	require.NoError(t, err)
	require.Len(t, jobs, 1, "the other one is of another project")
	require.Equal(t, "apply_inbox", jobs[0].Kind)
	require.NotNil(t, jobs[0].NextTryAt)

	failed.Outcome = inbox.Failed
	record(t, pool, in, failed)
	exec(t, pool, `INSERT INTO authsync.river_job (kind, state, max_attempts, args, errors, metadata)
		VALUES ('retry_event', 'retryable', 25, jsonb_build_object('inbox_id', $1::bigint, 'ordinal', 0), ARRAY['{"error": "no such column"}'::jsonb],
			'{"output": {"wait_reason": "the database is full"}}'),
			('retry_event', 'retryable', 25, jsonb_build_object('inbox_id', $1::bigint, 'ordinal', 1), NULL, '{}')`, failed.InboxID)
	jobs, err = in.Jobs(t.Context(), failed.InboxID, 0)
	require.NoError(t, err)
	require.Len(t, jobs, 1, "the event has an outcome, so the job of its project is not about it; the other is of another event")
	require.Equal(t, "retry_event", jobs[0].Kind)
	require.Equal(t, "no such column", *jobs[0].LastError)
	require.Equal(t, "the database is full", *jobs[0].WaitReason)
}
