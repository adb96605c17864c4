-- destination_health shows for each destination whether its deliveries get through, and
-- if not, why. It reads unfinished and failed deliveries only, and counts up to 10,000 in each state, so that
-- it answers as fast on the day when a million wait.
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
    w.retrying,
    w.failed,
    w.held,
    w.held_from + coalesce(d.holdback, interval '0') AS held_until,
    f.last_success_at,
    f.failing_since,
    f.breaker_open_until,
    f.cursor,
    coalesce(j.wait_reason, rj.wait_reason) AS wait_reason
FROM authsync.destinations AS d
JOIN authsync.projects AS p ON p.id = d.project_id
LEFT JOIN authsync.destination_progress AS f ON f.destination_id = d.id
CROSS JOIN LATERAL (
    SELECT
        least(b.deliveries + u.deliveries, 10000) AS waiting,
        least(u.changed_at, r.changed_at) AS oldest_waiting_at,
        r.deliveries AS retrying,
        x.deliveries AS failed,
        h.deliveries AS held,
        h.held_from
    FROM (
        SELECT count(*) AS deliveries
        FROM (SELECT FROM authsync.deliveries AS o WHERE o.destination_id = d.id AND o.state = 'blocked' LIMIT 10000) AS o
    ) AS b
    CROSS JOIN (
        -- The earliest of those that can be sent: a blocked one comes after one of these or of those that are retried.
        SELECT count(*) AS deliveries, min(o.changed_at) AS changed_at
        FROM (
            SELECT coalesce(o.released_at, o.changed_at) AS changed_at
            FROM authsync.deliveries AS o
            WHERE o.destination_id = d.id AND o.state = 'ready'
            ORDER BY o.change_id
            LIMIT 10000
        ) AS o
    ) AS u
    CROSS JOIN (
        SELECT count(*) AS deliveries, min(o.changed_at) AS changed_at
        FROM (
            SELECT coalesce(o.released_at, o.changed_at) AS changed_at
            FROM authsync.deliveries AS o
            WHERE o.destination_id = d.id AND o.state = 'retrying'
            LIMIT 10000
        ) AS o
    ) AS r
    CROSS JOIN (
        SELECT count(*) AS deliveries
        FROM (SELECT FROM authsync.deliveries AS o WHERE o.destination_id = d.id AND o.state = 'failed' LIMIT 10000) AS o
    ) AS x
    CROSS JOIN (
        -- Held back on purpose: these neither wait nor are late.
        SELECT count(*) AS deliveries, min(o.held_from) AS held_from
        FROM (
            SELECT o.held_from
            FROM authsync.deliveries AS o
            WHERE o.destination_id = d.id AND o.state = 'held' AND o.held_from IS NOT NULL
            ORDER BY o.held_from
            LIMIT 10000
        ) AS o
    ) AS h
) AS w
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
COMMENT ON COLUMN authsync.destination_health.waiting IS 'Deliveries that wait for their turn; 10000 stands for as many or more, as in the other counts.';
COMMENT ON COLUMN authsync.destination_health.oldest_waiting_at IS 'When the oldest change that is not delivered was made, or was released if it was held; NULL: all are.';
COMMENT ON COLUMN authsync.destination_health.retrying IS 'Deliveries that failed and are tried again by jobs of their own.';
COMMENT ON COLUMN authsync.destination_health.failed IS 'Deliveries that were given up; see authsync.delivery_failures.';
COMMENT ON COLUMN authsync.destination_health.held IS 'Deletions that are held back, and later changes of their records.';
COMMENT ON COLUMN authsync.destination_health.held_until IS 'When the first of these is sent; NULL: none is held.';
COMMENT ON COLUMN authsync.destination_health.breaker_open_until IS 'The circuit breaker is open: it is tried again then; NULL: it is closed.';
COMMENT ON COLUMN authsync.destination_health.wait_reason IS 'Why nothing is sent now, while its job or its project''s is deferred.';
