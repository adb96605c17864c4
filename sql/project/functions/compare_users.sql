-- compare_users tells how users as the provider has them differ from the mirror.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter. What it tells is as of now: a live event may come a moment later.
-- Result:     one row an event, with its ordinal:
--   finding     equal; missing: the mirror has no such user, or a placeholder only;
--               deleted: it has the user as deleted; differing
--   columns     the columns of users that differ; of a missing user none
--   is_disputed for one of them the mirror has a greater version than the event's, so
--               that apply_events would leave it: what the provider says now is needed
--
-- p_events are those of apply_events. Of raw only what can be told is compared,
-- because the same user looks a little different in an event, a list and an export:
-- the keys of p_raw_keys, where null and absent are the same; and of the others those
-- that both objects have, as numbers, booleans or texts that are no dates.
--
-- users is reached by its primary key, whatever the planner knows of it.
CREATE OR REPLACE FUNCTION capydb_auth.compare_users(
    p_events   jsonb,
    p_raw_keys text[]
)
RETURNS TABLE (ordinal integer, user_id text, finding text, columns text[], is_disputed boolean)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH event AS MATERIALIZED (
        SELECT
            (d.doc ->> 'ordinal')::integer AS ordinal,
            d.doc ->> 'user_id'            AS user_id,
            d.doc -> 'says'                AS says,
            d.doc -> 'raw'                 AS raw,
            ROW((d.doc ->> 'at')::timestamptz,
                (d.doc ->> 'sent_at')::timestamptz,
                d.doc ->> 'event_id',
                NULL)::capydb_auth.version AS version,
            ROW(coalesce(d.doc ->> 'deleted_clock', d.doc ->> 'at')::timestamptz,
                (d.doc ->> 'sent_at')::timestamptz,
                d.doc ->> 'event_id',
                NULL)::capydb_auth.version AS life_version
        FROM jsonb_array_elements(p_events) AS d (doc)
    )
    SELECT
        e.ordinal,
        e.user_id,
        CASE
            WHEN u.last_event_processed IS NULL THEN 'missing'
            WHEN u.deleted_at IS NOT NULL AND jsonb_typeof(e.says -> 'deleted_at') = 'null' THEN 'deleted'
            WHEN c.columns IS NULL THEN 'equal'
            ELSE 'differing'
        END,
        CASE WHEN u.last_event_processed IS NULL THEN '{}' ELSE coalesce(c.columns, '{}') END,
        u.last_event_processed IS NOT NULL AND coalesce(c.is_disputed, false)
    FROM event AS e
    LEFT JOIN capydb_auth.users AS u ON u.id = e.user_id
    LEFT JOIN capydb_auth.user_versions AS v ON v.user_id = u.id
    CROSS JOIN LATERAL (
        SELECT
            array_agg(p.name ORDER BY p.place) AS columns,
            bool_or(p.is_newer)                AS is_disputed
        FROM (
            VALUES
                (1, 'email',           e.says ->> 'email'      IS DISTINCT FROM u.email,      v.email      > e.version),
                (2, 'first_name',      e.says ->> 'first_name' IS DISTINCT FROM u.first_name, v.first_name > e.version),
                (3, 'last_name',       e.says ->> 'last_name'  IS DISTINCT FROM u.last_name,  v.last_name  > e.version),
                (4, 'username',        e.says ->> 'username'   IS DISTINCT FROM u.username,   v.username   > e.version),
                (5, 'image_url',       e.says ->> 'image_url'  IS DISTINCT FROM u.image_url,  v.image_url  > e.version),
                (6, 'created_at',
                    (e.says ->> 'created_at')::timestamptz      IS DISTINCT FROM u.created_at,      v.created_at      > e.version),
                (7, 'updated_at',
                    (e.says ->> 'updated_at')::timestamptz      IS DISTINCT FROM u.updated_at,      v.updated_at      > e.version),
                (8, 'last_sign_in_at',
                    (e.says ->> 'last_sign_in_at')::timestamptz IS DISTINCT FROM u.last_sign_in_at, v.last_sign_in_at > e.version),
                (9, 'deleted_at',
                    (e.says ->> 'deleted_at')::timestamptz      IS DISTINCT FROM u.deleted_at,      v.deleted_at      > e.life_version)
        ) AS p (place, name, differs, is_newer)
        WHERE p.differs AND e.says ? p.name
    ) AS said
    CROSS JOIN LATERAL (
        SELECT e.raw IS NOT NULL AND u.raw IS DISTINCT FROM e.raw AND (
            u.raw IS NULL
            OR EXISTS (
                SELECT FROM jsonb_each(e.raw) AS n
                WHERE n.key <> ALL (p_raw_keys)
                  AND u.raw ? n.key
                  AND u.raw -> n.key <> n.value
                  AND jsonb_typeof(n.value) NOT IN ('object', 'array')
                  AND jsonb_typeof(u.raw -> n.key) NOT IN ('object', 'array')
                  AND n.value #>> '{}' !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}'
            )
            OR EXISTS (
                SELECT FROM unnest(p_raw_keys) AS k (key)
                WHERE coalesce(u.raw -> k.key, 'null') <> coalesce(e.raw -> k.key, 'null')
            )
        ) AS differs
    ) AS object
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN object.differs THEN said.columns || 'raw'::text ELSE said.columns END AS columns,
            coalesce(said.is_disputed, false)
                OR (object.differs AND coalesce(v.raw > e.version, false))                  AS is_disputed
    ) AS c;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.compare_users(jsonb, text[])
    IS 'Tells how users as the provider has them differ from the mirror; changes nothing.';
