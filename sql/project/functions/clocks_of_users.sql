-- clocks_of_users gives what an event about a user must be newer than to win over all
-- that the mirror knows of the user now.
--
-- Repeatable: it changes nothing.
-- Order:      call it before the provider is read: what the provider answers then includes
--             all events that were in the mirror at this time.
-- Result:     one row for each of the ids that the mirror has:
--   is_placeholder, is_deleted   what the row is now
--   at, sent_at                  the greatest version of the profile's columns; NULL: none
--   life_at, life_sent_at        the version of deleted_at; NULL: none
--   received_at                  when the last event without a clock was received; NULL: none.
--                                The event must have been received later than that
-- Versions count whether or not something that was set without a clock is newer.
CREATE OR REPLACE FUNCTION capydb_auth.clocks_of_users(
    p_user_ids text[]
)
RETURNS TABLE (
    user_id text, provider text, is_placeholder boolean, is_deleted boolean,
    at timestamptz, sent_at timestamptz, life_at timestamptz, life_sent_at timestamptz, received_at timestamptz
)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
-- From PostgreSQL 18 on the plan is kept, and may be one for tables that were empty.
SET enable_seqscan = off
AS $fn$
    SELECT
        u.id,
        u.provider,
        u.last_event_processed IS NULL,
        u.deleted_at IS NOT NULL,
        greatest(g.at, n.profile_at),
        CASE WHEN n.profile_at > g.at THEN n.profile_at ELSE coalesce(g.sent_at, n.profile_at) END,
        greatest(l.at, n.life_at),
        CASE WHEN n.life_at > l.at THEN n.life_at ELSE coalesce(l.sent_at, n.life_at) END,
        greatest(n.profile_at, n.life_at)
    FROM (SELECT DISTINCT a.id FROM unnest(p_user_ids) AS a (id)) AS a
    -- A look-up that no plan can turn into reading the table.
    CROSS JOIN LATERAL (
        SELECT i.* FROM capydb_auth.users AS i WHERE i.id = a.id LIMIT 1
    ) AS u
    LEFT JOIN LATERAL (
        SELECT v.at, v.sent_at
        FROM (
            SELECT u.last_event_processed, u.last_event_sent_at, u.last_event_id
            WHERE u.last_event_fields & 767 <> 0 -- all but deleted_at
            UNION ALL
            SELECT (c.doc ->> 'at')::timestamptz, (c.doc ->> 'sent_at')::timestamptz, c.doc ->> 'event_id'
            FROM jsonb_each(u.field_versions -> 'versions') AS c (name, doc)
            WHERE c.name <> 'deleted_at'
        ) AS v (at, sent_at, event_id)
        ORDER BY v.at DESC, v.sent_at DESC, v.event_id COLLATE "C" DESC
        LIMIT 1
    ) AS g ON true
    CROSS JOIN LATERAL capydb_auth.version_of(
        u.last_event_processed, u.last_event_sent_at, u.last_event_id, u.last_event_fields, u.field_versions, 'deleted_at', 256) AS l
    CROSS JOIN LATERAL (
        SELECT
            max(k.received_at) FILTER (WHERE k.column_name <> 'deleted_at') AS profile_at,
            max(k.received_at) FILTER (WHERE k.column_name = 'deleted_at')  AS life_at
        FROM (
            SELECT e.key AS column_name, (e.value ->> 'received_at')::timestamptz AS received_at
            FROM jsonb_each(u.field_versions -> 'unclocked') AS e
        ) AS k
    ) AS n;
$fn$;

COMMENT ON FUNCTION capydb_auth.clocks_of_users(text[])
    IS 'Gives what an event must be newer than to win over all that the mirror knows of a user.';
