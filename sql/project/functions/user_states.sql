-- user_states gives users as they are now, for destinations that take states. Several
-- changes of a user may be united: the answer spans from the row before the first of
-- them to the row of now.
--
-- Repeatable: it changes nothing.
-- Order:      the answer has none.
-- Result:     one row for each pair of p_first and p_last whose changes the feed has:
--             what the last one says of itself, the row of now, and the row before the
--             first one, which is NULL where the user was new.
CREATE OR REPLACE FUNCTION capydb_auth.user_states(
    p_first bigint[],
    p_last  bigint[]
)
RETURNS TABLE (
    id bigint, user_id text, user_row jsonb, before_row jsonb,
    provider text, event_id text, event_at timestamptz, changed_at timestamptz
)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
BEGIN
    RETURN QUERY
    SELECT
        c.id, c.user_id,
        coalesce(capydb_auth.user_row(u), f.user_row),
        f.before_row, c.provider, c.event_id, c.event_at, c.changed_at
    FROM unnest(p_first, p_last) AS p (first_id, last_id)
    JOIN capydb_auth.user_changes AS c ON c.id = p.last_id
    JOIN capydb_auth.changes_by_id(p_first) AS f ON f.id = p.first_id
    LEFT JOIN capydb_auth.users AS u ON u.id = c.user_id;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.user_states(bigint[], bigint[])
    IS 'Users as they are now, and as they were before the first of some changes.';
