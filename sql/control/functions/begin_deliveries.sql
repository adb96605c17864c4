-- begin_deliveries records, before they are sent, that deliveries may have arrived. A message with
-- a state sends only what differs from the state before. If the sender dies and the record changes
-- back, nothing differs, and the destination would keep the state in between; with this mark
-- everything is sent.
--
-- Repeatable: yes; it is never reset.
-- Order:      none.
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
    -- Like all writers of several deliveries, to avoid deadlocks.
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    UPDATE authsync.deliveries AS d
    SET begun = true
    -- Written so that only the index on id can be used.
    WHERE d.id = ANY (p_ids) AND d.destination_id IS NOT DISTINCT FROM p_destination_id AND NOT d.begun;
END;
$fn$;

COMMENT ON FUNCTION authsync.begin_deliveries(uuid, bigint[])
    IS 'Records, before they are sent, that deliveries may have arrived.';
