-- make_deliveries makes the deliveries of changes for a destination. The caller holds the lock on
-- its row of destination_progress, so nothing else makes or finishes deliveries of this destination.
--
-- Repeatable: changes that already have a delivery are skipped.
-- Order:      of the deliveries with an order key only the earliest unfinished one is ready or
--             retrying; the others are blocked until it is finished. A record whose user or
--             organization has become known gets another key; while a delivery with its old one is
--             unfinished, new ones have that too, so that changes of one record stay in order.
-- Result:     the number of deliveries made.
--
-- p_changes is an array of objects: change_id, record_type, record_id, user_id, order_key, event_type,
-- changed, changed_at, event_id and reason, which is why it cannot be delivered; its delivery is made as
-- failed. An object with a delivery_id makes no delivery: a repaired mirror has made the change of that delivery again, under
-- this id. It may have been sent before.
CREATE OR REPLACE FUNCTION authsync.make_deliveries(
    p_destination_id uuid,
    p_changes        jsonb,
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
    v_made bigint;
BEGIN
    UPDATE authsync.deliveries AS d
    SET change_id = r.change_id, first_change_id = NULL, begun = true
    FROM jsonb_to_recordset(p_changes) AS r (change_id bigint, delivery_id bigint)
    CROSS JOIN LATERAL (SELECT o.id FROM authsync.deliveries AS o WHERE o.id = r.delivery_id LIMIT 1) AS known
    WHERE d.id = known.id AND d.destination_id IS NOT DISTINCT FROM p_destination_id;

    INSERT INTO authsync.deliveries (
        project_id, destination_id, change_id, record_type, record_id, user_id, order_key, event_type, changed, changed_at, event_id,
        state, reason, created_at, finished_at
    )
    SELECT
        c.project_id, p_destination_id, c.change_id, c.record_type, c.record_id, c.user_id, c.order_key, c.event_type, c.changed,
        c.changed_at, c.event_id,
        CASE
            WHEN c.reason IS NOT NULL THEN 'failed'
            WHEN c.place = 1 AND under_way.found IS NULL AND blocked.found IS NULL THEN 'ready'
            ELSE 'blocked'
        END,
        c.reason,
        p_now,
        CASE WHEN c.reason IS NOT NULL THEN p_now END
    FROM (
        SELECT k.*, row_number() OVER (PARTITION BY k.order_key, k.reason IS NULL ORDER BY k.change_id) AS place
        FROM (
            SELECT
                d.project_id, r.change_id, r.record_type, r.record_id, r.user_id, r.event_type, r.changed, r.changed_at, r.event_id,
                r.reason,
                coalesce(
                    unfinished.order_key,
                    first_value(r.order_key) OVER (PARTITION BY r.record_type, r.record_id ORDER BY r.change_id)
                ) AS order_key
            FROM jsonb_to_recordset(p_changes) AS r (
                change_id bigint, record_type text, record_id text, user_id text, order_key text, event_type text, changed text[],
                changed_at timestamptz, event_id text, reason text, delivery_id bigint
            )
            JOIN authsync.destinations AS d ON d.id = p_destination_id
            -- The limits keep these one index lookup per change, however many wait; see promote_deliveries.
            LEFT JOIN LATERAL (
                SELECT true AS found
                FROM authsync.deliveries AS o
                WHERE o.destination_id = p_destination_id AND o.change_id = r.change_id
                LIMIT 1
            ) AS made ON true
            LEFT JOIN LATERAL (
                SELECT u.order_key
                FROM authsync.deliveries AS u
                -- By all columns of the index, so that no plan can walk over what else waits.
                WHERE (u.record_id, u.record_type, u.destination_id, u.change_id) >= (r.record_id, r.record_type, p_destination_id, 0)
                  AND (u.record_id, u.record_type, u.destination_id, u.change_id)
                      <= (r.record_id, r.record_type, p_destination_id, 9223372036854775807)
                  AND u.state IN ('blocked', 'ready', 'retrying')
                LIMIT 1
            ) AS unfinished ON true
            WHERE made.found IS NULL AND r.delivery_id IS NULL
        ) AS k
    ) AS c
    LEFT JOIN LATERAL (
        SELECT true AS found
        FROM authsync.deliveries AS u
        WHERE u.destination_id = p_destination_id AND u.order_key = c.order_key AND u.state IN ('ready', 'retrying')
        LIMIT 1
    ) AS under_way ON true
    LEFT JOIN LATERAL (
        SELECT true AS found
        FROM authsync.deliveries AS u
        WHERE u.destination_id = p_destination_id AND u.order_key = c.order_key AND u.state = 'blocked'
        LIMIT 1
    ) AS blocked ON true
    ORDER BY c.change_id;

    GET DIAGNOSTICS v_made = ROW_COUNT;
    IF v_made > 0 THEN
        PERFORM authsync.request_delivery(p_destination_id);
    END IF;
    RETURN v_made;
END;
$fn$;

COMMENT ON FUNCTION authsync.make_deliveries(uuid, jsonb, timestamptz)
    IS 'Makes the deliveries of changes for a destination, in order for each order key.';
