-- add_inbox_usage adds to what projects have stored in the inbox.
--
-- Repeatable: no, each call adds.
-- Order:      of no matter; rows are locked sorted, so two callers cannot deadlock.
-- Result:     none. What belongs to a project that is gone is not counted.
--
-- p_usage is an array of objects: project_id, day, message_count, byte_count; no two of the same
-- project and day.
CREATE OR REPLACE FUNCTION authsync.add_inbox_usage(
    p_usage jsonb
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    INSERT INTO authsync.inbox_usage AS u (project_id, day, message_count, byte_count)
    SELECT p.id, a.day, a.message_count, a.byte_count
    FROM jsonb_to_recordset(p_usage) AS a (project_id uuid, day date, message_count bigint, byte_count bigint)
    JOIN authsync.projects AS p ON p.id = a.project_id
    ORDER BY p.id, a.day
    ON CONFLICT (project_id, day) DO UPDATE SET
        message_count = u.message_count + excluded.message_count,
        byte_count = u.byte_count + excluded.byte_count;
END;
$fn$;

COMMENT ON FUNCTION authsync.add_inbox_usage(jsonb) IS 'Adds to what projects have stored in the inbox.';
