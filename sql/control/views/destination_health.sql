-- destination_health shows for each destination whether its deliveries get through, and
-- if not, why. It reads unfinished and failed deliveries only.
CREATE OR REPLACE VIEW authsync.destination_health AS
SELECT
    d.id AS destination_id,
    d.project_id,
    p.name AS project,
    d.name,
    d.type,
    d.state,
    d.state_by,
    d.state_reason,
    d.state_since,
    w.waiting,
    w.oldest_waiting_at,
    r.retrying,
    x.failed,
    f.last_success_at,
    f.failing_since,
    f.breaker_open_until,
    f.cursor,
    coalesce(j.wait_reason, rj.wait_reason) AS wait_reason
FROM authsync.destinations AS d
JOIN authsync.projects AS p ON p.id = d.project_id
LEFT JOIN authsync.destination_progress AS f ON f.destination_id = d.id
CROSS JOIN LATERAL (
    -- Written so that each state is read by its own index.
    SELECT
        count(*) FILTER (WHERE o.state <> 'retrying') AS waiting,
        min(o.changed_at) AS oldest_waiting_at
    FROM (
        SELECT h.state, h.changed_at FROM authsync.deliveries AS h WHERE h.destination_id = d.id AND h.state = 'blocked'
        UNION ALL
        SELECT u.state, u.changed_at FROM authsync.deliveries AS u WHERE u.destination_id = d.id AND u.state IN ('ready', 'retrying')
    ) AS o
) AS w
CROSS JOIN LATERAL (
    SELECT count(*) AS retrying
    FROM authsync.deliveries AS o
    WHERE o.destination_id = d.id AND o.state = 'retrying'
) AS r
CROSS JOIN LATERAL (
    SELECT count(*) AS failed
    FROM authsync.deliveries AS o
    WHERE o.destination_id = d.id AND o.state = 'failed'
) AS x
LEFT JOIN LATERAL (
    SELECT q.metadata #>> '{output,wait_reason}' AS wait_reason
    FROM authsync.job_requests AS k
    JOIN authsync.river_job AS q ON q.id = k.job_id AND q.state <> 'running'
    WHERE k.kind = 'deliver' AND k.subject = d.id::text
) AS j ON true
LEFT JOIN LATERAL (
    SELECT q.metadata #>> '{output,wait_reason}' AS wait_reason
    FROM authsync.job_requests AS k
    JOIN authsync.river_job AS q ON q.id = k.job_id AND q.state <> 'running'
    WHERE k.kind = 'relay_changes' AND k.subject = d.project_id::text
) AS rj ON true;

COMMENT ON VIEW authsync.destination_health IS 'For each destination whether its deliveries get through, and if not, why.';
COMMENT ON COLUMN authsync.destination_health.waiting IS 'Deliveries that wait for their turn.';
COMMENT ON COLUMN authsync.destination_health.oldest_waiting_at IS 'When the oldest change that is not delivered was made; NULL: all are.';
COMMENT ON COLUMN authsync.destination_health.retrying IS 'Deliveries that failed and are tried again by jobs of their own.';
COMMENT ON COLUMN authsync.destination_health.failed IS 'Deliveries that were given up; see authsync.delivery_failures.';
COMMENT ON COLUMN authsync.destination_health.breaker_open_until IS 'The circuit breaker is open: it is tried again then; NULL: it is closed.';
COMMENT ON COLUMN authsync.destination_health.wait_reason IS 'Why nothing is sent now, while its job or its project''s is put off.';
