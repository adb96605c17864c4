-- remove_project removes a project with all that belongs to it here. Its own database stays
-- as it is.
--
-- Repeatable: yes.
-- Order:      it locks the rows of destination_progress first; see remove_destination.
-- Result:     true if there was such a project.
CREATE OR REPLACE FUNCTION authsync.remove_project(
    p_id uuid
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    PERFORM
    FROM authsync.destination_progress AS f
    JOIN authsync.destinations AS d ON d.id = f.destination_id
    WHERE d.project_id = p_id
    ORDER BY f.destination_id
    FOR UPDATE OF f;
    DELETE FROM authsync.projects AS p WHERE p.id = p_id;
    RETURN FOUND;
END;
$fn$;

COMMENT ON FUNCTION authsync.remove_project(uuid)
    IS 'Removes a project with all that belongs to it here; its own database stays.';
