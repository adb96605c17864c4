-- request_relay asks for the job that relays a project's changes, which have been committed to
-- its mirror. A project without destinations has none. See request_job.
--
-- Repeatable: yes, see request_job.
-- Order:      after the commit of the changes.
-- Result:     true if it made a job.
CREATE OR REPLACE FUNCTION authsync.request_relay(
    p_project_id uuid
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan -- once a batch: planning costs more than the rest
SET enable_seqscan = off
AS $fn$
BEGIN
    IF NOT EXISTS (SELECT FROM authsync.destinations AS d WHERE d.project_id = p_project_id) THEN
        RETURN false;
    END IF;
    RETURN authsync.request_job('relay_changes', p_project_id::text, jsonb_build_object('project_id', p_project_id));
END;
$fn$;

COMMENT ON FUNCTION authsync.request_relay(uuid)
    IS 'Asks for the relay of a project''s changes, if it has a destination.';
