-- prune_inbox_rows deletes messages of a project, with their outcomes, from a partition of the inbox that other projects keep.
--
-- Repeatable: call it until it deletes none.
-- Order:      the oldest first. Messages that are locked, as by an erasure, are left to a later call.
-- Result:     the number of messages deleted; 0 also if the project keeps them by now.
CREATE OR REPLACE FUNCTION authsync.prune_inbox_rows(
    p_suffix     text,
    p_project_id uuid,
    p_now        timestamptz,
    p_default    interval,
    p_limit      integer
)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '500ms'
SET enable_seqscan = off
AS $fn$
DECLARE
    v_from    date;
    v_to      date;
    v_ids     bigint[];
    v_is_last boolean;
BEGIN
    SELECT b.from_day, b.to_day INTO v_from, v_to
    FROM authsync.inbox_bounds AS b
    WHERE b.inbox_partition = to_regclass(format('authsync.%I', 'inbox_' || p_suffix));
    IF (v_to <= (p_now - authsync.inbox_keep(p_project_id, p_default))::date) IS NOT TRUE THEN
        RETURN 0;
    END IF;

    EXECUTE format(
        'WITH gone AS (
             DELETE FROM authsync.%1$I AS i
             WHERE (i.id, i.received_at) IN (
                 SELECT o.id, o.received_at FROM authsync.%1$I AS o WHERE o.project_id = $1 ORDER BY o.id LIMIT $2 FOR UPDATE SKIP LOCKED
             )
             RETURNING i.id
         )
         SELECT array_agg(g.id) FROM gone AS g', 'inbox_' || p_suffix)
        INTO v_ids USING p_project_id, p_limit;
    EXECUTE format('DELETE FROM authsync.%I AS e WHERE e.inbox_id = ANY ($1)', 'event_outcomes_' || p_suffix) USING v_ids;
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM authsync.%I AS i WHERE i.project_id = $1)', 'inbox_' || p_suffix)
        INTO v_is_last USING p_project_id;

    -- What is left takes its share of what was counted.
    UPDATE authsync.inbox_usage AS u SET
        byte_count = u.byte_count - u.byte_count * least(cardinality(v_ids), u.message_count) / greatest(u.message_count, 1),
        message_count = greatest(u.message_count - cardinality(v_ids), 0)
    WHERE u.project_id = p_project_id AND u.day = v_from AND v_to = v_from + 1 AND NOT v_is_last;
    DELETE FROM authsync.inbox_usage AS u
    WHERE u.project_id = p_project_id AND u.day >= v_from AND u.day < v_to AND v_is_last;
    RETURN coalesce(cardinality(v_ids), 0);
END;
$fn$;

COMMENT ON FUNCTION authsync.prune_inbox_rows(text, uuid, timestamptz, interval, integer)
    IS 'Deletes a project''s messages past their retention from a partition that others keep.';
