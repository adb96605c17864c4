-- take_deliveries returns deliveries that can be sent now: the earliest of each order key. For
-- a destination that takes states, the record's other pending and failed deliveries are
-- included, to be coalesced with it: up to the first one that is to follow a pending delivery
-- of another record with the same order key, which it must not overtake.
--
-- Repeatable: it changes nothing; the holder of the destination's lease sends.
-- Order:      by change. But if the first is deferred, the newest that is not comes next:
--             that shows whether all are deferred, or only some.
-- Result:     at most p_limit deliveries, none of those in p_except; none unless the
--             destination is active. With p_id only that one, if it is in p_in_state.
--             as_of: the change up to which the record may be sent: that before the first of its
--             pending ones that is not included, or of a deletion that is held back, or the one up to which
--             deliveries have been made;
--             changed_at: since when it has waited, which is when it was released if it was held;
--             begun: part of it may have arrived already; see begin_deliveries.
CREATE OR REPLACE FUNCTION authsync.take_deliveries(
    p_destination_id uuid,
    p_states         boolean,
    p_limit          integer,
    p_except         bigint[],
    p_id             bigint,
    p_in_state       text
)
RETURNS TABLE (
    id bigint, project_id uuid, change_id bigint, first_change_id bigint, last_change_id bigint, as_of bigint, record_type text,
    record_id text, event_type text, changed text[], changed_at timestamptz, state text, attempts integer, begun boolean,
    coalesced bigint[], external_id text
)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
    v_first bigint;
    v_scout bigint;
