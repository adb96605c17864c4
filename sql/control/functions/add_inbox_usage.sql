-- add_inbox_usage adds to what projects have stored in the inbox, by day, and to how many messages they
-- have received, by quarter of an hour.
--
-- Repeatable: no, each call adds.
-- Order:      of no matter; rows are locked sorted, so two callers cannot deadlock. What comes after
--             its slot was taken by the quarter of the next day is not counted there.
-- Result:     none. What belongs to a project that is gone is not counted.
--
-- p_usage is an array of objects: project_id, began_at (of the quarter), message_count, byte_count; no
-- two of the same project and quarter.
CREATE OR REPLACE FUNCTION authsync.add_inbox_usage(
    p_usage jsonb
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $fn$
BEGIN
    INSERT INTO authsync.inbox_usage AS u (project_id, day, message_count, byte_count)
    SELECT p.id, a.began_at::date, sum(a.message_count), sum(a.byte_count)
    FROM jsonb_to_recordset(p_usage) AS a (project_id uuid, began_at timestamptz, message_count bigint, byte_count bigint)
    JOIN authsync.projects AS p ON p.id = a.project_id
    GROUP BY p.id, a.began_at::date
    ORDER BY p.id, a.began_at::date
    ON CONFLICT (project_id, day) DO UPDATE SET
        message_count = u.message_count + excluded.message_count,
        byte_count = u.byte_count + excluded.byte_count;

    INSERT INTO authsync.message_counts AS c (project_id, slot, began_at, message_count)
    SELECT DISTINCT ON (p.id, s.slot) p.id, s.slot, a.began_at, a.message_count
    FROM jsonb_to_recordset(p_usage) AS a (project_id uuid, began_at timestamptz, message_count bigint)
    JOIN authsync.projects AS p ON p.id = a.project_id
    CROSS JOIN LATERAL (SELECT (extract(epoch FROM a.began_at)::bigint / 900 % 96)::smallint AS slot) AS s
    ORDER BY p.id, s.slot, a.began_at DESC
    ON CONFLICT (project_id, slot) DO UPDATE SET
        began_at = excluded.began_at,
        message_count = excluded.message_count + CASE WHEN c.began_at = excluded.began_at THEN c.message_count ELSE 0 END
    WHERE c.began_at <= excluded.began_at;
END;
$fn$;

COMMENT ON FUNCTION authsync.add_inbox_usage(jsonb) IS 'Adds to what projects have stored in the inbox, and to how many messages they have received.';
