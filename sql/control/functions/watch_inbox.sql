-- watch_inbox walks on over the inbox, past each delivery once and two minutes after it came at
-- the soonest. Those without an outcome are late: they go to inbox_late, where
-- settle_inbox looks after them. When all is well there are none.
--
-- An id is given out before its delivery is committed, so it says nothing about smaller ones.
-- Two minutes later their transactions, which may take some seconds, are over.
--
-- The settings hold the planner to the indexes, whatever the statistics say of a partition
-- that grows. To compile the plan would take longer than to run it.
--
-- Repeatable: yes; each call goes on behind the last one.
-- Order:      that of ids. Callers take turns.
-- Result:     whether there are more to walk past now than the p_limit of this call.
CREATE OR REPLACE FUNCTION authsync.watch_inbox(
    p_now   timestamptz,
    p_limit integer
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
AS $fn$
DECLARE
    v_watch  authsync.inbox_watch;
    v_walked bigint;
    v_last   bigint;
BEGIN
    SELECT w.* INTO STRICT v_watch FROM authsync.inbox_watch AS w FOR UPDATE;
    IF v_watch.known_at > p_now - interval '2 minutes' THEN
        RETURN false;
    END IF;

    -- The outcomes of a delivery are recorded together, so any one stands for all.
    WITH page AS MATERIALIZED (
        SELECT i.id, i.received_at
        FROM authsync.inbox AS i
        WHERE i.id > v_watch.watched_to AND i.id <= v_watch.known_to
        ORDER BY i.id
        LIMIT p_limit
    ), late AS (
        INSERT INTO authsync.inbox_late (inbox_id, received_at)
        SELECT p.id, p.received_at
        FROM page AS p
        LEFT JOIN LATERAL (
            SELECT true AS found
            FROM authsync.event_outcomes AS e
            WHERE e.inbox_id = p.id AND e.received_at = p.received_at
            LIMIT 1
        ) AS outcome ON true
        WHERE outcome.found IS NULL
        ON CONFLICT DO NOTHING
    )
    SELECT count(*), max(p.id) INTO v_walked, v_last FROM page AS p;

    IF v_walked = p_limit THEN
        UPDATE authsync.inbox_watch SET watched_to = v_last;
        RETURN true;
    END IF;
    UPDATE authsync.inbox_watch AS w
    SET watched_to = w.known_to,
        known_to = greatest(w.known_to, pg_sequence_last_value('authsync.inbox_id_seq')),
        known_at = p_now;
    RETURN false;
END;
$fn$;

COMMENT ON FUNCTION authsync.watch_inbox(timestamptz, integer)
    IS 'Finds deliveries that have no outcome two minutes after they came, looking at each once.';
