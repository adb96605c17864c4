-- promote_deliveries lets the next delivery of each user go, where none is ready or
-- retrying. The caller holds the row of destination_progress.
--
-- Repeatable: yes.
-- Order:      the delivery of the earliest change comes first.
-- Result:     how many became ready.
CREATE OR REPLACE FUNCTION authsync.promote_deliveries(
    p_destination_id uuid,
    p_user_ids       text[]
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_sort = off
SET enable_incremental_sort = off
AS $fn$
DECLARE
    v_ids      bigint[];
    v_promoted bigint;
BEGIN
    -- Each look is a range of one index, in its order. No other index has that order, and nothing is sorted, so no
    -- statistics, however wrong, lead the planner to another one. The limit keeps it one look for each user: as an
    -- anti-join it was a walk over all that waits for the destination, at each promotion.
    v_ids := ARRAY(
        SELECT n.id
        FROM unnest(p_user_ids) AS u (user_id)
        CROSS JOIN LATERAL (
            SELECT w.id
            FROM authsync.deliveries AS w
            WHERE w.state = 'blocked'
              AND w.destination_id = p_destination_id AND w.user_id >= u.user_id AND w.user_id <= u.user_id
            ORDER BY w.user_id, w.change_id
            LIMIT 1
        ) AS n
        LEFT JOIN LATERAL (
            SELECT true AS found
            FROM authsync.deliveries AS w
            WHERE w.state IN ('ready', 'retrying')
              AND w.destination_id = p_destination_id AND w.user_id >= u.user_id AND w.user_id <= u.user_id
            ORDER BY w.user_id
            LIMIT 1
        ) AS under_way ON true
        WHERE under_way.found IS NULL
    );
    UPDATE authsync.deliveries AS d
    SET state = 'ready'
    WHERE d.id = ANY (v_ids);
    GET DIAGNOSTICS v_promoted = ROW_COUNT;
    RETURN v_promoted;
END;
$fn$;

COMMENT ON FUNCTION authsync.promote_deliveries(uuid, text[])
    IS 'Lets the next delivery of each user go, where none is under way.';
