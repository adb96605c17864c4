-- make_deliveries makes the deliveries of changes for a destination. The caller holds the lock on
-- its row of destination_progress, so nothing else makes or finishes deliveries of this destination.
--
-- Repeatable: changes that already have a delivery are skipped.
-- Order:      of the deliveries with an order key only the earliest unfinished one is ready or
--             retrying; the others are blocked until it is finished. A record whose user or
--             organization has become known gets another key; while a delivery with its old one is
--             unfinished, new ones have that too, so that changes of one record stay in order.
-- Result:     the number of deliveries made; NULL: what was withheld of a record is no longer as the
--             caller found it, and nothing was done.
--
-- p_changes is an array of objects: change_id, record_type, record_id, user_id, order_key, event_type,
-- changed, changed_at, event_id and reason, which is why it cannot be delivered; its delivery is made as
-- failed. An object with a delivery_id makes no delivery: a repaired mirror has made the change of that delivery again, under
-- this id. It may have been sent before, unless it is held back, or was cancelled while it was.
--
-- A deletion that is held back has held_from. Deletions of a record that the destination has not heard of, because they are
-- held or were cancelled while they were, are withheld until the record is restored. What follows names the first of
-- them in withheld, its change_id: a later change of the deleted record shares its fate, by the same held_from; one
-- that restores the record is_undo, and the withheld are coalesced into its delivery, which says what differs from the row before
-- them. With is_cancelled its delivery is made as cancelled, for that reason.
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
    -- Somebody may have confirmed, cancelled or replayed a deletion since the caller looked.
    IF p_changes @? '$[*].withheld' OR EXISTS (
        SELECT
        FROM authsync.deliveries AS w
        WHERE w.destination_id = p_destination_id AND w.held_from IS NOT NULL AND w.state IN ('held', 'cancelled')
    ) THEN
        IF EXISTS (
            WITH item AS MATERIALIZED (
                SELECT r.*, row_number() OVER (PARTITION BY r.record_type, r.record_id ORDER BY r.change_id) AS place
                FROM jsonb_to_recordset(p_changes) AS r (
                    change_id bigint, record_type text, record_id text, event_type text, delivery_id bigint, withheld bigint
                )
                WHERE r.delivery_id IS NULL
            )
            SELECT
            FROM item AS r
            LEFT JOIN LATERAL (
                SELECT w.change_id
                FROM authsync.deliveries AS w
                -- By all columns of the index, so that no plan can walk over what else is held.
                WHERE w.held_from IS NOT NULL AND (w.state || '') IN ('held', 'cancelled')
                  AND (w.record_id, w.record_type, w.destination_id, w.change_id) >= (r.record_id, r.record_type, p_destination_id, 0)
                  AND (w.record_id, w.record_type, w.destination_id, w.change_id)
                      < (r.record_id, r.record_type, p_destination_id, r.change_id)
                ORDER BY w.record_id, w.record_type, w.destination_id, w.change_id
                LIMIT 1
            ) AS known ON true
            WHERE r.event_type <> 'user.erased' AND known.change_id IS DISTINCT FROM r.withheld
              AND CASE
                  WHEN r.withheld IS NULL THEN r.place = 1 -- behind others, it may be restored by one of them
                  ELSE NOT EXISTS (SELECT FROM item AS i WHERE i.change_id = r.withheld)
              END
        ) THEN
            RETURN NULL;
        END IF;
    END IF;

    UPDATE authsync.deliveries AS d
    SET change_id = r.change_id, first_change_id = NULL, begun = d.begun OR d.held_from IS NULL
    FROM jsonb_to_recordset(p_changes) AS r (change_id bigint, delivery_id bigint)
    CROSS JOIN LATERAL (SELECT o.id FROM authsync.deliveries AS o WHERE o.id = r.delivery_id LIMIT 1) AS known
    WHERE d.id = known.id AND d.destination_id IS NOT DISTINCT FROM p_destination_id;

    INSERT INTO authsync.deliveries (
        project_id, destination_id, change_id, record_type, record_id, user_id, order_key, event_type, changed, changed_at, event_id,
        state, held_from, reason, created_at, finished_at
    )
    SELECT
        c.project_id, p_destination_id, c.change_id, c.record_type, c.record_id, c.user_id, c.order_key, c.event_type, c.changed,
        c.changed_at, c.event_id,
        CASE
            WHEN c.is_cancelled THEN 'cancelled'
            WHEN c.reason IS NOT NULL THEN 'failed'
            WHEN c.held_from IS NOT NULL THEN 'held'
            WHEN c.place = 1 AND under_way.found IS NULL AND blocked.found IS NULL THEN 'ready'
            ELSE 'blocked'
        END,
        c.held_from,
        c.reason,
        p_now,
        CASE WHEN c.reason IS NOT NULL THEN p_now END
    FROM (
        SELECT
            k.*,
            row_number() OVER (PARTITION BY k.order_key, k.reason IS NULL AND k.held_from IS NULL ORDER BY k.change_id) AS place
        FROM (
            SELECT
                d.project_id, r.change_id, r.record_type, r.record_id, r.user_id, r.event_type, r.changed, r.changed_at, r.event_id,
                r.reason, r.held_from, coalesce(r.is_cancelled, false) AS is_cancelled,
                coalesce(
                    unfinished.order_key,
                    first_value(r.order_key) OVER (PARTITION BY r.record_type, r.record_id ORDER BY r.change_id)
                ) AS order_key
            FROM jsonb_to_recordset(p_changes) AS r (
                change_id bigint, record_type text, record_id text, user_id text, order_key text, event_type text, changed text[],
                changed_at timestamptz, event_id text, reason text, delivery_id bigint, held_from timestamptz, is_cancelled boolean
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
                  AND u.finished_at IS NULL
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

    IF p_changes @? '$[*].is_undo' THEN
        WITH undone AS MATERIALIZED (
            -- Each by the first change that restores its record.
            SELECT DISTINCT ON (w.id) w.id, w.change_id, r.change_id AS by_change
            FROM jsonb_to_recordset(p_changes) AS r (change_id bigint, record_type text, record_id text, is_undo boolean)
            CROSS JOIN LATERAL (
                SELECT o.id, o.change_id
                FROM authsync.deliveries AS o
                WHERE o.held_from IS NOT NULL AND (o.state || '') IN ('held', 'cancelled')
                  AND (o.record_id, o.record_type, o.destination_id, o.change_id) >= (r.record_id, r.record_type, p_destination_id, 0)
                  AND (o.record_id, o.record_type, o.destination_id, o.change_id)
                      < (r.record_id, r.record_type, p_destination_id, r.change_id)
                OFFSET 0 -- as a join it would not be looked up
            ) AS w
            WHERE r.is_undo
            ORDER BY w.id, r.change_id
        ),
        undo AS MATERIALIZED (
            SELECT d.id, u.by_change, u.first_change_id
            FROM (SELECT n.by_change, min(n.change_id) AS first_change_id FROM undone AS n GROUP BY n.by_change) AS u
            JOIN authsync.deliveries AS d ON d.change_id = u.by_change AND d.destination_id = p_destination_id
        ),
        span AS (
            UPDATE authsync.deliveries AS d
            SET first_change_id = u.first_change_id
            FROM undo AS u
            WHERE d.id = u.id
        )
        UPDATE authsync.deliveries AS d
        SET state = 'coalesced', coalesced_into = u.id, held_from = NULL, reason = NULL, finished_at = p_now
        FROM undone AS n
        JOIN undo AS u ON u.by_change = n.by_change
        WHERE d.id = n.id;
    END IF;
    IF v_made > 0 THEN
        PERFORM authsync.request_delivery(p_destination_id);
    END IF;
    RETURN v_made;
END;
$fn$;

COMMENT ON FUNCTION authsync.make_deliveries(uuid, jsonb, timestamptz)
    IS 'Makes the deliveries of changes for a destination, in order for each order key.';