BEGIN
    IF p_id IS NULL AND p_limit > 1 THEN
        SELECT o.change_id, s.id INTO v_first, v_scout
        FROM (
            SELECT d.change_id, d.deferred_at
            FROM authsync.deliveries AS d
            WHERE d.destination_id = p_destination_id AND d.state = 'ready' AND d.id <> ALL (p_except)
            ORDER BY d.change_id
            LIMIT 1
        ) AS o
        CROSS JOIN LATERAL (
            SELECT n.id
            FROM (
                SELECT d.id, d.deferred_at
                FROM authsync.deliveries AS d
                WHERE d.destination_id = p_destination_id AND d.state = 'ready'
                ORDER BY d.change_id DESC
                LIMIT 50
            ) AS n
            WHERE n.deferred_at IS NULL AND n.id <> ALL (p_except)
            LIMIT 1
        ) AS s
        WHERE o.deferred_at IS NOT NULL;
    END IF;

    RETURN QUERY
    SELECT
        h.id, h.project_id, h.change_id,
        least(h.first_change_id, h.change_id, u.first_change_id),
        greatest(h.change_id, u.last_change_id),
        -- That waiting one may begin with a deletion that it undoes.
        least(coalesce(least(later.first_change_id, later.change_id) - 1, f.cursor), withheld.change_id - 1),
        h.record_type, h.record_id, h.event_type, h.changed, coalesce(h.released_at, h.changed_at), h.state, h.attempts,
        h.begun OR coalesce(u.begun, false),
        coalesce(u.ids, '{}'), l.external_id
    FROM (
        (SELECT d.*
        FROM authsync.deliveries AS d
        WHERE p_id IS NULL AND d.destination_id = p_destination_id AND d.state = 'ready' AND d.id <> ALL (p_except)
          AND d.id IS DISTINCT FROM v_scout
        ORDER BY d.change_id
        LIMIT p_limit - CASE WHEN v_scout IS NULL THEN 0 ELSE 1 END)
        UNION ALL
        -- Written so that only the index on id can be used.
        SELECT d.* FROM authsync.deliveries AS d WHERE d.id = p_id AND d.state IS NOT DISTINCT FROM p_in_state
        UNION ALL
        SELECT d.* FROM authsync.deliveries AS d WHERE d.id = v_scout AND d.state IS NOT DISTINCT FROM 'ready'
    ) AS h
    JOIN authsync.destinations AS t ON t.id = p_destination_id AND t.state = 'active'
    JOIN authsync.destination_progress AS f ON f.destination_id = p_destination_id
    LEFT JOIN authsync.external_ids AS l
        ON l.destination_id = p_destination_id AND l.record_type = h.record_type AND l.record_id = h.record_id
    -- The first of another record that waits, and the first of this one that has to wait for it. The former walks over
    -- what waits of this record, which is read below as well; the latter is one look-up.
    LEFT JOIN LATERAL (
        SELECT w.change_id
        FROM authsync.deliveries AS w
        WHERE p_states AND w.destination_id = p_destination_id AND w.order_key = h.order_key AND w.state = 'blocked'
          AND (w.record_type <> h.record_type OR w.record_id <> h.record_id)
        ORDER BY w.change_id
        LIMIT 1
    ) AS other ON true
    LEFT JOIN LATERAL (
        SELECT w.change_id, w.first_change_id
        FROM authsync.deliveries AS w
        -- By all columns of deliveries_unfinished_idx and in the words of its predicate: no plan can walk over what else waits.
        WHERE p_states AND other.change_id IS NOT NULL AND w.finished_at IS NULL AND w.state IS NOT DISTINCT FROM 'blocked'
          AND (w.record_id, w.record_type, w.destination_id, w.change_id)
              > (h.record_id, h.record_type, p_destination_id, greatest(h.change_id, other.change_id))
          AND (w.record_id, w.record_type, w.destination_id, w.change_id)
              <= (h.record_id, h.record_type, p_destination_id, 9223372036854775807)
        ORDER BY w.record_id, w.record_type, w.destination_id, w.change_id
        LIMIT 1
    ) AS later ON true
    LEFT JOIN LATERAL (
        SELECT
            array_agg(o.id) AS ids,
            bool_or(o.begun) AS begun,
            least(min(o.first_change_id), min(o.change_id)) AS first_change_id,
            max(o.change_id) FILTER (WHERE o.state = 'blocked') AS last_change_id
        FROM (
            SELECT w.id, w.state, w.change_id, w.first_change_id, w.begun
            FROM authsync.deliveries AS w
            WHERE w.finished_at IS NULL AND w.state IS NOT DISTINCT FROM 'blocked'
              AND (w.record_id, w.record_type, w.destination_id, w.change_id) >= (h.record_id, h.record_type, p_destination_id, 0)
              AND (w.record_id, w.record_type, w.destination_id, w.change_id)
                  < (h.record_id, h.record_type, p_destination_id, coalesce(later.change_id, 9223372036854775807))
            UNION ALL
            SELECT w.id, w.state, w.change_id, w.first_change_id, w.begun
            FROM authsync.deliveries AS w
            WHERE w.destination_id = p_destination_id AND w.record_type = h.record_type AND w.record_id = h.record_id
              AND w.state = 'failed' AND (later.change_id IS NULL OR w.change_id < later.change_id)
        ) AS o
        WHERE p_states
    ) AS u ON true
    -- A deletion that it is not to hear of, or not yet, must not show in an earlier change either.
    LEFT JOIN LATERAL (
        SELECT w.change_id
        FROM authsync.deliveries AS w
        WHERE p_states AND w.held_from IS NOT NULL AND (w.state || '') IN ('held', 'cancelled')
          AND (w.record_id, w.record_type, w.destination_id, w.change_id)
              > (h.record_id, h.record_type, p_destination_id, greatest(h.change_id, u.last_change_id))
          AND (w.record_id, w.record_type, w.destination_id, w.change_id)
              <= (h.record_id, h.record_type, p_destination_id, 9223372036854775807)
        ORDER BY w.record_id, w.record_type, w.destination_id, w.change_id
        LIMIT 1
    ) AS withheld ON true
    ORDER BY CASE WHEN h.id = v_scout THEN v_first ELSE h.change_id END, h.change_id;
END;
$fn$;

COMMENT ON FUNCTION authsync.take_deliveries(uuid, boolean, integer, bigint[], bigint, text)
    IS 'Deliveries that can be sent now, each with what can be coalesced with it.';
