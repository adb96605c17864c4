-- prune_job_requests forgets subjects that have had no work for a day. One that has work again
-- gets a row again.
--
-- Repeatable: yes.
-- Order:      a row that somebody locks is left for the next time.
-- Result:     how many it forgot.
CREATE OR REPLACE FUNCTION authsync.prune_job_requests(
    p_now timestamptz
)
RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $fn$
    WITH idle AS MATERIALIZED (
        SELECT r.kind, r.subject
        FROM authsync.job_requests AS r
        WHERE r.job_id IS NULL AND r.idle_since < p_now - interval '1 day'
        ORDER BY r.kind, r.subject
        FOR UPDATE SKIP LOCKED
    ), pruned AS (
        DELETE FROM authsync.job_requests AS r
        USING idle AS i
        WHERE r.kind = i.kind AND r.subject = i.subject
        RETURNING r.kind
    )
    SELECT count(*) FROM pruned AS p;
$fn$;

COMMENT ON FUNCTION authsync.prune_job_requests(timestamptz)
    IS 'Forgets subjects of jobs that have had no work for a day.';
