-- inbox_retention tells which partitions of the inbox have rows past their retention: of which projects, and which projects
-- keep theirs. A project keeps a partition whole as long as something of it there is not finished.
--
-- Repeatable: it changes nothing.
-- Order:      the oldest partition first.
-- Result:     one row for each partition with rows past their retention, or only for that of p_suffix. messages are
--             estimates.
--
-- Most days cost a look-up for each project that keeps messages for less long than the default; those with something to do,
-- one for each project that has messages there.
CREATE OR REPLACE FUNCTION authsync.inbox_retention(
    p_now     timestamptz,
    p_default interval,
    p_suffix  text DEFAULT NULL
)
RETURNS TABLE (
    suffix text, from_day date, to_day date, expired uuid[], kept uuid[], expired_messages bigint, kept_messages bigint
)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET enable_seqscan = off
AS $fn$
DECLARE
    v_relation regclass;
    v_shorter  uuid[];
    v_found    boolean;
    v_present  uuid[];
    v_held     uuid[];
    v_total    bigint;
BEGIN
    FOR suffix, from_day, to_day, v_relation IN
        SELECT s.suffix, b.from_day, b.to_day, b.inbox_partition
        FROM authsync.inbox_bounds AS b
        JOIN pg_class AS c ON c.oid = b.inbox_partition
        CROSS JOIN LATERAL substring(c.relname FROM '^inbox_(\d{8,})$') AS s (suffix)
        WHERE b.to_day <= p_now::date AND s.suffix = coalesce(p_suffix, s.suffix)
        ORDER BY b.from_day
    LOOP
        IF (to_day <= (p_now - p_default)::date) IS NOT TRUE THEN
            v_shorter := ARRAY(
                SELECT p.id FROM authsync.projects AS p WHERE to_day <= (p_now - make_interval(days => p.keep_inbox))::date
            );
            EXECUTE format(
                'SELECT EXISTS (
                     SELECT FROM unnest($1) AS s (id)
                     CROSS JOIN LATERAL (SELECT FROM authsync.%I AS i WHERE i.project_id = s.id LIMIT 1) AS i
                 )', 'inbox_' || suffix)
                INTO v_found USING v_shorter;
            CONTINUE WHEN NOT v_found;
        END IF;

        -- From one project to the next, without the rows between.
        EXECUTE format(
            'WITH RECURSIVE p AS (
                 (SELECT i.project_id FROM authsync.%1$I AS i ORDER BY i.project_id LIMIT 1)
                 UNION ALL
                 SELECT (SELECT i.project_id FROM authsync.%1$I AS i WHERE i.project_id > p.project_id ORDER BY i.project_id LIMIT 1)
                 FROM p
                 WHERE p.project_id IS NOT NULL
             )
             SELECT coalesce(array_agg(p.project_id) FILTER (WHERE p.project_id IS NOT NULL), ''{}'') FROM p',
            'inbox_' || suffix)
            INTO v_present;
        v_held := ARRAY(SELECT u.project_id FROM authsync.inbox_unfinished(suffix, from_day, to_day) AS u);
        SELECT
            coalesce(array_agg(a.id) FILTER (WHERE a.is_over), '{}'),
            coalesce(array_agg(a.id) FILTER (WHERE NOT a.is_over), '{}')
        INTO expired, kept
        FROM (
            SELECT q.id, coalesce(to_day <= (p_now - authsync.inbox_keep(q.id, p_default))::date, false) AND q.id <> ALL (v_held) AS is_over
            FROM unnest(v_present) AS q (id)
        ) AS a;
        CONTINUE WHEN expired = '{}' AND v_present <> '{}';

        SELECT greatest(sum(u.message_count), (SELECT c.reltuples FROM pg_class AS c WHERE c.oid = v_relation), 0)::bigint,
            coalesce(sum(u.message_count) FILTER (WHERE u.project_id = ANY (kept)), 0)::bigint
        INTO v_total, kept_messages
        FROM authsync.inbox_usage AS u
        WHERE u.day >= from_day AND u.day < to_day;
        expired_messages := greatest(v_total - kept_messages, 0);
        RETURN NEXT;
    END LOOP;
END;
$fn$;

COMMENT ON FUNCTION authsync.inbox_retention(timestamptz, interval, text)
    IS 'Tells which partitions of the inbox have rows past their retention, and which projects keep theirs.';
