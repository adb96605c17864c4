-- prune_deliveries deletes deliveries finished before a time. Failed ones stay, as failed events
-- do, until a user retries or cancels them.
--
-- Repeatable: call it until it deletes fewer than p_limit.
-- Order:      the oldest first.
-- Result:     the number deleted.
CREATE OR REPLACE FUNCTION authsync.prune_deliveries(
    p_before timestamptz,
    p_limit  integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_dropped bigint;
BEGIN
    DELETE FROM authsync.deliveries AS d
    WHERE d.id = ANY (ARRAY(
        SELECT o.id
        FROM authsync.deliveries AS o
        WHERE o.state IN ('delivered', 'coalesced', 'cancelled') AND o.finished_at < p_before
        ORDER BY o.finished_at
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_dropped = ROW_COUNT;
    RETURN v_dropped;
END;
$fn$;

COMMENT ON FUNCTION authsync.prune_deliveries(timestamptz, integer)
    IS 'Deletes deliveries finished before a time; failed ones stay.';
