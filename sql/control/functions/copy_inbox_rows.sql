-- copy_inbox_rows copies the next messages of a project, with their outcomes, to the partitions that will take the
-- place of those of a day.
--
-- Repeatable: call it until it copies none; the rows and how far it is are committed together.
-- Order:      by id; concurrent calls take turns.
-- Result:     the number of messages copied; 0: the project has no more.
CREATE OR REPLACE FUNCTION authsync.copy_inbox_rows(
    p_suffix     text,
    p_project_id uuid,
    p_limit      integer
)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
    v_after bigint;
    v_ids   bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_rewrites', 0));
    SELECT r.copied_to INTO v_after
    FROM authsync.inbox_rewrites AS r
    WHERE r.suffix = p_suffix AND r.project_id = p_project_id;
    IF v_after IS NULL THEN
        RETURN 0; -- abandoned
    END IF;
    EXECUTE format(
        'WITH copied AS (
             INSERT INTO authsync.%1$I
             SELECT i.* FROM authsync.%2$I AS i WHERE i.project_id = $1 AND i.id > $2 ORDER BY i.id LIMIT $3
             RETURNING id
         )
         SELECT coalesce(array_agg(c.id), ''{}'') FROM copied AS c', 'inbox_' || p_suffix || '_kept', 'inbox_' || p_suffix)
        INTO v_ids USING p_project_id, v_after, p_limit;
    EXECUTE format('INSERT INTO authsync.%I SELECT e.* FROM authsync.%I AS e WHERE e.inbox_id = ANY ($1)',
        'event_outcomes_' || p_suffix || '_kept', 'event_outcomes_' || p_suffix)
        USING v_ids;
    UPDATE authsync.inbox_rewrites AS r
    SET copied_to = coalesce((SELECT max(m.id) FROM unnest(v_ids) AS m (id)), 9223372036854775807)
    WHERE r.suffix = p_suffix AND r.project_id = p_project_id;
    RETURN cardinality(v_ids);
END;
$fn$;

COMMENT ON FUNCTION authsync.copy_inbox_rows(text, uuid, integer)
    IS 'Copies the next messages of a project to the partition that will take the place of a day''s.';
