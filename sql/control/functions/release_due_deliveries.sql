-- release_due_deliveries has deletions sent whose holdback is over. The relay calls it once it has read
-- every change that was committed before p_now: so a record that was restored in time is known to be.
--
-- Repeatable: call it until it releases fewer than p_limit.
-- Order:      the earliest deletion first.
-- Result:     the number of deliveries released; NULL: the destination is deleted.
--
-- The holdback is that of now: of a destination that has none any more, everything is due.
CREATE OR REPLACE FUNCTION authsync.release_due_deliveries(
    p_destination_id uuid,
    p_now            timestamptz,
    p_limit          integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
DECLARE
    v_due timestamptz;
BEGIN
    SELECT p_now - coalesce(d.holdback, interval '0') INTO v_due
    FROM authsync.destinations AS d
    WHERE d.id = p_destination_id;

    RETURN authsync.release_deliveries(p_destination_id, ARRAY(
        SELECT o.id
        FROM authsync.deliveries AS o
        WHERE o.destination_id = p_destination_id AND o.state = 'held' AND o.held_from IS NOT NULL AND o.held_from <= v_due
        ORDER BY o.destination_id, o.state, o.held_from
        LIMIT p_limit
    ), p_now);
END;
$fn$;

COMMENT ON FUNCTION authsync.release_due_deliveries(uuid, timestamptz, integer)
    IS 'Has deletions sent whose holdback is over.';
