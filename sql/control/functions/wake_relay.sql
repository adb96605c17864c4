-- wake_relay asks for the relay of a project whose changes have been committed to its
-- mirror. A project without destinations has none.
--
-- Repeatable: yes, see wake.
-- Order:      after the commit of the changes. That is why a job that waits to begin is
--             enough: it will see them, and nobody needs to wait for the row of the wake.
-- Result:     true if it made a job.
CREATE OR REPLACE FUNCTION authsync.wake_relay(
    p_project_id uuid
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    IF NOT EXISTS (SELECT FROM authsync.destinations AS d WHERE d.project_id = p_project_id) THEN
        RETURN false;
    END IF;
    IF EXISTS (
        SELECT
        FROM authsync.wakes AS w
        JOIN authsync.river_job AS j ON j.id = w.job_id
        WHERE w.kind = 'relay_changes' AND w.subject = p_project_id
          AND j.state IN ('available', 'scheduled', 'retryable')
    ) THEN
        RETURN false;
    END IF;
    RETURN authsync.wake('relay_changes', p_project_id);
END;
$fn$;

COMMENT ON FUNCTION authsync.wake_relay(uuid)
    IS 'Asks for the relay of a project''s changes, if it has a destination.';
