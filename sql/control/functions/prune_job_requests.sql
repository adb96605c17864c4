-- prune_job_requests deletes subjects that have had no work for a day. New work adds the row again.
--
-- Repeatable: yes.
-- Order:      locked rows are left for the next call.
-- Result:     the number deleted.
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
    IS 'Deletes subjects of jobs that have had no work for a day.';
