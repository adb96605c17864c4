-- release_deliveries has held deliveries sent: their holdback is over, or somebody confirmed them. What is held of
-- a record is sent together, the deletion first.
--
-- Repeatable: what is not held is left unchanged.
-- Order:      they take their places in the order of their order keys, by their changes.
-- Result:     the number of deliveries released; NULL: the destination is deleted.
CREATE OR REPLACE FUNCTION authsync.release_deliveries(
    p_destination_id uuid,
    p_ids            bigint[],
    p_now            timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
    v_keys     text[];
    v_released bigint;
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    WITH subject AS MATERIALIZED (
        SELECT DISTINCT d.record_type, d.record_id
        FROM authsync.deliveries AS d
        -- Written so that only the index on id can be used.
        WHERE d.id = ANY (p_ids) AND d.destination_id IS NOT DISTINCT FROM p_destination_id AND d.state IS NOT DISTINCT FROM 'held'
    ),
    chosen AS MATERIALIZED (
        SELECT o.id
        FROM subject AS s
        CROSS JOIN LATERAL (
            SELECT w.id
            FROM authsync.deliveries AS w
            -- By all columns of deliveries_withheld_idx and in the words of its predicate, so that no plan can walk over
            -- what else is held.
            WHERE w.held_from IS NOT NULL AND (w.state || '') IN ('held', 'cancelled') AND w.state IS NOT DISTINCT FROM 'held'
              AND (w.record_id, w.record_type, w.destination_id, w.change_id) >= (s.record_id, s.record_type, p_destination_id, 0)
              AND (w.record_id, w.record_type, w.destination_id, w.change_id)
                  <= (s.record_id, s.record_type, p_destination_id, 9223372036854775807)
            OFFSET 0 -- as a join it would not be looked up
        ) AS o
    ),
    release AS (
        UPDATE authsync.deliveries AS d
        SET state = 'blocked', held_from = NULL, released_at = p_now
        FROM chosen AS c
        WHERE d.id = c.id
        RETURNING d.order_key
    )
    SELECT count(*), array_agg(DISTINCT r.order_key) INTO v_released, v_keys
    FROM release AS r;

    IF v_released > 0 THEN
        PERFORM authsync.promote_deliveries(p_destination_id, v_keys);
        PERFORM authsync.request_delivery(p_destination_id);
    END IF;
    RETURN v_released;
END;
$fn$;

COMMENT ON FUNCTION authsync.release_deliveries(uuid, bigint[], timestamptz)
    IS 'Has held deliveries sent, each with what else is held of its record.';
