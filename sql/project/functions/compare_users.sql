-- compare_users tells how users as the provider has them differ from the mirror.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter. What it tells is as of now: a live event may come a moment later.
-- Result:     one row an event, with its ordinal:
--   finding     equal; missing: the mirror has no such user, or a placeholder only;
--               deleted: it has the user as deleted; differing; unreported: it differs in
--               nothing but what the provider sends no event for
--   columns     the columns of users that differ; of a missing user none
--   tolerated   what differs and does not count, such as raw.scim: keys of raw of which the one
--               form of a user object says nothing, or only what is true at this moment
--   is_disputed for one of the columns the mirror has a greater version than the event's, so
--               that apply_events would leave it: what the provider says now is needed
--
-- p_events are those of apply_events. Everything is compared, by what it means: see
-- is_same_value. p_is_whole: the objects hold all that the provider knows of a user. p_rules
-- says what the keys at the top of the object mean, as arrays of keys:
--   complete    every form has it when it has a value: where one lacks it, it was cleared
--   quiet       it may change without an event, as by a sign-in
--   loose       of what is in it one form says less than another
--   computed    it is true only when it is read
-- A key that is in none of them and that only one object has counts if both were read by
-- authsync itself; of what a delivery does not say nothing can be told.
--
-- What is quiet, and last_sign_in_at, counts as unreported if updated_at is the same: then
-- nothing has happened that the provider would have sent an event for.
--
-- users is reached by its primary key, whatever the planner knows of it.
CREATE OR REPLACE FUNCTION capydb_auth.compare_users(
    p_events   jsonb,
    p_rules    jsonb,
    p_is_whole boolean
)
RETURNS TABLE (ordinal integer, user_id text, finding text, columns text[], tolerated text[], is_disputed boolean)
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
            d.doc -> 'fields'                AS fields,
            d.doc -> 'raw'                 AS raw,
            d.doc ? 'last_sign_in_at_is_least' AS sign_in_is_least,
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
            WHEN h.is_missing THEN 'missing'
            WHEN h.deleted_at IS NOT NULL AND jsonb_typeof(e.fields -> 'deleted_at') = 'null' THEN 'deleted'
            WHEN c.columns = '{}' THEN 'equal'
            WHEN verdict.quiet_columns = verdict.columns AND (object.differing = '{}' OR verdict.is_quiet AND object.loud = '{}')
                THEN 'unreported'
            ELSE 'differing'
        END,
        CASE WHEN h.is_missing THEN '{}' ELSE c.columns END,
        CASE WHEN h.is_missing THEN '{}' ELSE object.tolerated END,
        NOT h.is_missing AND c.columns <> '{}' AND (
            verdict.is_disputed
            OR (object.differing <> '{}' AND coalesce((h.versions).raw > e.version, false))
            -- Versions alone do not tell there. (See merge_unclocked.)
            OR (h.versions).unclocked IS NOT NULL
        )
    FROM event AS e
    -- Look-ups that no plan can turn into reading the tables.
    LEFT JOIN LATERAL (
        SELECT i AS stored FROM capydb_auth.users AS i WHERE i.id = e.user_id LIMIT 1
    ) AS u ON true
    LEFT JOIN LATERAL (
        SELECT i AS stored FROM capydb_auth.user_versions AS i WHERE i.user_id = e.user_id LIMIT 1
    ) AS v ON true
    CROSS JOIN LATERAL (
        SELECT
            (u.stored).last_event_processed IS NULL AS is_missing,
            (u.stored).deleted_at                   AS deleted_at,
            u.stored                                AS row,
            v.stored                                AS versions,
            -- What authsync has read itself says all there is to say.
            coalesce((v.stored).unclocked -> 'raw' ->> 'event_id', ((v.stored).raw).event_id) ~ '^(backfill|reconcile|refresh):' AS is_read
        OFFSET 0
    ) AS h
    CROSS JOIN LATERAL (
        SELECT
            coalesce(array_agg(p.name ORDER BY p.place) FILTER (WHERE p.differs), '{}')                               AS columns,
            coalesce(array_agg(p.name ORDER BY p.place) FILTER (WHERE p.differs AND p.name = 'last_sign_in_at'), '{}') AS sign_in,
            coalesce(bool_or(p.is_newer) FILTER (WHERE p.differs), false)                                             AS is_disputed,
            coalesce(bool_and(NOT p.differs) FILTER (WHERE p.name = 'updated_at'), true)                              AS is_quiet
        FROM (
            SELECT o.place, o.name, e.fields ? o.name AND o.differs AS differs, o.is_newer
            FROM (
                VALUES
                    (1, 'email',      e.fields ->> 'email'      IS DISTINCT FROM (h.row).email,      (h.versions).email      > e.version),
                    (2, 'first_name', e.fields ->> 'first_name' IS DISTINCT FROM (h.row).first_name, (h.versions).first_name > e.version),
                    (3, 'last_name',  e.fields ->> 'last_name'  IS DISTINCT FROM (h.row).last_name,  (h.versions).last_name  > e.version),
                    (4, 'username',   e.fields ->> 'username'   IS DISTINCT FROM (h.row).username,   (h.versions).username   > e.version),
                    (5, 'image_url',  e.fields ->> 'image_url'  IS DISTINCT FROM (h.row).image_url,  (h.versions).image_url  > e.version),
                    -- JavaScript keeps milliseconds, PostgreSQL microseconds.
                    (6, 'created_at',
                        date_trunc('milliseconds', (e.fields ->> 'created_at')::timestamptz)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).created_at),
                        (h.versions).created_at > e.version),
                    (7, 'updated_at',
                        date_trunc('milliseconds', (e.fields ->> 'updated_at')::timestamptz)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).updated_at),
                        (h.versions).updated_at > e.version),
                    (8, 'last_sign_in_at',
                        date_trunc('milliseconds', (e.fields ->> 'last_sign_in_at')::timestamptz)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).last_sign_in_at)
                        AND (e.sign_in_is_least AND (e.fields ->> 'last_sign_in_at')::timestamptz < (h.row).last_sign_in_at) IS NOT TRUE,
                        (h.versions).last_sign_in_at > e.version),
                    (9, 'deleted_at',
                        (e.fields ->> 'deleted_at')::timestamptz IS DISTINCT FROM (h.row).deleted_at,
                        (h.versions).deleted_at > e.life_version)
            ) AS o (place, name, differs, is_newer)
        ) AS p
    ) AS found
    CROSS JOIN LATERAL (
        SELECT found.columns, found.is_disputed, found.is_quiet, CASE WHEN found.is_quiet THEN found.sign_in ELSE '{}' END AS quiet_columns
    ) AS verdict
    CROSS JOIN LATERAL (
        SELECT
            coalesce(array_agg(k.key ORDER BY k.key) FILTER (WHERE k.counts), '{}')                                      AS differing,
            coalesce(array_agg(k.key ORDER BY k.key) FILTER (WHERE k.counts AND NOT p_rules -> 'quiet' ? k.key), '{}')   AS loud,
            coalesce(array_agg('raw.' || k.key ORDER BY k.key) FILTER (WHERE NOT k.counts), '{}')                        AS tolerated
        FROM (
            SELECT
                d.key,
                CASE
                    WHEN p_rules -> 'computed' ? d.key THEN false
                    WHEN d.here IS NOT NULL AND d.there IS NOT NULL OR p_rules -> 'complete' ? d.key THEN true
                    WHEN d.there IS NULL THEN p_is_whole AND coalesce(h.is_read, false)
                    ELSE coalesce(h.is_read, true)
                END AS counts
            FROM (
                SELECT coalesce(a.key, b.key) AS key, nullif(a.value, 'null') AS here, nullif(b.value, 'null') AS there
                FROM jsonb_each(CASE WHEN (h.row).raw IS DISTINCT FROM e.raw THEN (h.row).raw END) AS a
                FULL JOIN jsonb_each(CASE WHEN (h.row).raw IS DISTINCT FROM e.raw THEN e.raw END) AS b ON b.key = a.key
                WHERE a.value IS DISTINCT FROM b.value
            ) AS d
            WHERE e.raw IS NOT NULL
              AND NOT capydb_auth.is_same_value(d.here, d.there, p_rules -> 'loose' ? d.key, 32)
        ) AS k
    ) AS object
    CROSS JOIN LATERAL (
        SELECT CASE WHEN object.differing = '{}' THEN verdict.columns ELSE verdict.columns || 'raw'::text END AS columns
    ) AS c;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.compare_users(jsonb, jsonb, boolean)
    IS 'Tells how users as the provider has them differ from the mirror; changes nothing.';
