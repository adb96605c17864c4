-- prune_deliveries deletes finished deliveries past their retention: that of their project, otherwise the server's
-- default. Failed ones stay, as failed events do, until a user retries or cancels them.
--
-- Repeatable: call it until it deletes fewer than p_limit.
-- Order:      the oldest of each project first, so that none of them waits for another's.
-- Result:     the number deleted. p_default NULL means forever.
CREATE OR REPLACE FUNCTION authsync.prune_deliveries(
    p_now     timestamptz,
    p_default interval,
    p_limit   integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
DECLARE
    v_project uuid;
    v_before  timestamptz;
    v_some    bigint;
    v_dropped bigint := bigint '0';
BEGIN
    FOR v_project, v_before IN
        SELECT p.id, p_now - coalesce(make_interval(days => p.keep_deliveries), p_default) FROM authsync.projects AS p
    LOOP
        DELETE FROM authsync.deliveries AS d
        WHERE d.id = ANY (ARRAY(
            SELECT o.id
            FROM authsync.deliveries AS o
            WHERE o.project_id = v_project AND o.state IN ('delivered', 'coalesced', 'cancelled') AND o.finished_at < v_before
            ORDER BY o.finished_at
            LIMIT p_limit - v_dropped
            FOR UPDATE SKIP LOCKED
        ));
        GET DIAGNOSTICS v_some = ROW_COUNT;
        v_dropped := v_dropped + v_some;
        EXIT WHEN v_dropped >= p_limit;
    END LOOP;
    RETURN v_dropped;
END;
$fn$;

COMMENT ON FUNCTION authsync.prune_deliveries(timestamptz, interval, integer)
    IS 'Deletes finished deliveries past their retention; failed ones stay.';
