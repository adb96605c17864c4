-- rescue_requests makes jobs for subjects that have work but whose job is gone: somebody
-- cancelled or deleted it. And it brings forward those put off for longer than ten minutes, so that what a clock
-- dated that was ahead for a moment does not stand until then. One that has to wait for longer looks, and waits again.
--
-- Repeatable: yes; when all is well it changes nothing.
-- Order:      a row that somebody locks is left for the next time.
-- Result:     how many jobs it made.
CREATE OR REPLACE FUNCTION authsync.rescue_requests()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
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
        FOR UPDATE SKIP LOCKED
    LOOP
        UPDATE authsync.job_requests AS r
        SET job_id = authsync.start_job(v_request.kind, v_request.args, true)
        WHERE r.kind = v_request.kind AND r.subject = v_request.subject;
        v_made := v_made + 1::bigint;
    END LOOP;

    UPDATE authsync.river_job AS j
    SET scheduled_at = clock_timestamp() + interval '10 minutes'
    WHERE j.id = ANY (ARRAY(
            SELECT r.job_id
            FROM authsync.job_requests AS r
            WHERE r.job_id IS NOT NULL
              AND (
                  SELECT s.scheduled_at > clock_timestamp() + interval '11 minutes' -- the minute keeps this from being done each second
                  FROM authsync.river_job AS s
                  WHERE s.id = r.job_id
                  LIMIT 1
              )
        ))
      AND j.state IN ('scheduled', 'retryable');

    RETURN v_made;
END;
$fn$;

COMMENT ON FUNCTION authsync.rescue_requests()
    IS 'Makes jobs for subjects that have work but whose job is gone, and brings forward what waits for long.';
