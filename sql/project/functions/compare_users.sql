-- compare_users finds how users as the provider has them differ from the mirror.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter. What it tells is as of now: a live event may come a moment later.
-- Result:     one row an event, with its ordinal:
--   finding     equal; missing: the mirror has no such user, or a placeholder only;
--               deleted: it has the user as deleted; differing; unreported: it differs in
--               nothing but what the provider sends no event for
--   columns     the columns of users that differ; of a missing user none
--   tolerated   what differs and does not count, such as raw.scim: keys of raw of which the one
--               form of a user object lacks, or that are true only at this moment
--   is_disputed for one of the columns the mirror has a greater version than the event's, so
--               that apply_events would leave it: the provider must be read again
--
-- p_events are those of apply_events. Everything is compared, by what it means: see
-- is_same_value. p_is_whole: the objects hold all that the provider knows of a user. p_rules
-- classifies the keys at the top of the object, as arrays of keys:
--   complete    every form has it when it has a value: where one lacks it, it was cleared
--   quiet       it may change without an event, as by a sign-in
--   loose       one form has less in it than another
--   computed    it is true only when it is read
-- A key that is in none of them and that only one object has counts if both were read by
-- authsync itself; what a webhook leaves out cannot be compared.
--
-- What is quiet, and last_sign_in_at, counts as unreported if updated_at is the same: then
-- nothing has happened that the provider would have sent an event for.
--
-- users is reached by its primary key, whatever the planner knows of it.
CREATE OR REPLACE FUNCTION capydb_auth.compare_users(
    p_events   capydb_auth.event[],
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
    SELECT
        e.ordinal,
        e.record_id,
        CASE
            WHEN h.is_missing THEN 'missing'
            WHEN h.deleted_at IS NOT NULL AND e.fields & 256 <> 0 AND e.deleted_at IS NULL THEN 'deleted'
            WHEN c.columns = '{}' THEN 'equal'
            WHEN verdict.quiet_columns = verdict.columns AND (object.differing = '{}' OR verdict.is_quiet AND object.loud = '{}')
                THEN 'unreported'
            ELSE 'differing'
        END,
        CASE WHEN h.is_missing THEN '{}' ELSE c.columns END,
        CASE WHEN h.is_missing THEN '{}' ELSE object.tolerated END,
        NOT h.is_missing AND c.columns <> '{}' AND (
            verdict.is_disputed
            OR (object.differing <> '{}' AND coalesce(h.raw_version > r.version, false))
            -- Versions alone do not decide there. (See merge_record.)
            OR coalesce((h.row).field_versions ? 'unclocked', false)
        )
    FROM unnest(p_events) AS e
    -- A look-up that no plan can turn into reading the table.
    LEFT JOIN LATERAL (
        SELECT i AS stored FROM capydb_auth.users AS i WHERE i.id = e.record_id LIMIT 1
    ) AS u ON true
    CROSS JOIN LATERAL (
        SELECT
            ROW(e.at, e.sent_at, e.event_id, NULL)::capydb_auth.version AS version,
            ROW(coalesce(e.deleted_clock, e.at), e.sent_at, e.event_id, NULL)::capydb_auth.version AS life_version
    ) AS r
    CROSS JOIN LATERAL (
        SELECT capydb_auth.version_of(
            (u.stored).last_event_processed, (u.stored).last_event_sent_at, (u.stored).last_event_id, (u.stored).last_event_fields,
            (u.stored).field_versions, 'raw', 512) AS raw_version
        OFFSET 0
    ) AS w
    CROSS JOIN LATERAL (
        SELECT
            w.raw_version,
            (u.stored).last_event_processed IS NULL AS is_missing,
            (u.stored).deleted_at                   AS deleted_at,
            u.stored                                AS row,
            -- What authsync has read itself is complete.
            coalesce(
                (u.stored).field_versions -> 'unclocked' -> 'raw' ->> 'event_id',
                (w.raw_version).event_id
            ) ~ '^(backfill|reconcile|refresh):' AS is_read
        OFFSET 0
    ) AS h
    CROSS JOIN LATERAL (
        SELECT
            coalesce(array_agg(p.name ORDER BY p.place) FILTER (WHERE p.differs), '{}')                               AS columns,
            coalesce(array_agg(p.name ORDER BY p.place) FILTER (WHERE p.differs AND p.name = 'last_sign_in_at'), '{}') AS sign_in,
            coalesce(bool_or(p.is_newer) FILTER (WHERE p.differs), false)                                             AS is_disputed,
            coalesce(bool_and(NOT p.differs) FILTER (WHERE p.name = 'updated_at'), true)                              AS is_quiet
        FROM (
            SELECT
                o.place, o.name, o.differs,
                o.differs AND capydb_auth.version_of(
                    (h.row).last_event_processed, (h.row).last_event_sent_at, (h.row).last_event_id, (h.row).last_event_fields,
                    (h.row).field_versions, o.name, 1 << (o.place - 1))
                    > CASE WHEN o.name = 'deleted_at' THEN r.life_version ELSE r.version END AS is_newer
            FROM (
                SELECT i.place, i.name, e.fields & (1 << (i.place - 1)) <> 0 AND i.differs AS differs
                FROM (
                    VALUES
                        (1, 'email',      e.email      IS DISTINCT FROM (h.row).email),
                        (2, 'first_name', e.first_name IS DISTINCT FROM (h.row).first_name),
                        (3, 'last_name',  e.last_name  IS DISTINCT FROM (h.row).last_name),
                        (4, 'username',   e.username   IS DISTINCT FROM (h.row).username),
                        (5, 'image_url',  e.image_url  IS DISTINCT FROM (h.row).image_url),
                        -- JavaScript keeps milliseconds, PostgreSQL microseconds.
                        (6, 'created_at', date_trunc('milliseconds', e.created_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).created_at)),
                        (7, 'updated_at', date_trunc('milliseconds', e.updated_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).updated_at)),
                        (8, 'last_sign_in_at', date_trunc('milliseconds', e.last_sign_in_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).last_sign_in_at)
                            AND (e.last_sign_in_at_is_least AND e.last_sign_in_at < (h.row).last_sign_in_at) IS NOT TRUE),
                        (9, 'deleted_at', e.deleted_at IS DISTINCT FROM (h.row).deleted_at)
                ) AS i (place, name, differs)
            ) AS o
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

COMMENT ON FUNCTION capydb_auth.compare_users(capydb_auth.event[], jsonb, boolean)
    IS 'Tells how users as the provider has them differ from the mirror; changes nothing.';
