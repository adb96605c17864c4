-- bring_forward_jobs has jobs run soon that are put off for longer than any of them may be: a clock that was ahead dated them.
-- Jobs that are requested for a subject are brought forward by rescue_requests, much sooner.
--
-- p_longest is the longest pause that a worker asks for. A job that River retries by its own rule waits for the fourth power of its
-- attempts, in seconds, and a tenth more.
--
-- Time is the database's unless a test sets p_now.
--
-- Repeatable: yes; if all is well it changes nothing.
-- Order:      of no matter.
-- Result:     the number of jobs brought forward; at most 1,000 of each queue, state and priority at a time.
CREATE OR REPLACE FUNCTION authsync.bring_forward_jobs(
    p_longest interval,
    p_now     timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
    v_now     timestamptz := coalesce(p_now, clock_timestamp());
    v_forward bigint;
BEGIN
    UPDATE authsync.river_job AS j
    SET scheduled_at = v_now + interval '10 minutes'
    WHERE j.id = ANY (ARRAY(
            SELECT far.id
            FROM authsync.river_queue AS q
            CROSS JOIN unnest('{scheduled,retryable}'::authsync.river_job_state[]) AS s (state)
            CROSS JOIN generate_series(1, 4) AS p (priority)
            CROSS JOIN LATERAL (
                SELECT r.id
                FROM authsync.river_job AS r
                WHERE r.state = s.state AND r.queue = q.name AND r.priority = p.priority
                  AND r.scheduled_at > v_now + p_longest
                  AND r.scheduled_at > v_now + r.attempt ^ 4 * interval '1.1 seconds'
                ORDER BY r.scheduled_at DESC
                LIMIT 1000
            ) AS far
        ))
      AND j.state::text IN ('scheduled', 'retryable'); -- no index has it as text: a plan by it would read all that wait
    GET DIAGNOSTICS v_forward = ROW_COUNT;
    RETURN v_forward;
END;
$fn$;

COMMENT ON FUNCTION authsync.bring_forward_jobs(interval, timestamptz)
    IS 'Has jobs run soon that a wrong clock has put off.';
