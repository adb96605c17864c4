-- rescue_requests makes jobs for subjects that have work but whose job is gone: somebody
-- cancelled or deleted it. And it brings forward those put off for longer than ten minutes, so that what a clock
-- dated that was ahead for a moment does not stand until then. One that has to wait for longer looks, and waits again.
--
-- Requesters hold a subject's row by a lock that does not stand in the way of this one; whoever is about to end
-- or to make the job does, and is left alone.
--
-- Time is the database's unless p_now says otherwise, as a test does.
--
-- Repeatable: yes; when all is well it changes nothing.
-- Order:      several may run at the same time: only one of them makes the job of a subject.
-- Result:     how many jobs it made.
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
      AND j.state IN ('scheduled', 'retryable');

    RETURN v_made;
END;
$fn$;

COMMENT ON FUNCTION authsync.rescue_requests(timestamptz)
    IS 'Makes jobs for subjects that have work but whose job is gone, and brings forward what waits for long.';
