-- remove_destination deletes a destination with all its deliveries.
--
-- Repeatable: yes.
-- Order:      like all writers of several deliveries, it locks the row of destination_progress first. A
--             plain DELETE would lock in the opposite order of a concurrent run, and one of them would fail.
-- Result:     true if there was such a destination.
CREATE OR REPLACE FUNCTION authsync.remove_destination(
    p_id uuid
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_id FOR UPDATE;
    DELETE FROM authsync.destinations AS d WHERE d.id = p_id;
    RETURN FOUND;
END;
$fn$;

COMMENT ON FUNCTION authsync.remove_destination(uuid)
    IS 'Deletes a destination with all its deliveries.';
