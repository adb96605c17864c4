-- inbox_keep is how long a project's messages are kept: what it sets, otherwise the server's default. What belongs
-- to a project that is gone is kept for the default.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     the interval; NULL means forever, as it does in p_default.
CREATE OR REPLACE FUNCTION authsync.inbox_keep(
    p_project_id uuid,
    p_default    interval
)
RETURNS interval
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT coalesce((SELECT make_interval(days => p.keep_inbox) FROM authsync.projects AS p WHERE p.id = p_project_id), p_default)
$fn$;

COMMENT ON FUNCTION authsync.inbox_keep(uuid, interval)
    IS 'How long a project''s messages are kept; NULL: forever.';
