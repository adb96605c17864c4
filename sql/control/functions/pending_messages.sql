-- pending_messages returns the newest messages of a project that wait to be applied, or have events that were deferred.
--
-- Repeatable: it changes nothing.
-- Order:      newest first.
-- Result:     at most p_limit messages, none newer than p_until, each once, and between which times it was received.
--             Some may have been applied before: they were made pending by a replay.
--
-- What it reads depends on p_limit, not on how much waits. A row of inbox_pending has several messages, and rows overlap.
-- Of the rows that end before p_until those are read whose last ids are the newest: as many ids already are newer than
-- any of the other rows. The rows that p_until cuts through end soon after it, depending on their spread.
CREATE OR REPLACE FUNCTION authsync.pending_messages(
    p_project_id uuid,
    p_until      bigint,
    p_limit      integer
)
RETURNS TABLE (inbox_id bigint, received_from timestamptz, received_to timestamptz)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET enable_incremental_sort = off
SET enable_hashagg = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
SET jit = off
AS $fn$
DECLARE
    v_until bigint := least(p_until, 9000000000000000000); -- leaves room for the longest spread
BEGIN
    RETURN QUERY
    SELECT n.inbox_id, min(n.received_from), max(n.received_to)
    FROM (
        SELECT u.inbox_id, p.received_from, p.received_to
        FROM unnest('{0,1,2,3}'::smallint[]) AS c (spread)
        CROSS JOIN LATERAL (
            SELECT min(l.last_id) AS last_id
            FROM (
                SELECT DISTINCT q.last_id
                FROM authsync.inbox_pending AS q
                WHERE q.project_id = p_project_id AND q.spread = c.spread AND q.last_id <= v_until
                ORDER BY q.last_id DESC
                LIMIT p_limit
            ) AS l
        ) AS f
        CROSS JOIN LATERAL (
            SELECT q.inbox_ids, q.received_from, q.received_to
            FROM authsync.inbox_pending AS q
            WHERE q.project_id = p_project_id AND q.spread = c.spread AND q.last_id BETWEEN f.last_id AND v_until
            OFFSET 0 -- keeps the planner from reading all that end before p_until, and comparing then
        ) AS p
        CROSS JOIN LATERAL unnest(p.inbox_ids[greatest(cardinality(p.inbox_ids) - p_limit + 1, 1):]) AS u (inbox_id)
        UNION ALL
        SELECT u.inbox_id, p.received_from, p.received_to
        FROM (VALUES (0::smallint, 63), (1::smallint, 4095), (2::smallint, 262143), (3::smallint, NULL)) AS c (spread, longest)
        CROSS JOIN LATERAL (
            SELECT q.inbox_ids, q.received_from, q.received_to
            FROM authsync.inbox_pending AS q
            WHERE q.project_id = p_project_id AND q.spread = c.spread
              AND q.last_id > v_until AND q.last_id <= coalesce(v_until + c.longest, 9223372036854775807)
              AND q.inbox_ids[1] <= v_until
        ) AS p
        CROSS JOIN LATERAL unnest(p.inbox_ids) AS u (inbox_id)
        WHERE u.inbox_id <= v_until
        UNION ALL
        (SELECT o.inbox_id, min(o.received_at), max(o.received_at)
        FROM authsync.event_outcomes AS o
        WHERE o.project_id = p_project_id AND o.outcome = 'pending' AND o.inbox_id <= v_until
        GROUP BY o.inbox_id
        ORDER BY o.inbox_id DESC
        LIMIT p_limit)
    ) AS n
    GROUP BY n.inbox_id
    ORDER BY n.inbox_id DESC
    LIMIT p_limit;
END;
$fn$;

COMMENT ON FUNCTION authsync.pending_messages(uuid, bigint, integer)
    IS 'The newest messages of a project that wait to be applied, or have events that were deferred.';
