-- settle_inbox looks at the late deliveries that no job will work: one that has its
-- outcome by now, or that retention dropped, is late no more; the others lost their job.
--
-- Repeatable: yes; what was lost is so until its new job is there, in the same transaction.
-- Order:      that of ids. Callers take turns, so two of them do not make two jobs.
-- Result:     of the first p_limit of them, those that need a job.
--
-- Outcomes are committed together with the end of their job, and all is read by one
-- statement: a delivery whose job is just ending is seen either with its job or with its outcome.
-- The settings are as in watch_inbox.
CREATE OR REPLACE FUNCTION authsync.settle_inbox(
    p_limit integer
)
RETURNS TABLE (inbox_id bigint, received_at timestamptz, project_id uuid, bytes bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $fn$
BEGIN
    PERFORM FROM authsync.inbox_watch FOR UPDATE;
    IF NOT EXISTS (SELECT FROM authsync.inbox_late) THEN
        RETURN;
    END IF;

    RETURN QUERY
    WITH unfinished AS MATERIALIZED ( -- by their state alone: by their kind the finished ones would be read too
        SELECT r.kind, r.args
        FROM authsync.river_job AS r
        WHERE r.state IN ('available', 'pending', 'retryable', 'running', 'scheduled')
    ), live AS MATERIALIZED (
        SELECT range_agg(u.ids) AS ids
        FROM unfinished AS r
        CROSS JOIN LATERAL unnest((r.args ->> 'inbox_ids')::int8multirange) AS u (ids)
        WHERE r.kind = 'apply_deliveries'
    ), alone AS MATERIALIZED (
        SELECT l.inbox_id, l.received_at
        FROM authsync.inbox_late AS l
        CROSS JOIN live
        WHERE NOT coalesce(l.inbox_id <@ live.ids, false)
        ORDER BY l.inbox_id
        LIMIT p_limit
    ), looked_at AS MATERIALIZED (
        SELECT a.inbox_id, a.received_at, d.project_id, d.bytes, d.id IS NULL OR coalesce(outcome.found, false) AS is_settled
        FROM alone AS a
        LEFT JOIN LATERAL (
            SELECT i.id, i.project_id, octet_length(i.body)::bigint AS bytes
            FROM authsync.inbox AS i
            WHERE i.id = a.inbox_id AND i.received_at = a.received_at
            LIMIT 1
        ) AS d ON true
        LEFT JOIN LATERAL (
            SELECT true AS found
            FROM authsync.event_outcomes AS e
            WHERE e.inbox_id = a.inbox_id AND e.received_at = a.received_at
            LIMIT 1
        ) AS outcome ON true
    ), settled AS (
        DELETE FROM authsync.inbox_late AS l
        USING looked_at AS k
        WHERE l.inbox_id = k.inbox_id AND k.is_settled
    )
    SELECT k.inbox_id, k.received_at, k.project_id, k.bytes
    FROM looked_at AS k
    WHERE NOT k.is_settled
    ORDER BY k.inbox_id;
END;
$fn$;

COMMENT ON FUNCTION authsync.settle_inbox(integer)
    IS 'The late deliveries that have neither an outcome nor a job; forgets those that have an outcome.';
