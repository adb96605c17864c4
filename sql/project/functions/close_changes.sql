-- close_changes tells of which events another change of the same user is so close by its clock
-- that the clocks may not tell which was written last. (Better Auth takes the time when an update
-- begins: of two at once the one that is written last may have the older time.)
--
-- Repeatable: it changes nothing.
-- Order:      when the events have been applied.
-- Result:     the indexes, from 1, of those events that have another one within p_within of them
--             among the last changes of their user. The creation of a user does not count:
--             no update can have begun before it.
CREATE OR REPLACE FUNCTION capydb_auth.close_changes(
    p_user_ids  text[],
    p_event_ids text[],
    p_at        timestamptz[],
    p_within    interval
)
RETURNS SETOF bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
BEGIN
    RETURN QUERY
    SELECT e.place
    FROM unnest(p_user_ids, p_event_ids, p_at) WITH ORDINALITY AS e (user_id, event_id, at, place)
    WHERE EXISTS (
        SELECT FROM (
            -- By all columns of the index, so that no plan can walk through the feed by id.
            SELECT i.event_id, i.event_at, i.after, i.after_updated_at, i.after_created_at
            FROM capydb_auth.changes AS i
            WHERE (i.record_id, i.record_type, i.id) >= (e.user_id, 'user', 0)
              AND (i.record_id, i.record_type, i.id) <= (e.user_id, 'user', 9223372036854775807)
            ORDER BY i.record_id DESC, i.record_type DESC, i.id DESC
            LIMIT 10
        ) AS c
        WHERE coalesce(c.after_updated_at = c.after_created_at, c.after ->> 'updated_at' = c.after ->> 'created_at') IS NOT TRUE
          AND c.event_id <> e.event_id
          AND c.event_at BETWEEN e.at - p_within AND e.at + p_within
    )
    ORDER BY e.place;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.close_changes(text[], text[], timestamptz[], interval)
    IS 'Tells which events have another change of the same user so close that clocks may not tell the order.';
