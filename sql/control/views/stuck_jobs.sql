-- stuck_jobs shows jobs that should have moved on: running for more than a
-- minute, ready for more than a minute without being taken, or cancelled or given up although
-- a delivery of theirs has neither an outcome nor another job.
--
-- An empty answer is the good one. A worker that died shows here until its jobs are
-- rescued, in about a minute, and a job that was cancelled until mend_inbox makes another,
-- in some minutes; if they stay, no worker is running. It reads what is about these jobs, and
-- the jobs that are not finished only if there is a delivery without outcome.
CREATE OR REPLACE VIEW authsync.stuck_jobs AS
SELECT
    r.id AS job_id,
    r.kind,
    r.state,
    (r.args ->> 'project_id')::uuid AS project_id,
    CASE r.state
        WHEN 'running' THEN 'running for more than a minute'
        WHEN 'available' THEN 'ready for more than a minute: is a worker running?'
        ELSE 'ended before its deliveries had an outcome: another job should come in some minutes; is a worker running?'
    END AS problem,
    clock_timestamp() - CASE r.state
        WHEN 'running' THEN r.attempted_at
        WHEN 'available' THEN r.scheduled_at
        ELSE r.finalized_at
    END AS age,
    r.attempt,
    r.attempted_by[cardinality(r.attempted_by)] AS worker,
    r.errors[cardinality(r.errors)] ->> 'error' AS last_error,
    r.args
FROM authsync.river_job AS r
WHERE (r.state = 'running' AND r.attempted_at < clock_timestamp() - interval '1 minute')
   OR (r.state = 'available' AND r.scheduled_at < clock_timestamp() - interval '1 minute')
   OR (r.state IN ('discarded', 'cancelled') AND r.kind = 'apply_deliveries' AND EXISTS (
        SELECT
        FROM unnest((r.args ->> 'inbox_ids')::int8multirange) AS u (ids)
        CROSS JOIN LATERAL generate_series(lower(u.ids), upper(u.ids) - 1) AS d (id)
        CROSS JOIN LATERAL (
            SELECT i.received_at
            FROM authsync.inbox AS i
            WHERE i.id = d.id
              AND i.received_at BETWEEN (r.args ->> 'received_from')::timestamptz AND (r.args ->> 'received_to')::timestamptz
            LIMIT 1
        ) AS i
        LEFT JOIN LATERAL (
            SELECT true AS found
            FROM authsync.event_outcomes AS e
            WHERE e.inbox_id = d.id AND e.received_at = i.received_at
            LIMIT 1
        ) AS outcome ON true
        WHERE outcome.found IS NULL
          AND NOT coalesce(d.id <@ (
            SELECT range_agg(a.ids)
            FROM authsync.river_job AS l
            CROSS JOIN LATERAL unnest((l.args ->> 'inbox_ids')::int8multirange) AS a (ids)
            WHERE l.kind = 'apply_deliveries' AND l.state IN ('available', 'pending', 'retryable', 'running', 'scheduled')
          ), false)
      ));

COMMENT ON VIEW authsync.stuck_jobs IS 'Jobs that should have moved on by now; empty when all is well.';
COMMENT ON COLUMN authsync.stuck_jobs.age IS 'For how long it has been in this state.';
COMMENT ON COLUMN authsync.stuck_jobs.worker IS 'Who took it last.';
