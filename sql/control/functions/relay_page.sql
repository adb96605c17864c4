-- relay_page moves a destination on over a page of changes, and makes the deliveries of
-- those among them that it wants.
--
-- Repeatable: a page counts only if the destination stands where the page begins.
-- Order:      pages follow one another; the fence sees to it.
-- Result:     how many deliveries it made; NULL: the destination stands elsewhere or is gone, or what was withheld
--             is no longer as the caller found it; see make_deliveries. Nothing was done.
CREATE OR REPLACE FUNCTION authsync.relay_page(
    p_destination_id uuid,
    p_from           bigint,
    p_to             bigint,
    p_changes        jsonb,
    p_now            timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_made bigint;
BEGIN
    UPDATE authsync.destination_progress AS f
    SET cursor = p_to
    WHERE f.destination_id = p_destination_id AND f.cursor = p_from;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    v_made := authsync.make_deliveries(p_destination_id, p_changes, p_now);
    IF v_made IS NULL THEN
        UPDATE authsync.destination_progress AS f
        SET cursor = p_from
        WHERE f.destination_id = p_destination_id;
    END IF;
    RETURN v_made;
END;
$fn$;

COMMENT ON FUNCTION authsync.relay_page(uuid, bigint, bigint, jsonb, timestamptz)
    IS 'Moves a destination on over a page of changes and makes its deliveries.';
