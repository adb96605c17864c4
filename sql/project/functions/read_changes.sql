-- read_changes gives the next changes of the feed, each with the whole row as it left
-- it and as it was before; see changes_by_id.
--
-- Repeatable: it changes nothing.
-- Order:      by id. Ids grow in the order of commit, because there is one writer at a
--             time, so reading on from the last id seen misses nothing.
-- Result:     p_limit changes with an id greater than p_after, of records of all types; fewer: there are no more.
CREATE OR REPLACE FUNCTION capydb_auth.read_changes(
    p_after bigint,
    p_limit integer
)
RETURNS TABLE (
    id bigint, record_type text, record_id text, user_id text, organization_id text, kind text, changed text[],
    record_row jsonb, before_row jsonb, provider text, event_id text, event_at timestamptz, changed_at timestamptz
)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_sort = off
AS $fn$
BEGIN
    RETURN QUERY
    SELECT c.*
    FROM capydb_auth.changes_by_id(ARRAY(
        SELECT u.id
        FROM capydb_auth.changes AS u
        WHERE u.id > p_after
        ORDER BY u.id
        LIMIT p_limit
    )) AS c
    ORDER BY c.id;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.read_changes(bigint, integer)
    IS 'The next changes of the feed, with the whole row as each left it and as it was before.';
