-- apply_round applies events of which no two are about the same user, all at
-- once. It is the body of apply_events and is called by nothing else.
--
-- Repeatable: an event that is in the ledger has no effect; it is reported as a
--             duplicate, or with its first outcome to the delivery that brought it.
--             One that is kept out of the ledger (in_ledger false) is harmless because
--             the greatest version wins, however often it comes.
-- Order:      of no matter; each column keeps the value with the greatest version. Of
--             events without a clock see merge_unclocked.
-- Result:     one row an event. Ledger, users, user_versions and user_changes
--             change together or not at all.
--
-- A placeholder (see ensure_user) counts as no row: the first event about its user
-- is the one that creates the user.
--
-- Every table is reached by its primary key, once an event. The planner is held
-- to that (the LIMITs and the SET clauses below): a plan made while the tables were
-- empty would read them whole, and would be kept while they grow.
CREATE OR REPLACE FUNCTION capydb_auth.apply_round(
    p_events jsonb[]
)
RETURNS TABLE (ordinal integer, outcome text, reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH event AS MATERIALIZED (
        SELECT
            (d.doc ->> 'ordinal')::integer         AS ordinal,
            d.doc ->> 'provider'                   AS provider,
            d.doc ->> 'event_id'                   AS event_id,
            (d.doc ->> 'id_is_digest')::boolean    AS id_is_digest,
            d.doc ->> 'user_id'                    AS user_id,
            (d.doc ->> 'inbox_id')::bigint         AS inbox_id,
            (d.doc ->> 'inbox_ordinal')::integer   AS inbox_ordinal,
            (d.doc ->> 'received_at')::timestamptz AS received_at,
            coalesce((d.doc ->> 'in_ledger')::boolean, true) AS in_ledger,
            d.doc -> 'fields'                        AS fields,
            d.doc ? 'last_sign_in_at_is_least'     AS sign_in_is_least,
            d.doc -> 'raw'                         AS raw,
            -- The clock of the profile, and that of being there or deleted:
            -- two, because a deletion carries the profile as it was before.
            ROW((d.doc ->> 'at')::timestamptz,
                (d.doc ->> 'sent_at')::timestamptz,
                d.doc ->> 'event_id',
                (d.doc ->> 'arrived_at')::timestamptz)::capydb_auth.version AS version,
            ROW(coalesce(d.doc ->> 'deleted_clock', d.doc ->> 'at')::timestamptz,
                (d.doc ->> 'sent_at')::timestamptz,
                d.doc ->> 'event_id',
                (d.doc ->> 'arrived_at')::timestamptz)::capydb_auth.version AS life_version,
            d.doc ? 'at_is_receipt'                AS profile_is_unclocked,
            CASE WHEN d.doc ? 'deleted_clock'
                THEN d.doc ? 'deleted_clock_is_receipt'
                ELSE d.doc ? 'at_is_receipt'
            END                                    AS life_is_unclocked
        FROM unnest(p_events) AS d (doc)
    ),
    merge AS MATERIALIZED (
        SELECT
            e.ordinal, e.provider, e.event_id, e.user_id, e.inbox_id, e.inbox_ordinal, e.received_at, e.in_ledger,
            e.version, e.life_version,
            x.fields, x.raw, x.merged,
            u.stored AS old,
            v.stored AS was,
            u.last_event_processed IS NULL AS is_new,
            l.outcome IS NOT NULL        AS is_known,
            coalesce(l.is_same, false)   AS is_same,
            l.inbox_id                   AS known_inbox_id,
            l.outcome                    AS known_outcome,
            l.reason                     AS known_reason,
            -- A column is set if the event has it and no greater version set it. A
            -- column that nobody said has no version, and the comparison is NULL.
            -- Where clocks alone do not decide, fields holds what is to be set.
            x.fields ? 'email'           AND (x.merged IS NOT NULL OR (e.version > v.email)           IS NOT FALSE) AS sets_email,
            x.fields ? 'first_name'      AND (x.merged IS NOT NULL OR (e.version > v.first_name)      IS NOT FALSE) AS sets_first_name,
            x.fields ? 'last_name'       AND (x.merged IS NOT NULL OR (e.version > v.last_name)       IS NOT FALSE) AS sets_last_name,
            x.fields ? 'username'        AND (x.merged IS NOT NULL OR (e.version > v.username)        IS NOT FALSE) AS sets_username,
            x.fields ? 'image_url'       AND (x.merged IS NOT NULL OR (e.version > v.image_url)       IS NOT FALSE) AS sets_image_url,
            x.fields ? 'created_at'      AND (x.merged IS NOT NULL OR (e.version > v.created_at)      IS NOT FALSE) AS sets_created_at,
            x.fields ? 'updated_at'      AND (x.merged IS NOT NULL OR (e.version > v.updated_at)      IS NOT FALSE) AS sets_updated_at,
            x.fields ? 'last_sign_in_at'
                AND (x.merged IS NOT NULL OR e.sign_in_is_least OR (e.version > v.last_sign_in_at) IS NOT FALSE) AS sets_last_sign_in_at,
            x.fields ? 'deleted_at'      AND (x.merged IS NOT NULL OR (e.life_version > v.deleted_at) IS NOT FALSE) AS sets_deleted_at,
            x.raw IS NOT NULL          AND (x.merged IS NOT NULL OR (e.version > v.raw)             IS NOT FALSE) AS sets_raw
        FROM event AS e
        LEFT JOIN LATERAL (
            SELECT i AS stored, i.id, i.last_event_processed, i.last_sign_in_at
            FROM capydb_auth.users AS i
            WHERE i.id = e.user_id
            LIMIT 1
        ) AS u ON true
        -- By the id of users: versions of a row that somebody removed by hand do not
        -- count, not even after ensure_user made a placeholder in its place.
        LEFT JOIN LATERAL (
            SELECT i AS stored, i.*
            FROM capydb_auth.user_versions AS i
            WHERE i.user_id = u.id AND u.last_event_processed IS NOT NULL
            LIMIT 1
        ) AS v ON true
        LEFT JOIN LATERAL (
            SELECT
                p.inbox_id,
                p.outcome,
                p.reason,
                p.inbox_id = e.inbox_id AND p.inbox_ordinal = e.inbox_ordinal AS is_same
            FROM capydb_auth.processed_events AS p
            WHERE e.in_ledger
              AND p.provider = e.provider
              AND p.event_id = e.event_id
              AND p.user_id = e.user_id
              -- The digest of a body names an event for ten minutes only.
              AND (NOT e.id_is_digest
                   OR (p.received_at > e.received_at - interval '10 minutes'
                       AND p.received_at < e.received_at + interval '10 minutes'))
            ORDER BY is_same DESC, p.received_at
            LIMIT 1
        ) AS l ON true
        CROSS JOIN LATERAL (
            -- What is not before the last sign-in says nothing if a later one is known.
            SELECT CASE
                WHEN e.sign_in_is_least AND (e.fields ->> 'last_sign_in_at')::timestamptz <= u.last_sign_in_at
                    THEN e.fields - 'last_sign_in_at'
                ELSE e.fields
            END AS fields
        ) AS s
        CROSS JOIN LATERAL (
            SELECT CASE WHEN (e.profile_is_unclocked OR e.life_is_unclocked OR v.unclocked IS NOT NULL) AND l.outcome IS NULL THEN
                capydb_auth.merge_unclocked(
                    CASE WHEN e.raw IS NULL THEN s.fields ELSE s.fields || jsonb_build_object('raw', e.raw) END,
                    (e.life_version).received_at, e.version, e.life_version, e.profile_is_unclocked, e.life_is_unclocked, v.stored
                )
            END AS merged
            OFFSET 0 -- once an event, not once a use
        ) AS m
        CROSS JOIN LATERAL (
            SELECT
                m.merged,
                coalesce(m.merged -> 'shown', s.fields) AS fields,
                CASE WHEN m.merged IS NULL THEN e.raw ELSE m.merged -> 'shown' -> 'raw' END AS raw
            OFFSET 0
        ) AS x
    ),
    next AS MATERIALIZED (
        SELECT
            m.ordinal, m.provider, m.event_id, m.user_id, m.inbox_id, m.inbox_ordinal, m.received_at, m.in_ledger,
            m.version, m.life_version, m.merged, m.old, m.was, m.is_new,
            m.is_known, m.is_same, m.known_inbox_id, m.known_outcome, m.known_reason,
            m.sets_email, m.sets_first_name, m.sets_last_name, m.sets_username, m.sets_image_url,
            m.sets_created_at, m.sets_updated_at, m.sets_last_sign_in_at, m.sets_deleted_at, m.sets_raw,
            NOT m.is_known
                AND (m.sets_email OR m.sets_first_name OR m.sets_last_name OR m.sets_username
                     OR m.sets_image_url OR m.sets_created_at OR m.sets_updated_at
                     OR m.sets_last_sign_in_at OR m.sets_deleted_at OR m.sets_raw)    AS is_applied,
            -- It may have to be remembered without showing.
            coalesce((m.merged -> 'is_noted')::boolean, false)                        AS is_noted,
            greatest((m.version).at, (m.life_version).at)                             AS clock,
            CASE WHEN m.sets_email           THEN m.fields ->> 'email'      ELSE (m.old).email      END AS email,
            CASE WHEN m.sets_first_name      THEN m.fields ->> 'first_name' ELSE (m.old).first_name END AS first_name,
            CASE WHEN m.sets_last_name       THEN m.fields ->> 'last_name'  ELSE (m.old).last_name  END AS last_name,
            CASE WHEN m.sets_username        THEN m.fields ->> 'username'   ELSE (m.old).username   END AS username,
            CASE WHEN m.sets_image_url       THEN m.fields ->> 'image_url'  ELSE (m.old).image_url  END AS image_url,
            CASE WHEN m.sets_created_at
                THEN (m.fields ->> 'created_at')::timestamptz      ELSE (m.old).created_at      END     AS created_at,
            CASE WHEN m.sets_updated_at
                THEN (m.fields ->> 'updated_at')::timestamptz      ELSE (m.old).updated_at      END     AS updated_at,
            CASE WHEN m.sets_last_sign_in_at
                THEN (m.fields ->> 'last_sign_in_at')::timestamptz ELSE (m.old).last_sign_in_at END     AS last_sign_in_at,
            CASE WHEN m.sets_deleted_at
                THEN (m.fields ->> 'deleted_at')::timestamptz      ELSE (m.old).deleted_at      END     AS deleted_at,
            CASE WHEN m.sets_raw             THEN m.raw                   ELSE (m.old).raw        END AS raw
        FROM merge AS m
    ),
    write_users AS (
        INSERT INTO capydb_auth.users AS u (
            id, email, first_name, last_name, username, image_url,
            created_at, updated_at, last_sign_in_at, deleted_at, raw, provider, last_event_processed
        )
        SELECT
            n.user_id, n.email, n.first_name, n.last_name, n.username, n.image_url,
            n.created_at, n.updated_at, n.last_sign_in_at, n.deleted_at, n.raw, n.provider, n.clock
        FROM next AS n
        WHERE n.is_applied OR n.is_noted
        ON CONFLICT (id) DO UPDATE SET
            email                = excluded.email,
            first_name           = excluded.first_name,
            last_name            = excluded.last_name,
            username             = excluded.username,
            image_url            = excluded.image_url,
            created_at           = excluded.created_at,
            updated_at           = excluded.updated_at,
            last_sign_in_at      = excluded.last_sign_in_at,
            deleted_at           = excluded.deleted_at,
            raw                  = excluded.raw,
            provider             = CASE
                WHEN u.last_event_processed IS NULL
                    OR (excluded.last_event_processed, excluded.provider) > (u.last_event_processed, u.provider)
                THEN excluded.provider
                ELSE u.provider
            END,
            last_event_processed = greatest(u.last_event_processed, excluded.last_event_processed),
            placeholder_since    = NULL
        RETURNING u.id
    ),
    write_versions AS (
        INSERT INTO capydb_auth.user_versions (
            user_id, email, first_name, last_name, username, image_url,
            created_at, updated_at, last_sign_in_at, deleted_at, raw, unclocked
        )
        SELECT
            n.user_id,
            CASE WHEN coalesce(r.raised ? 'email',           n.sets_email)          THEN n.version      ELSE (n.was).email           END,
            CASE WHEN coalesce(r.raised ? 'first_name',      n.sets_first_name)     THEN n.version      ELSE (n.was).first_name      END,
            CASE WHEN coalesce(r.raised ? 'last_name',       n.sets_last_name)      THEN n.version      ELSE (n.was).last_name       END,
            CASE WHEN coalesce(r.raised ? 'username',        n.sets_username)       THEN n.version      ELSE (n.was).username        END,
            CASE WHEN coalesce(r.raised ? 'image_url',       n.sets_image_url)      THEN n.version      ELSE (n.was).image_url       END,
            CASE WHEN coalesce(r.raised ? 'created_at',      n.sets_created_at)     THEN n.version      ELSE (n.was).created_at      END,
            CASE WHEN coalesce(r.raised ? 'updated_at',      n.sets_updated_at)     THEN n.version      ELSE (n.was).updated_at      END,
            CASE WHEN coalesce(r.raised ? 'last_sign_in_at', n.sets_last_sign_in_at)THEN n.version      ELSE (n.was).last_sign_in_at END,
            CASE WHEN coalesce(r.raised ? 'deleted_at',      n.sets_deleted_at)     THEN n.life_version ELSE (n.was).deleted_at      END,
            CASE WHEN coalesce(r.raised ? 'raw',             n.sets_raw)            THEN n.version      ELSE (n.was).raw             END,
            nullif(n.merged -> 'unclocked', 'null')
        FROM next AS n
        CROSS JOIN LATERAL (SELECT n.merged -> 'raised' AS raised OFFSET 0) AS r
        WHERE n.is_applied OR n.is_noted
        ON CONFLICT (user_id) DO UPDATE SET
            email           = excluded.email,
            first_name      = excluded.first_name,
            last_name       = excluded.last_name,
            username        = excluded.username,
            image_url       = excluded.image_url,
            created_at      = excluded.created_at,
            updated_at      = excluded.updated_at,
            last_sign_in_at = excluded.last_sign_in_at,
            deleted_at      = excluded.deleted_at,
            raw             = excluded.raw,
            unclocked       = excluded.unclocked
    ),
    change AS (
        SELECT
            n.*,
            array_remove(ARRAY[
                CASE WHEN n.email           IS DISTINCT FROM (n.old).email           THEN 'email' END,
                CASE WHEN n.first_name      IS DISTINCT FROM (n.old).first_name      THEN 'first_name' END,
                CASE WHEN n.last_name       IS DISTINCT FROM (n.old).last_name       THEN 'last_name' END,
                CASE WHEN n.username        IS DISTINCT FROM (n.old).username        THEN 'username' END,
                CASE WHEN n.image_url       IS DISTINCT FROM (n.old).image_url       THEN 'image_url' END,
                CASE WHEN n.created_at      IS DISTINCT FROM (n.old).created_at      THEN 'created_at' END,
                CASE WHEN n.updated_at      IS DISTINCT FROM (n.old).updated_at      THEN 'updated_at' END,
                CASE WHEN n.last_sign_in_at IS DISTINCT FROM (n.old).last_sign_in_at THEN 'last_sign_in_at' END,
                CASE WHEN n.deleted_at      IS DISTINCT FROM (n.old).deleted_at      THEN 'deleted_at' END,
                CASE WHEN n.raw             IS DISTINCT FROM (n.old).raw             THEN 'raw' END
            ], NULL) AS changed,
            -- The others, to be left out of before and after.
            array_remove(ARRAY[
                CASE WHEN n.email           IS NOT DISTINCT FROM (n.old).email           THEN 'email' END,
                CASE WHEN n.first_name      IS NOT DISTINCT FROM (n.old).first_name      THEN 'first_name' END,
                CASE WHEN n.last_name       IS NOT DISTINCT FROM (n.old).last_name       THEN 'last_name' END,
                CASE WHEN n.username        IS NOT DISTINCT FROM (n.old).username        THEN 'username' END,
                CASE WHEN n.image_url       IS NOT DISTINCT FROM (n.old).image_url       THEN 'image_url' END,
                CASE WHEN n.created_at      IS NOT DISTINCT FROM (n.old).created_at      THEN 'created_at' END,
                CASE WHEN n.updated_at      IS NOT DISTINCT FROM (n.old).updated_at      THEN 'updated_at' END,
                CASE WHEN n.last_sign_in_at IS NOT DISTINCT FROM (n.old).last_sign_in_at THEN 'last_sign_in_at' END,
                CASE WHEN n.deleted_at      IS NOT DISTINCT FROM (n.old).deleted_at      THEN 'deleted_at' END,
                CASE WHEN n.raw             IS NOT DISTINCT FROM (n.old).raw             THEN 'raw' END
            ], NULL) AS unchanged
        FROM next AS n
        WHERE n.is_applied
    ),
    write_changes AS (
        INSERT INTO capydb_auth.user_changes (user_id, kind, changed, before, after, provider, event_id, event_at)
        SELECT
            c.user_id,
            CASE
                WHEN c.deleted_at IS NOT NULL AND (c.old).deleted_at IS NULL THEN 'deleted'
                WHEN c.is_new THEN 'created'
                WHEN c.deleted_at IS NULL AND (c.old).deleted_at IS NOT NULL THEN 'restored'
                ELSE 'updated'
            END,
            c.changed,
            CASE WHEN NOT c.is_new THEN
                jsonb_build_object(
                    'email', (c.old).email, 'first_name', (c.old).first_name, 'last_name', (c.old).last_name,
                    'username', (c.old).username, 'image_url', (c.old).image_url,
                    'created_at', (c.old).created_at, 'updated_at', (c.old).updated_at,
                    'last_sign_in_at', (c.old).last_sign_in_at, 'deleted_at', (c.old).deleted_at,
                    'raw', (c.old).raw
                ) - c.unchanged
            END,
            jsonb_build_object(
                'email', c.email, 'first_name', c.first_name, 'last_name', c.last_name,
                'username', c.username, 'image_url', c.image_url,
                'created_at', c.created_at, 'updated_at', c.updated_at,
                'last_sign_in_at', c.last_sign_in_at, 'deleted_at', c.deleted_at,
                'raw', c.raw
            ) - c.unchanged,
            c.provider,
            c.event_id,
            c.clock
        FROM change AS c
        WHERE cardinality(c.changed) > 0
        ORDER BY c.ordinal
    ),
    result AS (
        SELECT
            n.*,
            CASE
                WHEN n.is_same THEN n.known_outcome
                WHEN n.is_known THEN 'duplicate'
                WHEN n.is_applied AND NOT n.in_ledger AND NOT n.is_new
                    AND (n.email, n.first_name, n.last_name, n.username, n.image_url,
                         n.created_at, n.updated_at, n.last_sign_in_at, n.deleted_at, n.raw)
                        IS NOT DISTINCT FROM
                        ((n.old).email, (n.old).first_name, (n.old).last_name, (n.old).username, (n.old).image_url,
                         (n.old).created_at, (n.old).updated_at, (n.old).last_sign_in_at, (n.old).deleted_at, (n.old).raw)
                    THEN 'unchanged'
                WHEN n.is_applied THEN 'applied'
                ELSE 'stale'
            END AS outcome,
            CASE
                WHEN n.is_same THEN n.known_reason
                WHEN n.is_known THEN format('the same event came before, with delivery %s', n.known_inbox_id)
                WHEN NOT n.is_applied THEN 'newer events had said all of it before'
            END AS reason
        FROM next AS n
    ),
    write_ledger AS (
        INSERT INTO capydb_auth.processed_events (
            provider, event_id, user_id, received_at, inbox_id, inbox_ordinal, outcome, reason
        )
        SELECT r.provider, r.event_id, r.user_id, r.received_at, r.inbox_id, r.inbox_ordinal, r.outcome, r.reason
        FROM result AS r
        WHERE r.in_ledger AND NOT r.is_known
    )
    SELECT r.ordinal, r.outcome, r.reason
    FROM result AS r
    WHERE capydb_auth.require_all_written(
        (SELECT count(*) FROM write_users),
        (SELECT count(*) FROM next AS n WHERE n.is_applied OR n.is_noted)
    );
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.apply_round(jsonb[])
    IS 'Applies events about different users; called by apply_events only.';
