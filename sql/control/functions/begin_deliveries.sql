-- begin_deliveries notes, before they are sent, that deliveries may have arrived. Whoever sends
-- a state says only what differs from the state before. When the sender dies and the user changes
-- back, nothing differs, and the other side would keep what it was told in between; with
-- this note all is said.
--
-- Repeatable: yes; it is never taken back.
-- Order:      of no matter.
-- Result:     none.
CREATE OR REPLACE FUNCTION authsync.begin_deliveries(
    p_destination_id uuid,
    p_ids            bigint[]
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
BEGIN
    -- As all who write several deliveries do, so that none waits for the other in a circle.
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    UPDATE authsync.deliveries AS d
    SET begun = true
    -- Written so that no index is taken but that of the ids.
    WHERE d.id = ANY (p_ids) AND d.destination_id IS NOT DISTINCT FROM p_destination_id AND NOT d.begun;
END;
$fn$;

COMMENT ON FUNCTION authsync.begin_deliveries(uuid, bigint[])
    IS 'Notes, before they are sent, that deliveries may have arrived.';
