-- delivery_failures shows deliveries that failed, or have failed and are tried again,
-- with the job that does.
CREATE OR REPLACE VIEW authsync.delivery_failures AS
SELECT
    o.id AS delivery_id,
    o.project_id,
    p.name AS project,
    o.destination_id,
    d.name AS destination,
    o.change_id,
    o.record_type,
    o.record_id,
    o.user_id,
    o.event_type,
    o.state,
    o.attempts,
    o.last_attempt_at,
    o.last_status,
    o.reason,
    o.next_attempt_at,
    o.changed_at,
    j.id AS job_id,
    j.state AS job_state,
    (
        SELECT count(*)
        FROM authsync.deliveries AS h
        WHERE h.destination_id = o.destination_id AND h.order_key = o.order_key AND h.state = 'blocked'
    ) AS blocked_deliveries
FROM authsync.deliveries AS o
JOIN authsync.destinations AS d ON d.id = o.destination_id
JOIN authsync.projects AS p ON p.id = o.project_id
LEFT JOIN authsync.river_job AS j ON j.id = o.job_id
WHERE o.state IN ('retrying', 'failed');

COMMENT ON VIEW authsync.delivery_failures IS 'Deliveries that failed, for good (failed) or until now (retrying).';
COMMENT ON COLUMN authsync.delivery_failures.reason IS 'Why it failed the last time.';
COMMENT ON COLUMN authsync.delivery_failures.job_state IS 'The state of the job that tries it again; NULL: there is none.';
COMMENT ON COLUMN authsync.delivery_failures.blocked_deliveries IS 'How many later deliveries with the same order key wait for it.';
