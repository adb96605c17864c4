-- event_failures shows the failed events with the job that tries each again.
--
-- A failure without job_id, or whose job is finished, is tried no more by itself:
-- `authsync events replay` makes a new job.
CREATE OR REPLACE VIEW authsync.event_failures AS
SELECT
    e.project_id,
    p.name AS project,
    i.provider,
    e.event_id,
    e.type,
    e.user_id,
    coalesce(e.record_type, CASE WHEN e.user_id IS NOT NULL THEN 'user' END) AS record_type,
    coalesce(e.record_id, CASE WHEN e.record_type IS NULL THEN e.user_id END) AS record_id,
    e.reason,
    e.received_at,
    e.recorded_at AS failed_at,
    j.id AS job_id,
    j.state AS job_state,
    j.attempt,
    j.max_attempts,
    CASE WHEN j.finalized_at IS NULL THEN j.scheduled_at END AS next_try_at,
    j.errors[cardinality(j.errors)] ->> 'error' AS last_error,
    e.inbox_id,
    e.ordinal
FROM authsync.event_outcomes AS e
LEFT JOIN LATERAL ( -- by its key, whatever the planner takes the number of failures for
    SELECT d.provider
    FROM authsync.inbox AS d
    WHERE d.id = e.inbox_id AND d.received_at = e.received_at
    LIMIT 1
) AS i ON true
LEFT JOIN authsync.projects AS p ON p.id = e.project_id
LEFT JOIN LATERAL (
    SELECT r.id, r.state, r.attempt, r.max_attempts, r.finalized_at, r.scheduled_at, r.errors
    FROM authsync.river_job AS r
    WHERE r.kind = 'retry_event' AND r.args @> jsonb_build_object('inbox_id', e.inbox_id, 'ordinal', e.ordinal)
    ORDER BY r.id DESC
    LIMIT 1
) AS j ON true
WHERE e.outcome = 'failed';

COMMENT ON VIEW authsync.event_failures IS 'Failed events, each with the River job that tries it again.';
COMMENT ON COLUMN authsync.event_failures.reason IS 'What went wrong the last time it was recorded.';
COMMENT ON COLUMN authsync.event_failures.failed_at IS 'When it failed first.';
COMMENT ON COLUMN authsync.event_failures.job_state IS 'retryable waits for next_try_at; cancelled and discarded are tried no more.';
COMMENT ON COLUMN authsync.event_failures.next_try_at IS 'When the job runs again; NULL if it does not.';
