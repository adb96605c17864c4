-- open_problems shows the problems that are open, the oldest first, with whether the operator's
-- webhooks took the call.
CREATE OR REPLACE VIEW authsync.open_problems AS
SELECT
    p.id,
    p.kind,
    p.project_id,
    j.name AS project,
    p.subject,
    p.severity,
    p.detail,
    p.next_step,
    p.opened_at,
    p.last_seen_at,
    c.notified_at,
    c.waiting_calls,
    c.failed_calls
FROM authsync.problems AS p
LEFT JOIN authsync.projects AS j ON j.id = p.project_id
CROSS JOIN LATERAL (
    SELECT
        min(k.delivered_at) AS notified_at,
        count(*) FILTER (WHERE k.delivered_at IS NULL AND k.failed_at IS NULL) AS waiting_calls,
        count(*) FILTER (WHERE k.failed_at IS NOT NULL) AS failed_calls
    FROM authsync.problem_calls AS k
    WHERE k.problem_id = p.id AND k.event = 'opened'
) AS c
WHERE p.closed_at IS NULL
ORDER BY p.opened_at, p.id;

COMMENT ON VIEW authsync.open_problems IS 'The problems that are open, the oldest first.';
COMMENT ON COLUMN authsync.open_problems.notified_at IS 'When the first of the operator''s webhooks accepted the call; NULL: none has, or there is none.';
COMMENT ON COLUMN authsync.open_problems.waiting_calls IS 'Calls to the operator''s webhooks that are still to be accepted.';
COMMENT ON COLUMN authsync.open_problems.failed_calls IS 'Calls that were given up.';
