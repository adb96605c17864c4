-- apply_round applies events that are about different users, all at once. It is
-- the body of apply_events and called by nothing else.
--
-- Repeatable: an event that is in the ledger has no effect and is reported as a
--             duplicate; the delivery that brought it first gets its old outcome.
-- Order:      of no matter: each value goes to the greatest version that said it.
-- Result:     one row an event. Ledger, users, user_versions and user_changes
--             change together or not at all.
CREATE OR REPLACE FUNCTION capydb_auth.apply_round(
    p_events jsonb[]
)
RETURNS TABLE (ordinal integer, outcome text, reason text)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $fn$
WITH event AS (
    SELECT
        (e.doc ->> 'ordinal')::integer                                   AS ordinal,
        e.doc ->> 'provider'                                             AS provider,
        e.doc ->> 'event_id'                                             AS event_id,
        e.doc ->> 'user_id'                                              AS user_id,
        (e.doc ->> 'received_at')::timestamptz                           AS received_at,
        (e.doc ->> 'inbox_id')::bigint                                   AS inbox_id,
        coalesce((e.doc ->> 'id_is_digest')::boolean, false)             AS id_is_digest,
        coalesce(e.doc -> 'says', '{}')                                  AS says,
        e.doc -> 'raw'                                                   AS raw,
        ROW((e.doc ->> 'at')::timestamptz, (e.doc ->> 'sent_at')::timestamptz, e.doc ->> 'event_id')::capydb_auth.version
                                                                         AS version,
        ROW(coalesce(e.doc ->> 'deleted_clock', e.doc ->> 'at')::timestamptz, (e.doc ->> 'sent_at')::timestamptz, e.doc ->> 'event_id')::capydb_auth.version
                                                                         AS life_version
    FROM unnest(p_events) AS e (doc)
),
known AS (
    SELECT DISTINCT ON (e.ordinal)
        e.ordinal,
        CASE WHEN l.inbox_id = e.inbox_id THEN l.outcome ELSE 'duplicate' END AS outcome,
        CASE
            WHEN l.inbox_id = e.inbox_id THEN l.reason
            ELSE format('the same event came with delivery %s and was %s', l.inbox_id, l.outcome)
        END                                                                   AS reason
    FROM event AS e
    JOIN capydb_auth.processed_events AS l
      ON  l.provider = e.provider
      AND l.event_id = e.event_id
      AND l.user_id  = e.user_id
      AND (NOT e.id_is_digest
           OR (l.received_at > e.received_at - interval '10 minutes'
               AND l.received_at < e.received_at + interval '10 minutes'))
    ORDER BY e.ordinal, (l.inbox_id = e.inbox_id) DESC, l.received_at
),
merge AS (
    SELECT
        e.*,
        u AS old,
        v AS old_versions,
        u.id IS NULL AS is_new,
        e.says ? 'email'           AND (e.version > v.email)           IS NOT FALSE AS sets_email,
        e.says ? 'first_name'      AND (e.version > v.first_name)      IS NOT FALSE AS sets_first_name,
        e.says ? 'last_name'       AND (e.version > v.last_name)       IS NOT FALSE AS sets_last_name,
        e.says ? 'username'        AND (e.version > v.username)        IS NOT FALSE AS sets_username,
        e.says ? 'image_url'       AND (e.version > v.image_url)       IS NOT FALSE AS sets_image_url,
        e.says ? 'created_at'      AND (e.version > v.created_at)      IS NOT FALSE AS sets_created_at,
        e.says ? 'updated_at'      AND (e.version > v.updated_at)      IS NOT FALSE AS sets_updated_at,
        e.says ? 'last_sign_in_at' AND (e.version > v.last_sign_in_at) IS NOT FALSE AS sets_last_sign_in_at,
        e.says ? 'deleted_at'      AND (e.life_version > v.deleted_at) IS NOT FALSE AS sets_deleted_at,
        e.raw IS NOT NULL          AND (e.version > v.raw)             IS NOT FALSE AS sets_raw
    FROM event AS e
    LEFT JOIN capydb_auth.users AS u ON u.id = e.user_id
    LEFT JOIN capydb_auth.user_versions AS v ON v.user_id = u.id
    WHERE NOT EXISTS (SELECT FROM known AS k WHERE k.ordinal = e.ordinal)
),
next AS MATERIALIZED (
    SELECT
        m.*,
        CASE WHEN m.sets_email           THEN m.says ->> 'email'                          ELSE (m.old).email           END AS email,
        CASE WHEN m.sets_first_name      THEN m.says ->> 'first_name'                     ELSE (m.old).first_name      END AS first_name,
        CASE WHEN m.sets_last_name       THEN m.says ->> 'last_name'                      ELSE (m.old).last_name       END AS last_name,
        CASE WHEN m.sets_username        THEN m.says ->> 'username'                       ELSE (m.old).username        END AS username,
        CASE WHEN m.sets_image_url       THEN m.says ->> 'image_url'                      ELSE (m.old).image_url       END AS image_url,
        CASE WHEN m.sets_created_at      THEN (m.says ->> 'created_at')::timestamptz      ELSE (m.old).created_at      END AS created_at,
        CASE WHEN m.sets_updated_at      THEN (m.says ->> 'updated_at')::timestamptz      ELSE (m.old).updated_at      END AS updated_at,
        CASE WHEN m.sets_last_sign_in_at THEN (m.says ->> 'last_sign_in_at')::timestamptz ELSE (m.old).last_sign_in_at END AS last_sign_in_at,
        CASE WHEN m.sets_deleted_at      THEN (m.says ->> 'deleted_at')::timestamptz      ELSE (m.old).deleted_at      END AS deleted_at,
        CASE WHEN m.sets_raw             THEN m.raw                                       ELSE (m.old).raw             END AS next_raw,
        greatest((m.version).at, (m.life_version).at)                                                                     AS clock,
        (m.sets_email OR m.sets_first_name OR m.sets_last_name OR m.sets_username OR m.sets_image_url OR m.sets_created_at
            OR m.sets_updated_at OR m.sets_last_sign_in_at OR m.sets_deleted_at OR m.sets_raw)                            AS is_applied
    FROM merge AS m
),
write_users AS (
    INSERT INTO capydb_auth.users AS u (
        id, email, first_name, last_name, username, image_url,
        created_at, updated_at, last_sign_in_at, deleted_at, raw, provider, last_event_processed
    )
    SELECT
        n.user_id, n.email, n.first_name, n.last_name, n.username, n.image_url,
        n.created_at, n.updated_at, n.last_sign_in_at, n.deleted_at, n.next_raw, n.provider, n.clock
    FROM next AS n
    WHERE n.is_applied
    ON CONFLICT (id) DO UPDATE SET
        email = excluded.email, first_name = excluded.first_name, last_name = excluded.last_name,
        username = excluded.username, image_url = excluded.image_url,
        created_at = excluded.created_at, updated_at = excluded.updated_at,
        last_sign_in_at = excluded.last_sign_in_at, deleted_at = excluded.deleted_at, raw = excluded.raw,
        provider = CASE WHEN ROW(excluded.last_event_processed, excluded.provider) > ROW(u.last_event_processed, u.provider)
                        THEN excluded.provider ELSE u.provider END,
        last_event_processed = greatest(u.last_event_processed, excluded.last_event_processed)
),
write_versions AS (
    INSERT INTO capydb_auth.user_versions AS v (
        user_id, email, first_name, last_name, username, image_url,
        created_at, updated_at, last_sign_in_at, deleted_at, raw
    )
    SELECT
        n.user_id,
        CASE WHEN n.sets_email           THEN n.version      ELSE (n.old_versions).email           END,
        CASE WHEN n.sets_first_name      THEN n.version      ELSE (n.old_versions).first_name      END,
        CASE WHEN n.sets_last_name       THEN n.version      ELSE (n.old_versions).last_name       END,
        CASE WHEN n.sets_username        THEN n.version      ELSE (n.old_versions).username        END,
        CASE WHEN n.sets_image_url       THEN n.version      ELSE (n.old_versions).image_url       END,
        CASE WHEN n.sets_created_at      THEN n.version      ELSE (n.old_versions).created_at      END,
        CASE WHEN n.sets_updated_at      THEN n.version      ELSE (n.old_versions).updated_at      END,
        CASE WHEN n.sets_last_sign_in_at THEN n.version      ELSE (n.old_versions).last_sign_in_at END,
        CASE WHEN n.sets_deleted_at      THEN n.life_version ELSE (n.old_versions).deleted_at      END,
        CASE WHEN n.sets_raw             THEN n.version      ELSE (n.old_versions).raw             END
    FROM next AS n
    WHERE n.is_applied
    ON CONFLICT (user_id) DO UPDATE SET
        email = excluded.email, first_name = excluded.first_name, last_name = excluded.last_name,
        username = excluded.username, image_url = excluded.image_url,
        created_at = excluded.created_at, updated_at = excluded.updated_at,
        last_sign_in_at = excluded.last_sign_in_at, deleted_at = excluded.deleted_at, raw = excluded.raw
),
write_changes AS (
    INSERT INTO capydb_auth.user_changes (user_id, kind, changed, before, after, provider, event_id, event_at)
    SELECT
        c.user_id,
        CASE
            WHEN c.deleted_at IS NOT NULL AND (c.old).deleted_at IS NULL     THEN 'deleted'
            WHEN c.is_new                                                    THEN 'created'
            WHEN c.deleted_at IS NULL     AND (c.old).deleted_at IS NOT NULL THEN 'restored'
            ELSE 'updated'
        END,
        c.changed,
        CASE WHEN NOT c.is_new THEN
            jsonb_build_object(
                'email', (c.old).email, 'first_name', (c.old).first_name, 'last_name', (c.old).last_name,
                'username', (c.old).username, 'image_url', (c.old).image_url,
                'created_at', (c.old).created_at, 'updated_at', (c.old).updated_at,
                'last_sign_in_at', (c.old).last_sign_in_at, 'deleted_at', (c.old).deleted_at, 'raw', (c.old).raw
            ) - c.unchanged
        END,
        jsonb_build_object(
            'email', c.email, 'first_name', c.first_name, 'last_name', c.last_name,
            'username', c.username, 'image_url', c.image_url,
            'created_at', c.created_at, 'updated_at', c.updated_at,
            'last_sign_in_at', c.last_sign_in_at, 'deleted_at', c.deleted_at, 'raw', c.next_raw
        ) - c.unchanged,
        c.provider,
        c.event_id,
        c.clock
    FROM (
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
                CASE WHEN n.next_raw        IS DISTINCT FROM (n.old).raw             THEN 'raw' END
            ], NULL) AS changed,
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
                CASE WHEN n.next_raw        IS NOT DISTINCT FROM (n.old).raw             THEN 'raw' END
            ], NULL) AS unchanged
        FROM next AS n
        WHERE n.is_applied
    ) AS c
    WHERE cardinality(c.changed) > 0
    ORDER BY c.ordinal
),
result AS (
    SELECT
        n.ordinal,
        CASE WHEN n.is_applied THEN 'applied' ELSE 'stale' END AS outcome,
        CASE WHEN NOT n.is_applied THEN
            'newer events had already said all it says'
        END AS reason
    FROM next AS n
),
write_ledger AS (
    INSERT INTO capydb_auth.processed_events (provider, event_id, user_id, received_at, inbox_id, outcome, reason)
    SELECT n.provider, n.event_id, n.user_id, n.received_at, n.inbox_id, r.outcome, r.reason
    FROM next AS n
    JOIN result AS r USING (ordinal)
)
SELECT r.ordinal, r.outcome, r.reason FROM result AS r
UNION ALL
SELECT k.ordinal, k.outcome, k.reason FROM known AS k;
$fn$;
