-- user_states gives users as they are, for destinations that take states. Several
-- changes of a user may be united: the answer spans from the row before the first of
-- them to the row as all changes up to p_as_of left it.
--
-- Why not the row of now: changes behind p_as_of are still to be sent, each as what differs
-- from the row before it. Who has been told too much already may never be told that it
-- was changed back.
--
-- Repeatable: it changes nothing.
-- Order:      the answer has none.
-- Result:     one row for each pair of p_first and p_last whose changes the feed has:
--             what the last one says of itself, the row as of p_as_of, and the row before
--             the first one, which is NULL where the user was new.
CREATE OR REPLACE FUNCTION capydb_auth.user_states(
    p_first bigint[],
    p_last  bigint[],
    p_as_of bigint
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
    WITH pair AS MATERIALIZED (
        SELECT p.first_id, c.id, c.user_id, c.provider, c.event_id, c.event_at, c.changed_at, n.id AS next_id
        FROM unnest(p_first, p_last) AS p (first_id, last_id)
        CROSS JOIN LATERAL (
            SELECT i.id, i.user_id, i.provider, i.event_id, i.event_at, i.changed_at
            FROM capydb_auth.user_changes AS i
            WHERE i.id = p.last_id
            LIMIT 1
        ) AS c
        -- By both columns of the index, so that no plan can walk through the feed by id.
        LEFT JOIN LATERAL (
            SELECT i.id
            FROM capydb_auth.user_changes AS i
            WHERE (i.user_id, i.id) > (c.user_id, greatest(p_as_of, c.id))
              AND (i.user_id, i.id) <= (c.user_id, 9223372036854775807)
            ORDER BY i.user_id, i.id
            LIMIT 1
        ) AS n ON true
    )
    SELECT
        x.id, x.user_id,
        coalesce(s.next_before, capydb_auth.user_row(u.stored), s.first_row),
        s.first_before, x.provider, x.event_id, x.event_at, x.changed_at
    FROM pair AS x
    -- One call a user. Rows of all of them would be gone through again for each, which
    -- took minutes where they are large, and nothing was delivered.
    CROSS JOIN LATERAL (
        SELECT
            count(*) FILTER (WHERE f.id = x.first_id) AS found,
            (array_agg(f.user_row) FILTER (WHERE f.id = x.first_id))[1] AS first_row,
            (array_agg(f.before_row) FILTER (WHERE f.id = x.first_id))[1] AS first_before,
            (array_agg(f.before_row) FILTER (WHERE f.id = x.next_id))[1] AS next_before
        FROM capydb_auth.changes_by_id(ARRAY[x.first_id, x.next_id]) AS f
    ) AS s
    LEFT JOIN LATERAL (
        SELECT i AS stored FROM capydb_auth.users AS i WHERE i.id = x.user_id LIMIT 1
    ) AS u ON true
    WHERE s.found > 0;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.user_states(bigint[], bigint[], bigint)
    IS 'Users as changes up to one left them, and as they were before the first of some changes.';
