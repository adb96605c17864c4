-- pending_refreshes shows, per project and provider, the users that are to be read
-- from the provider because a log entry was about them: how many wait, since when
-- and why, and how many were given up. It is empty when all is well.
CREATE OR REPLACE VIEW authsync.pending_refreshes AS
SELECT
    p.id AS project_id,
    p.name AS project,
    w.provider,
    count(*) FILTER (WHERE w.abandoned_at IS NULL) AS waiting,
    min(w.requested_at) FILTER (WHERE w.abandoned_at IS NULL) AS oldest,
    count(*) FILTER (WHERE w.abandoned_at IS NOT NULL) AS given_up,
    (array_agg(w.user_id ORDER BY w.requested_at) FILTER (WHERE w.last_error IS NOT NULL))[1:10] AS users_with_problems,
    max(w.last_error) AS last_error,
    r.metadata #>> '{output,wait_reason}' AS wait_reason,
    r.id AS job_id,
    r.state::text AS job_state,
    CASE WHEN r.state IN ('available', 'scheduled', 'retryable') THEN r.scheduled_at END AS next_try_at
FROM authsync.refresh_requests AS w
JOIN authsync.projects AS p ON p.id = w.project_id
LEFT JOIN authsync.job_requests AS j ON j.kind = 'refresh_users' AND j.subject = w.project_id::text || '/' || w.provider
LEFT JOIN authsync.river_job AS r ON r.id = j.job_id
GROUP BY p.id, w.provider, r.id;

COMMENT ON VIEW authsync.pending_refreshes
    IS 'Users to be read from their provider because a log entry was about them; empty when all is well.';
COMMENT ON COLUMN authsync.pending_refreshes.oldest IS 'Since when the first of them waits.';
COMMENT ON COLUMN authsync.pending_refreshes.given_up
    IS 'Users that could not be read or written again and again; authsync refresh PROJECT USER tries once more.';
COMMENT ON COLUMN authsync.pending_refreshes.users_with_problems IS 'The first ten that could not be read or written.';
COMMENT ON COLUMN authsync.pending_refreshes.last_error IS 'What is wrong with one of them.';
COMMENT ON COLUMN authsync.pending_refreshes.wait_reason IS 'Why all of them wait.';
