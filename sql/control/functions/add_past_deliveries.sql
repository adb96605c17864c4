-- add_past_deliveries makes deliveries of changes that a destination has passed
-- already: before its beginning, or when it did not want them.
--
-- Repeatable: a change that has a delivery is left out.
-- Order:      see make_deliveries.
-- Result:     how many it made; NULL: the destination is gone, or has passed changes behind p_newest, or what was
--             withheld is no longer as the caller found it, see make_deliveries. Nothing was done.
--
-- p_newest is the change up to which the caller knows the records, if that matters: of the deletions that are to be held,
-- that none was undone; NULL: it does not.
CREATE OR REPLACE FUNCTION authsync.add_past_deliveries(
    p_destination_id uuid,
    p_changes        jsonb,
    p_now            timestamptz,
    p_newest         bigint
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    IF NOT FOUND OR EXISTS (
        SELECT FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id AND f.cursor > p_newest
    ) THEN
        RETURN NULL;
    END IF;
    RETURN authsync.make_deliveries(p_destination_id, p_changes, p_now);
END;
$fn$;

COMMENT ON FUNCTION authsync.add_past_deliveries(uuid, jsonb, timestamptz, bigint)
    IS 'Makes deliveries of changes that a destination has passed already.';
