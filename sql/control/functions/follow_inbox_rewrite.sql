-- follow_inbox_rewrite copies messages again that were changed since they were copied.
--
-- Repeatable: call it until it finds none.
-- Order:      in that of the changes; concurrent calls take turns. A change whose row in inbox_rewrite_changes can be seen
--             can be seen itself, because both were committed together.
-- Result:     the number of changes followed.
CREATE OR REPLACE FUNCTION authsync.follow_inbox_rewrite(
    p_suffix text,
    p_limit  integer
)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
    v_changes integer;
    v_ids     bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_rewrites', 0));
    IF to_regclass(format('authsync.%I', 'inbox_' || p_suffix || '_kept')) IS NULL THEN
        RETURN 0; -- abandoned
    END IF;
    WITH seen AS (
        DELETE FROM authsync.inbox_rewrite_changes AS c
        WHERE c.suffix = p_suffix AND c.id = ANY (ARRAY(
            SELECT o.id FROM authsync.inbox_rewrite_changes AS o WHERE o.suffix = p_suffix ORDER BY o.id LIMIT p_limit
        ))
        RETURNING c.inbox_id
    )
    SELECT count(*)::integer, coalesce(array_agg(DISTINCT s.inbox_id), '{}') INTO v_changes, v_ids FROM seen AS s;

    EXECUTE format('DELETE FROM authsync.%I AS i WHERE i.id = ANY ($1)', 'inbox_' || p_suffix || '_kept') USING v_ids;
    EXECUTE format('DELETE FROM authsync.%I AS e WHERE e.inbox_id = ANY ($1)', 'event_outcomes_' || p_suffix || '_kept') USING v_ids;
    -- What is not copied yet is copied later, as it is then.
    EXECUTE format(
        'WITH copied AS (
             INSERT INTO authsync.%1$I
             SELECT i.*
             FROM authsync.%2$I AS i
             JOIN authsync.inbox_rewrites AS r ON r.suffix = $2 AND r.project_id = i.project_id AND r.copied_to >= i.id
             WHERE i.id = ANY ($1)
             RETURNING id
         )
         SELECT coalesce(array_agg(c.id), ''{}'') FROM copied AS c', 'inbox_' || p_suffix || '_kept', 'inbox_' || p_suffix)
        INTO v_ids USING v_ids, p_suffix;
    EXECUTE format('INSERT INTO authsync.%I SELECT e.* FROM authsync.%I AS e WHERE e.inbox_id = ANY ($1)',
        'event_outcomes_' || p_suffix || '_kept', 'event_outcomes_' || p_suffix)
        USING v_ids;
    RETURN v_changes;
END;
$fn$;

COMMENT ON FUNCTION authsync.follow_inbox_rewrite(text, integer)
    IS 'Copies messages again that were changed since they were copied.';
