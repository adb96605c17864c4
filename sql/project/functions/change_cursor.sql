-- change_cursor returns where to read the feed from: the greatest id of a change that
-- was committed before a time, or the greatest of all.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     an id to read on behind; 0 where there is no such change. p_at NULL: the newest.
--
-- It walks backwards from the newest change, so a recent time is quick, and needs no index.
CREATE OR REPLACE FUNCTION capydb_auth.change_cursor(
    p_at timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_sort = off
AS $fn$
BEGIN
    RETURN coalesce((
        SELECT c.id
        FROM capydb_auth.changes AS c
        WHERE p_at IS NULL OR c.changed_at < p_at
        ORDER BY c.id DESC
        LIMIT 1
    ), 0);
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.change_cursor(timestamptz)
    IS 'The id of the newest change before a time, to read on behind.';
