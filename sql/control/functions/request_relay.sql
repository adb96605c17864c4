-- request_relay asks for the jobs that take a project's changes on, which have been committed to
-- its mirror: the one that relays them, if there are destinations, and those of the clones that follow
-- the project. See request_job.
--
-- Repeatable: yes, see request_job.
-- Order:      after the commit of the changes.
-- Result:     true if it made the job that relays.
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
    PERFORM authsync.request_job('copy_mirror', c.project_id::text, jsonb_build_object('project_id', c.project_id))
    FROM (
        SELECT o.project_id FROM authsync.clones AS o
        WHERE o.source_project_id = p_project_id AND o.phase = 'following'
        ORDER BY o.project_id
    ) AS c;
    IF NOT EXISTS (SELECT FROM authsync.destinations AS d WHERE d.project_id = p_project_id) THEN
        RETURN false;
    END IF;
    RETURN authsync.request_job('relay_changes', p_project_id::text, jsonb_build_object('project_id', p_project_id));
END;
$fn$;

COMMENT ON FUNCTION authsync.request_relay(uuid)
    IS 'Asks for the jobs that relay a project''s changes, and that copy them to its clones.';
