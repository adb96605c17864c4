-- rescue_requests makes jobs for subjects that have work but whose job was cancelled or deleted. It
-- also brings forward jobs snoozed for longer than ten minutes, so that a date set by a wrong clock does
-- not last. A job that must wait longer checks, and snoozes again.
--
-- Requesters lock a subject's row in a mode compatible with this one; a transaction about to end
-- or make the job does not, and its subject is skipped.
--
-- Time is the database's unless a test sets p_now.
--
-- Repeatable: yes; without damage it changes nothing.
-- Order:      concurrent calls are safe: only one of them makes the job of a subject.
-- Result:     the number of jobs made.
CREATE OR REPLACE FUNCTION authsync.rescue_requests(
    p_now timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
    v_now     timestamptz := coalesce(p_now, clock_timestamp());
    v_request authsync.job_requests;
    v_made    bigint := 0::bigint;
BEGIN
    FOR v_request IN
        SELECT r.*
        FROM authsync.job_requests AS r
        WHERE r.job_id IS NOT NULL
          -- One look-up for each. NOT EXISTS may be answered by reading all jobs.
          AND (SELECT j.finalized_at IS NULL FROM authsync.river_job AS j WHERE j.id = r.job_id LIMIT 1) IS NOT TRUE
        ORDER BY r.kind, r.subject
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        -- The row is as it is now, but the job was looked for as of the beginning: another call may have made one since.
        CONTINUE WHEN EXISTS (
            SELECT FROM authsync.river_job AS j WHERE j.id = v_request.job_id AND j.finalized_at IS NULL
        );
        UPDATE authsync.job_requests AS r
        SET job_id = authsync.start_job(v_request.kind, v_request.args, true)
        WHERE r.kind = v_request.kind AND r.subject = v_request.subject;
        v_made := v_made + 1::bigint;
    END LOOP;

    UPDATE authsync.river_job AS j
    SET scheduled_at = v_now + interval '10 minutes'
    WHERE j.id = ANY (ARRAY(
            SELECT r.job_id
            FROM authsync.job_requests AS r
            WHERE r.job_id IS NOT NULL
              AND (
                  SELECT s.scheduled_at > v_now + interval '11 minutes' -- the minute keeps this from being done each second
                  FROM authsync.river_job AS s
                  WHERE s.id = r.job_id
                  LIMIT 1
              )
        ))
      AND j.state::text IN ('scheduled', 'retryable'); -- no index has it as text: a plan by it would read all that wait

    RETURN v_made;
END;
$fn$;

COMMENT ON FUNCTION authsync.rescue_requests(timestamptz)
    IS 'Makes jobs for subjects that have work but no job, and brings forward long snoozes.';
