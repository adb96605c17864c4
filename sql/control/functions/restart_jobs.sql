-- restart_jobs makes jobs for wakes whose job is gone: somebody cancelled or deleted it.
--
-- Repeatable: yes; when all is well it changes nothing.
-- Order:      of no matter. Rows are locked, so that a job that just ends is not doubled.
-- Result:     how many jobs it made.
CREATE OR REPLACE FUNCTION authsync.restart_jobs()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    DELETE FROM authsync.wakes AS w
    WHERE NOT EXISTS (SELECT FROM authsync.projects AS p WHERE p.id = w.subject)
      AND NOT EXISTS (SELECT FROM authsync.destinations AS d WHERE d.id = w.subject);

    RETURN (
        SELECT count(authsync.start_job(o.kind, o.subject))
        FROM (
            SELECT w.kind, w.subject
            FROM authsync.wakes AS w
            WHERE w.asked > w.done
              AND NOT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = w.job_id AND j.finalized_at IS NULL)
            ORDER BY w.kind, w.subject
            FOR UPDATE
        ) AS o
    );
END;
$fn$;

COMMENT ON FUNCTION authsync.restart_jobs()
    IS 'Makes jobs for wakes whose job is gone.';
