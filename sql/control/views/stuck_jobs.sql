-- stuck_jobs shows jobs that should have moved on: running for more than a minute, or ready for
-- more than a minute without being taken.
--
-- An empty answer is the good one. If jobs stay, no worker is running: those of one that died
-- are rescued within seconds, and one that was cancelled or deleted gets a successor.
CREATE OR REPLACE VIEW authsync.stuck_jobs AS
SELECT
    r.id AS job_id,
    r.kind,
    r.state,
    (r.args ->> 'project_id')::uuid AS project_id,
    CASE r.state
        WHEN 'running' THEN 'running for more than a minute'
        ELSE 'ready for more than a minute: is a worker running?'
    END AS problem,
    clock_timestamp() - CASE r.state
        WHEN 'running' THEN r.attempted_at
        ELSE r.scheduled_at
    END AS age,
    r.attempt,
    r.attempted_by[cardinality(r.attempted_by)] AS worker,
    r.errors[cardinality(r.errors)] ->> 'error' AS last_error,
    r.args
FROM authsync.river_job AS r
WHERE (r.state = 'running' AND r.attempted_at < clock_timestamp() - interval '1 minute')
   OR (r.state = 'available' AND r.scheduled_at < clock_timestamp() - interval '1 minute');

COMMENT ON VIEW authsync.stuck_jobs IS 'Jobs that should have moved on by now; empty when all is well.';
COMMENT ON COLUMN authsync.stuck_jobs.age IS 'For how long it has been in this state.';
COMMENT ON COLUMN authsync.stuck_jobs.worker IS 'Who took it last.';
