-- promote_deliveries makes the next delivery of each order key ready, unless one is ready or
-- retrying. The caller holds the lock on the row of destination_progress.
--
-- Repeatable: yes.
-- Order:      the delivery of the earliest change comes first.
-- Result:     the number that became ready.
CREATE OR REPLACE FUNCTION authsync.promote_deliveries(
    p_destination_id uuid,
    p_order_keys     text[]
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
    v_promoted bigint;
BEGIN
    UPDATE authsync.deliveries AS d
    SET state = 'ready'
    FROM unnest(p_order_keys) AS u (order_key)
    CROSS JOIN LATERAL (
        SELECT w.id
        FROM authsync.deliveries AS w
        WHERE w.destination_id = p_destination_id AND w.order_key = u.order_key AND w.state = 'blocked'
        ORDER BY w.change_id
        LIMIT 1
    ) AS n
    -- The limit keeps it one lookup per key. As an anti-join it was a scan of
    -- all pending deliveries of the destination, at each promotion.
    LEFT JOIN LATERAL (
        SELECT true AS found
        FROM authsync.deliveries AS w
        WHERE w.destination_id = p_destination_id AND w.order_key = u.order_key AND w.state IN ('ready', 'retrying')
        LIMIT 1
    ) AS under_way ON true
    WHERE d.id = n.id AND under_way.found IS NULL;
    GET DIAGNOSTICS v_promoted = ROW_COUNT;
    RETURN v_promoted;
END;
$fn$;

COMMENT ON FUNCTION authsync.promote_deliveries(uuid, text[])
    IS 'Makes the next delivery of each order key ready, unless one is already.';
