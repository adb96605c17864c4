-- clocks_of_users tells what an event about a user must be newer than to win over all
-- that the mirror knows of the user now.
--
-- Repeatable: it changes nothing.
-- Order:      ask it before the provider is asked: what the provider answers then knows
--             of all events that were in the mirror at this time.
-- Result:     one row for each of the ids that the mirror has:
--   is_placeholder, is_deleted   what the row is now
--   at, sent_at                  the greatest version of the profile's columns; NULL: none
--   life_at, life_sent_at        the version of being there or deleted; NULL: none
--   received_at                  when the last event without a clock was received; NULL: none.
--                                The event must have been received later than that
-- Versions count whether or not something that was said without a clock is newer.
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
        greatest((g.version).at, n.profile_at),
        CASE WHEN n.profile_at > (g.version).at THEN n.profile_at ELSE coalesce((g.version).sent_at, n.profile_at) END,
        greatest((v.deleted_at).at, n.life_at),
        CASE WHEN n.life_at > (v.deleted_at).at THEN n.life_at ELSE coalesce((v.deleted_at).sent_at, n.life_at) END,
        greatest(n.profile_at, n.life_at)
    FROM (SELECT DISTINCT a.id FROM unnest(p_user_ids) AS a (id)) AS a
    -- Look-ups that no plan can turn into reading the tables.
    CROSS JOIN LATERAL (
        SELECT i.* FROM capydb_auth.users AS i WHERE i.id = a.id LIMIT 1
    ) AS u
    LEFT JOIN LATERAL (
        SELECT i.* FROM capydb_auth.user_versions AS i WHERE i.user_id = u.id AND u.last_event_processed IS NOT NULL LIMIT 1
    ) AS v ON true
    CROSS JOIN LATERAL (
        SELECT greatest(
            v.email, v.first_name, v.last_name, v.username, v.image_url,
            v.created_at, v.updated_at, v.last_sign_in_at, v.raw
        ) AS version
    ) AS g
    CROSS JOIN LATERAL (
        SELECT
            max(k.received_at) FILTER (WHERE k.column_name <> 'deleted_at') AS profile_at,
            max(k.received_at) FILTER (WHERE k.column_name = 'deleted_at')  AS life_at
        FROM (
            SELECT e.key AS column_name, (e.value ->> 'received_at')::timestamptz AS received_at
            FROM jsonb_each(v.unclocked) AS e
        ) AS k
    ) AS n;
$fn$;

COMMENT ON FUNCTION capydb_auth.clocks_of_users(text[])
    IS 'Tells what an event must be newer than to win over all that the mirror knows of a user.';
