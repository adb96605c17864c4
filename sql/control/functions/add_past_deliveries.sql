-- add_past_deliveries makes deliveries of changes that a destination has passed
-- already: before its beginning, or when it did not want them.
--
-- Repeatable: a change that has a delivery is left out.
-- Order:      see make_deliveries.
-- Result:     how many it made; NULL: the destination is gone.
CREATE OR REPLACE FUNCTION authsync.add_past_deliveries(
    p_destination_id uuid,
    p_changes        jsonb,
    p_now            timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN authsync.make_deliveries(p_destination_id, p_changes, p_now);
END;
$fn$;

COMMENT ON FUNCTION authsync.add_past_deliveries(uuid, jsonb, timestamptz)
    IS 'Makes deliveries of changes that a destination has passed already.';
