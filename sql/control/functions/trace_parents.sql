-- trace_parents returns the traceparent of the message that brought each of some events, where its trace is sampled, so that
-- a delivery belongs to the trace of the message.
--
-- Repeatable: yes.
-- Order:      none.
-- Result:     a row per event found; an event whose outcome is not recorded yet, or whose message is past its retention,
--             has none. Of the messages with the same event id, it looks at the newest ten: more would let a sender of
--             repeated ids slow its project's deliveries.
CREATE OR REPLACE FUNCTION authsync.trace_parents(
    p_project_id uuid,
    p_event_ids  text[]
)
RETURNS TABLE (event_id text, traceparent text)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT w.event_id, i.traceparent
    FROM unnest(p_event_ids) AS w (event_id)
    CROSS JOIN LATERAL (
        SELECT m.headers ->> 'Traceparent' AS traceparent
        FROM (
            SELECT o.inbox_id, o.received_at, o.project_id, o.outcome
            FROM authsync.event_outcomes AS o
            WHERE o.event_id = w.event_id
            ORDER BY o.event_id DESC, o.inbox_id DESC, o.ordinal DESC
            LIMIT 10
        ) AS e
        CROSS JOIN LATERAL (
            SELECT n.headers
            FROM authsync.inbox AS n
            WHERE n.id = e.inbox_id AND n.received_at = e.received_at
            LIMIT 1
        ) AS m
        WHERE e.project_id = p_project_id AND e.outcome = 'applied'
        ORDER BY e.inbox_id
        LIMIT 1
    ) AS i
    WHERE i.traceparent IS NOT NULL;
$fn$;

COMMENT ON FUNCTION authsync.trace_parents(uuid, text[])
    IS 'The traceparents of the messages that brought some events.';
