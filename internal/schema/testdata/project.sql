CREATE SCHEMA capydb_auth;

COMMENT ON SCHEMA capydb_auth IS 'authsync: the users of the identity provider. Read it, join it; only authsync writes to it.';

CREATE TYPE capydb_auth.version AS (
	at timestamp with time zone,
	sent_at timestamp with time zone,
	event_id text COLLATE pg_catalog."C",
	received_at timestamp with time zone
);

COMMENT ON TYPE capydb_auth.version IS 'When (provider clock, then time sent) and by which event a value was set; the greater one wins.';

COMMENT ON COLUMN capydb_auth.version.received_at IS 'When the event was received, if its clock was ahead of that; otherwise NULL.';

CREATE FUNCTION capydb_auth.apply_around_locks(p_events jsonb) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    c_locked   constant text := 'the user is locked by another transaction in the project''s database';
    c_lock     constant text := 'a lock that is needed to write the user is held by another transaction in the project''s database';
    c_waits    constant integer := 20;
    v_busy     text[];
    v_free     jsonb;
    v_event    jsonb;
    v_waits    integer := 0;
    v_ordinals integer[];
    v_outcomes text[];
    v_reasons  text[];
BEGIN
    SELECT coalesce(array_agg(a.user_id) FILTER (WHERE h.is_there AND t.is_taken IS NULL), '{}')
    INTO v_busy
    FROM (SELECT DISTINCT d.doc ->> 'user_id' AS user_id FROM jsonb_array_elements(p_events) AS d (doc)) AS a
    LEFT JOIN LATERAL (
        SELECT true AS is_there FROM capydb_auth.users AS i WHERE i.id = a.user_id LIMIT 1
    ) AS h ON true
    LEFT JOIN LATERAL (
        SELECT true AS is_taken FROM capydb_auth.users AS i WHERE i.id = a.user_id LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS t ON true;

    RETURN QUERY
    SELECT (d.doc ->> 'ordinal')::integer, 'deferred', c_locked
    FROM jsonb_array_elements(p_events) AS d (doc)
    WHERE d.doc ->> 'user_id' = ANY (v_busy);

    SELECT coalesce(jsonb_agg(d.doc ORDER BY d.place), '[]')
    INTO v_free
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS d (doc, place)
    WHERE d.doc ->> 'user_id' <> ALL (v_busy);

    BEGIN
        -- By way of variables: rows that were returned would stay after an error.
        SELECT array_agg(r.ordinal), array_agg(r.outcome), array_agg(r.reason)
        INTO v_ordinals, v_outcomes, v_reasons
        FROM capydb_auth.apply_rounds(v_free) AS r;

        RETURN QUERY
        SELECT r.ordinal, r.outcome, r.reason
        FROM unnest(v_ordinals, v_outcomes, v_reasons) AS r (ordinal, outcome, reason);
        RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
        v_busy := '{}';
    END;

    FOR v_event IN
        SELECT d.doc
        FROM jsonb_array_elements(v_free) WITH ORDINALITY AS d (doc, place)
        ORDER BY d.place
    LOOP
        outcome := NULL;
        IF v_waits < c_waits AND v_event ->> 'user_id' <> ALL (v_busy) THEN
            BEGIN
                SELECT r.ordinal, r.outcome, r.reason
                INTO STRICT ordinal, outcome, reason
                FROM capydb_auth.apply_rounds(jsonb_build_array(v_event)) AS r;
            EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
                v_waits := v_waits + 1;
                v_busy := v_busy || (v_event ->> 'user_id');
            END;
        END IF;
        IF outcome IS NULL THEN
            ordinal := (v_event ->> 'ordinal')::integer;
            outcome := 'deferred';
            reason := c_lock;
        END IF;
        RETURN NEXT;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_around_locks(p_events jsonb) IS 'Applies events, except those that need what another transaction has locked; called by apply_events only.';

CREATE FUNCTION capydb_auth.apply_events(p_events jsonb) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    v_before   bigint;
    v_last     bigint;
    v_ordinals integer[];
    v_outcomes text[];
    v_reasons  text[];
BEGIN
    PERFORM capydb_auth.lock_mirror();

    v_before := capydb_auth.change_cursor(NULL);

    BEGIN
        SELECT array_agg(r.ordinal), array_agg(r.outcome), array_agg(r.reason)
        INTO v_ordinals, v_outcomes, v_reasons
        FROM capydb_auth.apply_rounds(p_events) AS r;
    EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
        SELECT array_agg(r.ordinal), array_agg(r.outcome), array_agg(r.reason)
        INTO v_ordinals, v_outcomes, v_reasons
        FROM capydb_auth.apply_around_locks(p_events) AS r;
    END;

    v_last := capydb_auth.change_cursor(NULL);
    IF v_last > v_before THEN
        PERFORM pg_notify('capydb_auth_changes', v_last::text);
    END IF;

    RETURN QUERY
    SELECT r.ordinal, r.outcome, r.reason
    FROM unnest(v_ordinals, v_outcomes, v_reasons) AS r (ordinal, outcome, reason);
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_events(p_events jsonb) IS 'Applies a batch of a provider''s events to the mirror, each exactly once, in any order.';

CREATE FUNCTION capydb_auth.apply_next(p_events jsonb, p_epoch uuid, p_applied_to bigint, p_at timestamp with time zone) RETURNS TABLE(ordinal integer, outcome text, reason text, applied_to bigint, change_id bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    v_applied_to bigint;
BEGIN
    PERFORM capydb_auth.lock_mirror();

    UPDATE capydb_auth.mirror_progress AS p
    -- Of two clocks the one that is behind: what was applied since is lost by a restore.
    SET applied_to = p.applied_to + 1, applied_at = least(p_at, clock_timestamp())
    WHERE p.epoch = p_epoch AND p.applied_to >= p_applied_to
    RETURNING p.applied_to INTO v_applied_to;
    IF v_applied_to IS NULL THEN
        RAISE EXCEPTION 'the mirror has lost calls that were applied to it: it was restored from a backup, or made anew'
            USING ERRCODE = 'US004', HINT = 'authsync repairs it by itself; see authsync doctor.';
    END IF;

    RETURN QUERY
    SELECT
        e.ordinal, e.outcome, e.reason, v_applied_to,
        -- A subquery, so that it is looked up once a call: when the events have been applied.
        (SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('capydb_auth.user_changes', 'id')::regclass), 0))
    FROM capydb_auth.apply_events(p_events) AS e;
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_next(p_events jsonb, p_epoch uuid, p_applied_to bigint, p_at timestamp with time zone) IS 'Applies a batch of events as the call that follows those which the caller knows of.';

CREATE FUNCTION capydb_auth.apply_round(p_events jsonb[]) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
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
$$;

COMMENT ON FUNCTION capydb_auth.apply_round(p_events jsonb[]) IS 'Applies events about different users; called by apply_events only.';

CREATE FUNCTION capydb_auth.apply_rounds(p_events jsonb) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
#variable_conflict use_column
DECLARE
    v_round jsonb[];
BEGIN
    FOR v_round IN
        SELECT array_agg(e.doc ORDER BY e.place)
        FROM (
            SELECT
                d.doc,
                d.place,
                row_number() OVER (PARTITION BY d.doc ->> 'user_id' ORDER BY d.place) AS round
            FROM jsonb_array_elements(p_events) WITH ORDINALITY AS d (doc, place)
        ) AS e
        GROUP BY e.round
        ORDER BY e.round
    LOOP
        RETURN QUERY
        SELECT r.ordinal, r.outcome, r.reason
        FROM capydb_auth.apply_round(v_round) AS r;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_rounds(p_events jsonb) IS 'Applies events, several about one user one after another; called by apply_events only.';

CREATE FUNCTION capydb_auth.change_cursor(p_at timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
BEGIN
    RETURN coalesce((
        SELECT c.id
        FROM capydb_auth.user_changes AS c
        WHERE p_at IS NULL OR c.changed_at < p_at
        ORDER BY c.id DESC
        LIMIT 1
    ), 0);
END;
$$;

COMMENT ON FUNCTION capydb_auth.change_cursor(p_at timestamp with time zone) IS 'The id of the newest change before a time, to read on behind.';

CREATE FUNCTION capydb_auth.changes_by_id(p_ids bigint[]) RETURNS TABLE(id bigint, user_id text, kind text, changed text[], user_row jsonb, before_row jsonb, provider text, event_id text, event_at timestamp with time zone, changed_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'on'
    AS $$
DECLARE
    v_change record;
    v_row    jsonb;
    v_user   text;
BEGIN
    FOR v_change IN
        WITH requested AS MATERIALIZED (
            SELECT c.id, c.user_id
            FROM unnest(p_ids) AS a (id)
            CROSS JOIN LATERAL (
                SELECT i.id, i.user_id FROM capydb_auth.user_changes AS i WHERE i.id = a.id LIMIT 1
            ) AS c
        ),
        span AS MATERIALIZED (
            SELECT a.user_id, min(a.id) AS first_id, array_agg(a.id) AS ids
            FROM requested AS a
            GROUP BY a.user_id
        )
        SELECT c.*, c.id = ANY (s.ids) AS is_requested
        FROM span AS s
        -- By both columns of the index, so that no plan can walk through the feed by id.
        CROSS JOIN LATERAL (
            SELECT i.*
            FROM capydb_auth.user_changes AS i
            WHERE (i.user_id, i.id) >= (s.user_id, s.first_id)
              AND (i.user_id, i.id) <= (s.user_id, 9223372036854775807)
            ORDER BY i.user_id DESC, i.id DESC
            LIMIT 9223372036854775807
        ) AS c
        ORDER BY c.user_id, c.id DESC
    LOOP
        IF v_user IS DISTINCT FROM v_change.user_id THEN
            v_user := v_change.user_id;
            -- Once a user: joined to each of the changes it is written as often as the user changed.
            SELECT capydb_auth.user_row(u) INTO v_row FROM capydb_auth.users AS u WHERE u.id = v_user;
            -- A row that somebody removed by hand is known by its changes only.
            v_row := coalesce(v_row, capydb_auth.user_row(
                jsonb_populate_record(NULL::capydb_auth.users, jsonb_build_object('id', v_user))
            ));
        END IF;
        -- Before and after have the same keys: of those that are only walked over, before is enough.
        IF v_change.is_requested OR v_change.before IS NULL THEN
            v_row := v_row || v_change.after;
        END IF;
        IF v_change.is_requested THEN
            id := v_change.id;
            user_id := v_change.user_id;
            kind := v_change.kind;
            changed := v_change.changed;
            user_row := v_row;
            before_row := v_row || v_change.before;
            provider := v_change.provider;
            event_id := v_change.event_id;
            event_at := v_change.event_at;
            changed_at := v_change.changed_at;
            RETURN NEXT;
        END IF;
        v_row := v_row || coalesce(v_change.before, '{}');
    END LOOP;
END;
$$;

COMMENT ON FUNCTION capydb_auth.changes_by_id(p_ids bigint[]) IS 'Changes of the feed with the whole row as each left it and as it was before.';

CREATE FUNCTION capydb_auth.clocks_of_users(p_user_ids text[]) RETURNS TABLE(user_id text, provider text, is_placeholder boolean, is_deleted boolean, at timestamp with time zone, sent_at timestamp with time zone, life_at timestamp with time zone, life_sent_at timestamp with time zone, received_at timestamp with time zone)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    AS $$
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
$$;

COMMENT ON FUNCTION capydb_auth.clocks_of_users(p_user_ids text[]) IS 'Tells what an event must be newer than to win over all that the mirror knows of a user.';

CREATE FUNCTION capydb_auth.close_changes(p_user_ids text[], p_event_ids text[], p_at timestamp with time zone[], p_within interval) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
BEGIN
    RETURN QUERY
    SELECT e.place
    FROM unnest(p_user_ids, p_event_ids, p_at) WITH ORDINALITY AS e (user_id, event_id, at, place)
    WHERE EXISTS (
        SELECT FROM (
            -- By both columns of the index, so that no plan can walk through the feed by id.
            SELECT i.event_id, i.event_at, i.after
            FROM capydb_auth.user_changes AS i
            WHERE (i.user_id, i.id) >= (e.user_id, 0) AND (i.user_id, i.id) <= (e.user_id, 9223372036854775807)
            ORDER BY i.user_id DESC, i.id DESC
            LIMIT 10
        ) AS c
        WHERE (c.after ->> 'updated_at' = c.after ->> 'created_at') IS NOT TRUE
          AND c.event_id <> e.event_id
          AND c.event_at BETWEEN e.at - p_within AND e.at + p_within
    )
    ORDER BY e.place;
END;
$$;

COMMENT ON FUNCTION capydb_auth.close_changes(p_user_ids text[], p_event_ids text[], p_at timestamp with time zone[], p_within interval) IS 'Tells which events have another change of the same user so close that clocks may not tell the order.';

CREATE FUNCTION capydb_auth.compare_users(p_events jsonb, p_rules jsonb, p_is_whole boolean) RETURNS TABLE(ordinal integer, user_id text, finding text, columns text[], tolerated text[], is_disputed boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
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
$$;

COMMENT ON FUNCTION capydb_auth.compare_users(p_events jsonb, p_rules jsonb, p_is_whole boolean) IS 'Tells how users as the provider has them differ from the mirror; changes nothing.';

CREATE FUNCTION capydb_auth.ensure_user(p_id text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF p_id IS NULL OR p_id = '' THEN
        RAISE EXCEPTION 'the id of a user is null or empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the provider''s id of the user, such as auth0|123 or user_123.';
    END IF;
    IF octet_length(p_id) > 1024 THEN
        RAISE EXCEPTION 'the id of a user is % bytes long: at most 1024 are taken', octet_length(p_id)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the provider''s id of the user, such as auth0|123 or user_123.';
    END IF;

    INSERT INTO capydb_auth.users (id, placeholder_since)
    VALUES (p_id, clock_timestamp())
    ON CONFLICT (id) DO NOTHING;

    RETURN p_id;
END;
$$;

COMMENT ON FUNCTION capydb_auth.ensure_user(p_id text) IS 'Makes a placeholder for a user whose event has not come yet; returns the id, for use in a foreign key.';

CREATE FUNCTION capydb_auth.is_same_scalar(p_one jsonb, p_other jsonb) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $_$
DECLARE
    v_one    text := p_one #>> '{}';
    v_other  text := p_other #>> '{}';
    v_kinds  text[] := ARRAY[jsonb_typeof(p_one), jsonb_typeof(p_other)];
    v_true   CONSTANT text[] := ARRAY['true', 't', 'yes', 'y', '1'];
    v_false  CONSTANT text[] := ARRAY['false', 'f', 'no', 'n', '0'];
    v_number CONSTANT text := '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$';
    v_date   CONSTANT text := '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|$)';
    v_uuid   CONSTANT text := '^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$';
    v_ones   timestamptz;
    v_others timestamptz;
BEGIN
    IF v_one = v_other THEN
        RETURN true;
    END IF;
    IF 'boolean' = ANY (v_kinds) THEN
        RETURN lower(v_one) = ANY (v_true) AND lower(v_other) = ANY (v_true)
            OR lower(v_one) = ANY (v_false) AND lower(v_other) = ANY (v_false);
    END IF;
    -- Of two texts neither is a number: "1.10" and "1.1" may be versions.
    IF 'number' = ANY (v_kinds) AND length(v_one) <= 1000 AND length(v_other) <= 1000 AND v_one ~ v_number AND v_other ~ v_number THEN
        RETURN v_one::numeric = v_other::numeric
            -- JavaScript keeps 15 to 17 digits. (float8 refuses what is beyond its range.)
            OR abs(v_one::numeric) < 1e300 AND abs(v_other::numeric) < 1e300
                AND trunc(v_one::numeric, 300)::float8 = trunc(v_other::numeric, 300)::float8;
    END IF;
    IF v_one ~ v_date OR v_other ~ v_date THEN
        BEGIN
            v_ones := CASE
                WHEN v_one ~ v_date THEN v_one::timestamptz
                WHEN v_one ~ '^[0-9]{9,15}$' THEN to_timestamp(v_one::float8 / 1000)
            END;
            v_others := CASE
                WHEN v_other ~ v_date THEN v_other::timestamptz
                WHEN v_other ~ '^[0-9]{9,15}$' THEN to_timestamp(v_other::float8 / 1000)
            END;
        EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR invalid_parameter_value THEN
            RETURN false;
        END;
        RETURN coalesce(date_trunc('milliseconds', v_ones) = date_trunc('milliseconds', v_others), false);
    END IF;
    RETURN lower(v_one) ~ v_uuid AND lower(replace(v_one, '-', '')) = lower(replace(v_other, '-', ''));
END;
$_$;

COMMENT ON FUNCTION capydb_auth.is_same_scalar(p_one jsonb, p_other jsonb) IS 'Whether two texts, numbers or booleans are the same thing, perhaps written in two forms.';

CREATE FUNCTION capydb_auth.is_same_value(p_one jsonb, p_other jsonb, p_is_loose boolean, p_levels integer) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
DECLARE
    v_one    jsonb := nullif(p_one, 'null'::jsonb);
    v_other  jsonb := nullif(p_other, 'null'::jsonb);
    v_type_1 text := least(jsonb_typeof(v_one), jsonb_typeof(v_other));
    v_type_2 text := greatest(jsonb_typeof(v_one), jsonb_typeof(v_other));
    v_text   text;
BEGIN
    IF v_one IS NOT DISTINCT FROM v_other THEN
        RETURN true;
    END IF;
    IF v_one IS NULL OR v_other IS NULL OR p_levels = 0 THEN
        RETURN false;
    END IF;

    CASE v_type_1 || ' ' || v_type_2
    WHEN 'object object' THEN
        RETURN NOT EXISTS (
            SELECT FROM jsonb_each(v_one) AS a
            FULL JOIN jsonb_each(v_other) AS b ON b.key = a.key
            WHERE NOT (p_is_loose AND (a.key IS NULL OR b.key IS NULL))
              AND NOT capydb_auth.is_same_value(a.value, b.value, p_is_loose, p_levels - 1)
        );
    WHEN 'array array' THEN
        RETURN jsonb_array_length(v_one) = jsonb_array_length(v_other) AND NOT EXISTS (
            SELECT FROM jsonb_array_elements(v_one) WITH ORDINALITY AS a (value, place)
            JOIN jsonb_array_elements(v_other) WITH ORDINALITY AS b (value, place) ON b.place = a.place
            WHERE NOT capydb_auth.is_same_value(a.value, b.value, p_is_loose, p_levels - 1)
        );
    WHEN 'array string', 'object string' THEN
        v_text := CASE WHEN jsonb_typeof(v_one) = 'string' THEN v_one ELSE v_other END #>> '{}';
        IF v_text !~ '^\s*[[{]' THEN
            RETURN false;
        END IF;
        BEGIN
            v_one := CASE WHEN jsonb_typeof(v_one) = 'string' THEN v_other ELSE v_one END;
            v_other := v_text::jsonb;
        EXCEPTION WHEN invalid_text_representation OR untranslatable_character OR statement_too_complex THEN
            RETURN false;
        END;
        RETURN jsonb_typeof(v_one) = jsonb_typeof(v_other) AND capydb_auth.is_same_value(v_one, v_other, p_is_loose, p_levels - 1);
    WHEN 'array object', 'array number', 'array boolean', 'boolean object', 'number object' THEN
        RETURN false;
    ELSE
        RETURN capydb_auth.is_same_scalar(v_one, v_other);
    END CASE;
END;
$$;

COMMENT ON FUNCTION capydb_auth.is_same_value(p_one jsonb, p_other jsonb, p_is_loose boolean, p_levels integer) IS 'Whether two JSON values are the same thing, perhaps written in two forms.';

CREATE FUNCTION capydb_auth.lock_mirror() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('capydb_auth.apply_events', 0));
    EXCEPTION WHEN lock_not_available THEN
        RAISE EXCEPTION 'another batch has been at work in this mirror for longer than lock_timeout'
            USING ERRCODE = 'US001', HINT = 'Try again later.';
    END;
    BEGIN
        LOCK TABLE capydb_auth.users, capydb_auth.user_versions, capydb_auth.user_changes, capydb_auth.processed_events,
            capydb_auth.mirror_progress IN ROW EXCLUSIVE MODE;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        RAISE EXCEPTION 'another transaction in the project''s database has locked a table of schema capydb_auth'
            USING ERRCODE = 'US001', HINT = 'Nothing can be applied until it ends; pg_locks and pg_stat_activity say whose it is.';
    END;
END;
$$;

COMMENT ON FUNCTION capydb_auth.lock_mirror() IS 'Lets one caller at a time write to the mirror, until its transaction ends.';

CREATE TABLE capydb_auth.user_versions (
    user_id text NOT NULL,
    email capydb_auth.version,
    first_name capydb_auth.version,
    last_name capydb_auth.version,
    username capydb_auth.version,
    image_url capydb_auth.version,
    created_at capydb_auth.version,
    updated_at capydb_auth.version,
    last_sign_in_at capydb_auth.version,
    deleted_at capydb_auth.version,
    raw capydb_auth.version,
    unclocked jsonb
);

COMMENT ON TABLE capydb_auth.user_versions IS 'For each column of users: which event set its value, and when; NULL where no event set it.';

COMMENT ON COLUMN capydb_auth.user_versions.unclocked IS 'Column of users -> value, received_at and event_id last set by an event without a clock; NULL: none. Kept apart because a deletion without a time is newer than everything received before it. See merge_unclocked.';

CREATE FUNCTION capydb_auth.merge_unclocked(p_fields jsonb, p_received_at timestamp with time zone, p_version capydb_auth.version, p_life_version capydb_auth.version, p_profile_is_unclocked boolean, p_life_is_unclocked boolean, p_was capydb_auth.user_versions) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
DECLARE
    v_versions  jsonb := to_jsonb(p_was);
    v_unclocked jsonb := coalesce((p_was).unclocked, '{}'::jsonb);
    v_shown     jsonb := '{}'::jsonb;
    v_raised    text[] := '{}'::text[];
    v_column    text;
    v_value     jsonb;
    v_version   capydb_auth.version;
    v_stored    capydb_auth.version;
    v_kept_at   timestamptz;
BEGIN
    FOR v_column, v_value IN
        SELECT s.key, s.value FROM jsonb_each(p_fields) AS s
    LOOP
        v_stored := jsonb_populate_record(NULL::capydb_auth.version, nullif(v_versions -> v_column, 'null'));
        v_kept_at := (v_unclocked -> v_column ->> 'received_at')::timestamptz;
        v_version := CASE WHEN v_column = 'deleted_at' THEN p_life_version ELSE p_version END;

        IF (CASE WHEN v_column = 'deleted_at' THEN p_life_is_unclocked ELSE p_profile_is_unclocked END) THEN
            IF v_stored.at > p_received_at + interval '1 minute' AND NOT capydb_auth.unclocked_is_newer(p_received_at, v_stored) THEN
                CONTINUE;
            END IF;
            IF v_kept_at IS NULL
                OR (p_received_at, v_version.event_id)
                    > (v_kept_at, (v_unclocked -> v_column ->> 'event_id') COLLATE "C")
            THEN
                v_unclocked := v_unclocked || jsonb_build_object(
                    v_column,
                    jsonb_build_object('value', v_value, 'received_at', p_received_at, 'event_id', v_version.event_id)
                );
                IF capydb_auth.unclocked_is_newer(p_received_at, v_stored) THEN
                    v_shown := v_shown || jsonb_build_object(v_column, v_value);
                END IF;
            END IF;
        ELSIF v_stored.at IS NULL OR v_version > v_stored THEN
            v_raised := v_raised || v_column;
            IF v_kept_at IS NULL OR NOT capydb_auth.unclocked_is_newer(v_kept_at, v_version) THEN
                v_shown := v_shown || jsonb_build_object(v_column, v_value);
                IF v_version.at > v_kept_at + interval '1 minute' THEN
                    v_unclocked := v_unclocked - v_column;
                END IF;
            ELSIF NOT capydb_auth.unclocked_is_newer(v_kept_at, v_stored) THEN
                -- What the column showed is older than this event, which is older than what was kept.
                v_shown := v_shown || jsonb_build_object(v_column, v_unclocked -> v_column -> 'value');
            END IF;
        END IF;
    END LOOP;

    RETURN jsonb_build_object(
        'shown', v_shown,
        'raised', v_raised,
        'unclocked', nullif(v_unclocked, '{}'),
        'is_noted', v_raised <> '{}' OR nullif(v_unclocked, '{}') IS DISTINCT FROM (p_was).unclocked
    );
END;
$$;

COMMENT ON FUNCTION capydb_auth.merge_unclocked(p_fields jsonb, p_received_at timestamp with time zone, p_version capydb_auth.version, p_life_version capydb_auth.version, p_profile_is_unclocked boolean, p_life_is_unclocked boolean, p_was capydb_auth.user_versions) IS 'Merges an event into the versions of a user where clocks alone do not decide; called by apply_round only.';

CREATE FUNCTION capydb_auth.read_changes(p_after bigint, p_limit integer) RETURNS TABLE(id bigint, user_id text, kind text, changed text[], user_row jsonb, before_row jsonb, provider text, event_id text, event_at timestamp with time zone, changed_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
BEGIN
    RETURN QUERY
    SELECT c.*
    FROM capydb_auth.changes_by_id(ARRAY(
        SELECT u.id
        FROM capydb_auth.user_changes AS u
        WHERE u.id > p_after
        ORDER BY u.id
        LIMIT p_limit
    )) AS c
    ORDER BY c.id;
END;
$$;

COMMENT ON FUNCTION capydb_auth.read_changes(p_after bigint, p_limit integer) IS 'The next changes of the feed, with the whole row as each left it and as it was before.';

CREATE FUNCTION capydb_auth.reconcile_begin(p_run_id uuid, p_provider text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    INSERT INTO capydb_auth.reconcile_findings AS f (provider, user_id, run_id, finding, state)
    VALUES (p_provider, '', p_run_id, 'begun', 'none')
    ON CONFLICT (provider, user_id) DO UPDATE SET run_id = excluded.run_id;
$$;

COMMENT ON FUNCTION capydb_auth.reconcile_begin(p_run_id uuid, p_provider text) IS 'Notes that the findings that follow are those of a reconcile.';

CREATE FUNCTION capydb_auth.reconcile_forget(p_provider text, p_run_id uuid, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
DECLARE
    v_forgotten bigint;
BEGIN
    DELETE FROM capydb_auth.reconcile_findings AS f
    WHERE f.ctid = ANY (ARRAY(
        SELECT i.ctid
        FROM capydb_auth.reconcile_findings AS i
        WHERE i.provider = p_provider AND (p_run_id IS NULL OR i.run_id = p_run_id)
        ORDER BY i.provider, i.user_id
        LIMIT p_limit
    ));
    GET DIAGNOSTICS v_forgotten = ROW_COUNT;
    RETURN v_forgotten;
END;
$$;

COMMENT ON FUNCTION capydb_auth.reconcile_forget(p_provider text, p_run_id uuid, p_limit integer) IS 'Forgets some findings of reconciles; call it until it gives 0.';

CREATE FUNCTION capydb_auth.reconcile_orphaned(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_placeholders boolean, p_after text, p_limit integer) RETURNS TABLE(last_id text, users bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    PERFORM capydb_auth.require_reconcile(p_run_id, p_provider);

    RETURN QUERY
    WITH looked_at AS MATERIALIZED (
        SELECT
            u.id,
            u.provider = p_provider AND u.deleted_at IS NULL AS is_live,
            CASE
                WHEN p_placeholders AND u.last_event_processed IS NULL AND u.placeholder_since < p_begun THEN 'placeholder'
                WHEN u.provider = p_provider AND u.deleted_at IS NULL AND u.last_event_processed < p_begun THEN 'orphaned'
            END AS finding
        FROM capydb_auth.users AS u
        WHERE u.id > p_after
        ORDER BY u.id
        LIMIT p_limit
    ),
    candidate AS MATERIALIZED (
        SELECT l.id, l.is_live, l.finding, f.finding AS known
        FROM looked_at AS l
        LEFT JOIN LATERAL (
            SELECT i.finding
            FROM capydb_auth.reconcile_findings AS i
            WHERE i.provider = p_provider AND i.user_id = l.id COLLATE "C"
            LIMIT 1
        ) AS f ON true
    ),
    note AS (
        INSERT INTO capydb_auth.reconcile_findings (provider, user_id, run_id, finding, state)
        SELECT p_provider, c.id, p_run_id, c.finding, 'open'
        FROM candidate AS c
        WHERE c.finding IS NOT NULL
          AND c.known IS NULL
        ON CONFLICT (provider, user_id) DO NOTHING
    )
    SELECT
        CASE WHEN count(*) = p_limit THEN max(c.id) END,
        count(*) FILTER (
            WHERE c.is_live
              AND c.known IN ('missing', 'deleted') IS NOT TRUE
              AND NOT (
                  c.known IS NOT DISTINCT FROM 'equal'
                  -- Not EXISTS, which may be answered by reading the table.
                  AND coalesce((
                      SELECT (v.deleted_at).event_id = 'reconcile:' || p_run_id
                      FROM capydb_auth.user_versions AS v
                      WHERE v.user_id = c.id
                      LIMIT 1
                  ), false)
              )
        )
    FROM candidate AS c;
END;
$$;

COMMENT ON FUNCTION capydb_auth.reconcile_orphaned(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_placeholders boolean, p_after text, p_limit integer) IS 'Notes users of the mirror that a walk through the provider''s users did not meet; changes no user.';

CREATE FUNCTION capydb_auth.reconcile_page(p_run_id uuid, p_provider text, p_events jsonb, p_rules jsonb, p_is_whole boolean) RETURNS TABLE(ordinal integer, finding text, columns text[], tolerated text[], is_open boolean)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    PERFORM capydb_auth.require_reconcile(p_run_id, p_provider);

    RETURN QUERY
    WITH compared AS MATERIALIZED (
        SELECT
            c.ordinal, c.user_id, c.finding, c.columns, c.tolerated,
            c.finding IN ('differing', 'deleted', 'unreported') AND (c.is_disputed OR NOT p_is_whole) AS is_open
        FROM capydb_auth.compare_users(p_events, p_rules, p_is_whole) AS c
    ),
    note AS (
        INSERT INTO capydb_auth.reconcile_findings AS f (provider, user_id, run_id, finding, columns, state)
        SELECT DISTINCT ON (c.user_id)
            p_provider,
            c.user_id,
            p_run_id,
            c.finding,
            c.columns,
            CASE WHEN c.finding = 'equal' THEN 'none' WHEN c.is_open THEN 'open' ELSE 'found' END
        FROM compared AS c
        ORDER BY c.user_id, c.ordinal
        ON CONFLICT (provider, user_id) DO UPDATE SET
            finding = CASE WHEN f.state = 'open' THEN excluded.finding ELSE f.finding END,
            columns = CASE WHEN f.state = 'open' THEN excluded.columns ELSE f.columns END,
            state   = CASE WHEN f.state = 'open' THEN 'none' ELSE 'repaired' END
        WHERE excluded.finding = 'equal' AND f.state IN ('open', 'found')
    )
    SELECT c.ordinal, c.finding, c.columns, c.tolerated, c.is_open
    FROM compared AS c
    WHERE c.finding <> 'equal' OR c.tolerated <> '{}';
END;
$$;

COMMENT ON FUNCTION capydb_auth.reconcile_page(p_run_id uuid, p_provider text, p_events jsonb, p_rules jsonb, p_is_whole boolean) IS 'Compares a page of a provider''s users with the mirror and notes what it found; changes no user.';

CREATE FUNCTION capydb_auth.reconcile_settle(p_run_id uuid, p_provider text, p_users jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
BEGIN
    PERFORM capydb_auth.require_reconcile(p_run_id, p_provider);

    UPDATE capydb_auth.reconcile_findings AS f SET
        finding = CASE WHEN f.state = 'open' THEN coalesce(s.finding, f.finding) ELSE f.finding END,
        columns = CASE WHEN f.state = 'open' THEN coalesce(s.columns, f.columns) ELSE f.columns END,
        -- Found before and equal now: it was repaired before we were interrupted.
        state   = CASE WHEN f.state = 'found' AND s.state = 'none' THEN 'repaired' ELSE s.state END
    FROM jsonb_to_recordset(p_users) AS s (user_id text, state text, finding text, columns text[])
    -- A look-up that no plan can turn into reading the table. Nobody else writes there meanwhile.
    CROSS JOIN LATERAL (
        SELECT i.ctid
        FROM capydb_auth.reconcile_findings AS i
        WHERE i.provider = p_provider AND i.user_id = s.user_id COLLATE "C"
        LIMIT 1
    ) AS l
    WHERE f.ctid = l.ctid
      AND f.state IN ('open', 'found');
END;
$$;

COMMENT ON FUNCTION capydb_auth.reconcile_settle(p_run_id uuid, p_provider text, p_users jsonb) IS 'Notes what was found out about single users in a reconcile, or what became of them.';

CREATE FUNCTION capydb_auth.require_all_written(p_written bigint, p_meant bigint) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF p_written IS DISTINCT FROM p_meant THEN
        RAISE EXCEPTION '% of % rows of capydb_auth.users were not written', p_meant - p_written, p_meant
            USING ERRCODE = 'US002', HINT = 'A trigger on capydb_auth.users suppresses rows by returning NULL: remove it.';
    END IF;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION capydb_auth.require_all_written(p_written bigint, p_meant bigint) IS 'Raises US002 if a trigger has suppressed rows; called by apply_round only.';

CREATE FUNCTION capydb_auth.require_reconcile(p_run_id uuid, p_provider text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
    PERFORM FROM capydb_auth.reconcile_findings AS f
    WHERE f.provider = p_provider AND f.user_id = '' AND f.run_id = p_run_id
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'what reconcile % of % had found is gone', p_run_id, p_provider
            USING ERRCODE = 'US003', HINT = 'The database server has crashed, or another run has begun: the run begins anew.';
    END IF;
END;
$$;

COMMENT ON FUNCTION capydb_auth.require_reconcile(p_run_id uuid, p_provider text) IS 'Raises US003 if the findings of a reconcile are gone.';

CREATE FUNCTION capydb_auth.resume_mirror(p_applied_to bigint, p_change_id bigint) RETURNS TABLE(epoch uuid, applied_to bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
    PERFORM capydb_auth.skip_change_ids(p_change_id);

    RETURN QUERY
    INSERT INTO capydb_auth.mirror_progress AS p (applied_to)
    VALUES (p_applied_to + 1)
    ON CONFLICT (singleton) DO UPDATE SET applied_to = greatest(p.applied_to, p_applied_to) + 1
    RETURNING p.epoch, p.applied_to;
END;
$$;

COMMENT ON FUNCTION capydb_auth.resume_mirror(p_applied_to bigint, p_change_id bigint) IS 'Lets a mirror that was restored or made anew be written to again.';

CREATE FUNCTION capydb_auth.skip_change_ids(p_to bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_sequence regclass := pg_get_serial_sequence('capydb_auth.user_changes', 'id')::regclass;
BEGIN
    -- As apply_events does, so that no change comes in between.
    PERFORM capydb_auth.lock_mirror();
    RETURN setval(v_sequence, greatest(p_to, nextval(v_sequence)));
END;
$$;

COMMENT ON FUNCTION capydb_auth.skip_change_ids(p_to bigint) IS 'Makes the ids of coming changes greater than one given; for a database that was restored.';

CREATE FUNCTION capydb_auth.unclocked_is_newer(p_received_at timestamp with time zone, p_clocked capydb_auth.version) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT (p_clocked).at IS NULL
        OR p_received_at > (p_clocked).at
        OR coalesce(p_received_at >= (p_clocked).received_at, false);
$$;

COMMENT ON FUNCTION capydb_auth.unclocked_is_newer(p_received_at timestamp with time zone, p_clocked capydb_auth.version) IS 'Whether what was said without a clock is newer than what was said with one.';

CREATE TABLE capydb_auth.users (
    id text NOT NULL,
    email text,
    first_name text,
    last_name text,
    username text,
    image_url text,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    last_sign_in_at timestamp with time zone,
    deleted_at timestamp with time zone,
    raw jsonb,
    provider text,
    last_event_processed timestamp with time zone,
    placeholder_since timestamp with time zone
);

COMMENT ON TABLE capydb_auth.users IS 'The users of the identity provider. Maintained by authsync: read it, join it, reference it, do not write to it.';

COMMENT ON COLUMN capydb_auth.users.id IS 'The provider''s id of the user.';

COMMENT ON COLUMN capydb_auth.users.email IS 'Primary e-mail address, spelled as at the provider; not unique.';

COMMENT ON COLUMN capydb_auth.users.first_name IS 'Given name.';

COMMENT ON COLUMN capydb_auth.users.last_name IS 'Family name.';

COMMENT ON COLUMN capydb_auth.users.username IS 'User name or nickname.';

COMMENT ON COLUMN capydb_auth.users.image_url IS 'URL of the profile picture.';

COMMENT ON COLUMN capydb_auth.users.created_at IS 'When the user was created at the provider.';

COMMENT ON COLUMN capydb_auth.users.updated_at IS 'When the user was last changed at the provider.';

COMMENT ON COLUMN capydb_auth.users.last_sign_in_at IS 'Last sign-in, where the provider reports it.';

COMMENT ON COLUMN capydb_auth.users.deleted_at IS 'When the user was deleted at the provider; NULL while the user exists.';

COMMENT ON COLUMN capydb_auth.users.raw IS 'The provider''s user object.';

COMMENT ON COLUMN capydb_auth.users.provider IS 'The provider of the newest event about the user; NULL for a placeholder.';

COMMENT ON COLUMN capydb_auth.users.last_event_processed IS 'Provider clock of the newest event about the user; NULL for a placeholder.';

COMMENT ON COLUMN capydb_auth.users.placeholder_since IS 'When ensure_user created the row, so that a foreign key need not wait for a webhook; NULL once an event about the user was applied.';

CREATE FUNCTION capydb_auth.user_row(p_user capydb_auth.users) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT CASE WHEN p_user.id IS NOT NULL THEN
        jsonb_build_object(
            'id', p_user.id, 'email', p_user.email, 'first_name', p_user.first_name, 'last_name', p_user.last_name,
            'username', p_user.username, 'image_url', p_user.image_url,
            'created_at', p_user.created_at, 'updated_at', p_user.updated_at,
            'last_sign_in_at', p_user.last_sign_in_at, 'deleted_at', p_user.deleted_at,
            'raw', p_user.raw
        )
    END;
$$;

COMMENT ON FUNCTION capydb_auth.user_row(p_user capydb_auth.users) IS 'A row of users as the object that destinations see.';

CREATE FUNCTION capydb_auth.user_states(p_first bigint[], p_last bigint[], p_as_of bigint) RETURNS TABLE(id bigint, user_id text, user_row jsonb, before_row jsonb, provider text, event_id text, event_at timestamp with time zone, changed_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
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
$$;

COMMENT ON FUNCTION capydb_auth.user_states(p_first bigint[], p_last bigint[], p_as_of bigint) IS 'Users as changes up to one left them, and as they were before the first of some changes.';

CREATE TABLE capydb_auth.mirror_progress (
    singleton boolean DEFAULT true NOT NULL,
    epoch uuid DEFAULT gen_random_uuid() NOT NULL,
    applied_to bigint DEFAULT 0 NOT NULL,
    applied_at timestamp with time zone,
    CONSTRAINT mirror_progress_singleton_check CHECK (singleton)
)
WITH (fillfactor='10');

COMMENT ON TABLE capydb_auth.mirror_progress IS 'How many calls have written to the mirror. The control database keeps a copy, which shows whether the mirror went back in time.';

COMMENT ON COLUMN capydb_auth.mirror_progress.singleton IS 'Limits the table to one row.';

COMMENT ON COLUMN capydb_auth.mirror_progress.epoch IS 'Set when the mirror is created: a mirror created again has another.';

COMMENT ON COLUMN capydb_auth.mirror_progress.applied_to IS 'Grows by one with each call that applies events.';

COMMENT ON COLUMN capydb_auth.mirror_progress.applied_at IS 'When the last of these calls began; NULL: there was none.';

CREATE TABLE capydb_auth.owner (
    singleton boolean DEFAULT true NOT NULL,
    project_id uuid NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT owner_singleton_check CHECK (singleton)
);

COMMENT ON TABLE capydb_auth.owner IS 'The project whose mirror this is: one row, or none while no project owns it.';

COMMENT ON COLUMN capydb_auth.owner.singleton IS 'Limits the table to one row.';

COMMENT ON COLUMN capydb_auth.owner.project_id IS 'The id of the project in the control database.';

COMMENT ON COLUMN capydb_auth.owner.since IS 'When the project became the owner.';

CREATE VIEW capydb_auth.placeholders WITH (security_invoker='true') AS
 SELECT u.id AS user_id,
    u.placeholder_since AS since,
    (clock_timestamp() - u.placeholder_since) AS age
   FROM capydb_auth.users u
  WHERE (u.last_event_processed IS NULL);

COMMENT ON VIEW capydb_auth.placeholders IS 'Users that were referenced through ensure_user and of which no event has told yet.';

CREATE TABLE capydb_auth.processed_events (
    provider text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL,
    inbox_id bigint NOT NULL,
    inbox_ordinal integer NOT NULL,
    outcome text NOT NULL,
    reason text,
    processed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT processed_events_outcome_check CHECK ((outcome = ANY (ARRAY['applied'::text, 'stale'::text])))
);

COMMENT ON TABLE capydb_auth.processed_events IS 'The ledger: an event is here exactly if its effect is in users, which makes a repetition harmless.';

COMMENT ON COLUMN capydb_auth.processed_events.received_at IS 'When the message processed first was received.';

COMMENT ON COLUMN capydb_auth.processed_events.inbox_id IS 'The message processed first (authsync.inbox.id in the control database).';

COMMENT ON COLUMN capydb_auth.processed_events.inbox_ordinal IS 'Place of the event in that message, from 0.';

COMMENT ON COLUMN capydb_auth.processed_events.outcome IS 'applied: it set at least one value; stale: newer events had already set all its values.';

CREATE UNLOGGED TABLE capydb_auth.reconcile_findings (
    provider text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    run_id uuid NOT NULL,
    finding text NOT NULL,
    columns text[] DEFAULT '{}'::text[] NOT NULL,
    state text NOT NULL,
    CONSTRAINT reconcile_findings_finding_check CHECK ((finding = ANY (ARRAY['begun'::text, 'equal'::text, 'missing'::text, 'differing'::text, 'deleted'::text, 'orphaned'::text, 'placeholder'::text, 'unreported'::text]))),
    CONSTRAINT reconcile_findings_state_check CHECK ((state = ANY (ARRAY['none'::text, 'open'::text, 'found'::text, 'repaired'::text, 'failed'::text])))
);

COMMENT ON TABLE capydb_auth.reconcile_findings IS 'What the running reconcile has found about each user; internal to authsync, emptied when the run ends.';

COMMENT ON COLUMN capydb_auth.reconcile_findings.user_id IS 'The user; empty in the row that says which run the rows belong to.';

COMMENT ON COLUMN capydb_auth.reconcile_findings.finding IS 'equal; missing here; differing; deleted here but not at the provider; orphaned here; a placeholder; unreported, see compare_users.';

COMMENT ON COLUMN capydb_auth.reconcile_findings.columns IS 'The columns that differ.';

COMMENT ON COLUMN capydb_auth.reconcile_findings.state IS 'none: nothing to do; open: this user is still to be read from the provider; found: certain to differ; repaired; failed.';

CREATE TABLE capydb_auth.schema_code (
    singleton boolean DEFAULT true NOT NULL,
    revision integer NOT NULL,
    hash text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    installed_at timestamp with time zone,
    version bigint DEFAULT 0 NOT NULL,
    min_version bigint DEFAULT 0 NOT NULL,
    min_river_version integer DEFAULT 0 NOT NULL,
    server_major integer DEFAULT ((current_setting('server_version_num'::text))::integer / 10000) NOT NULL,
    CONSTRAINT schema_code_singleton_check CHECK (singleton)
);

COMMENT ON TABLE capydb_auth.schema_code IS 'Which functions, views and triggers of authsync are installed in this schema.';

COMMENT ON COLUMN capydb_auth.schema_code.revision IS 'Grows whenever the code changes; a binary leaves newer code than its own alone.';

COMMENT ON COLUMN capydb_auth.schema_code.hash IS 'Digest of the code; empty while it is to be applied again.';

COMMENT ON COLUMN capydb_auth.schema_code.installed_at IS 'When the schema was made; NULL if that is not known any more.';

COMMENT ON COLUMN capydb_auth.schema_code.version IS 'The last migration applied, as in schema_migrations.';

COMMENT ON COLUMN capydb_auth.schema_code.min_version IS 'The migration that a binary must know to work with this schema.';

COMMENT ON COLUMN capydb_auth.schema_code.min_river_version IS 'The version of River''s tables that a binary must know.';

COMMENT ON COLUMN capydb_auth.schema_code.server_major IS 'The PostgreSQL that printed the definitions in schema_objects.';

CREATE TABLE capydb_auth.schema_migrations (
    version bigint NOT NULL,
    dirty boolean NOT NULL
);

COMMENT ON TABLE capydb_auth.schema_migrations IS 'Version of the tables of this schema (golang-migrate).';

CREATE TABLE capydb_auth.schema_objects (
    kind text NOT NULL,
    identity text NOT NULL,
    definition text NOT NULL
);

COMMENT ON TABLE capydb_auth.schema_objects IS 'What authsync created in this schema, and its definition then; anything else in the schema is left alone.';

COMMENT ON COLUMN capydb_auth.schema_objects.definition IS 'What the catalog said of it when it was made; of code, a digest of that.';

CREATE TABLE capydb_auth.user_changes (
    id bigint NOT NULL,
    user_id text NOT NULL,
    kind text NOT NULL,
    changed text[] NOT NULL,
    before jsonb,
    after jsonb NOT NULL,
    provider text NOT NULL,
    event_id text NOT NULL,
    event_at timestamp with time zone NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT user_changes_kind_check CHECK ((kind = ANY (ARRAY['created'::text, 'updated'::text, 'deleted'::text, 'restored'::text])))
)
WITH (toast_tuple_target='8160');

COMMENT ON TABLE capydb_auth.user_changes IS 'The change feed: one row for each event that changed a value, in commit order. Applying every after in order gives users.';

COMMENT ON COLUMN capydb_auth.user_changes.id IS 'Grows in commit order: reading on from the last id seen misses nothing.';

COMMENT ON COLUMN capydb_auth.user_changes.changed IS 'The columns of users that changed.';

COMMENT ON COLUMN capydb_auth.user_changes.before IS 'The changed columns before the change; NULL where the user was new.';

COMMENT ON COLUMN capydb_auth.user_changes.after IS 'The changed columns after the change.';

COMMENT ON COLUMN capydb_auth.user_changes.event_at IS 'The provider''s clock of the event.';

ALTER TABLE capydb_auth.user_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME capydb_auth.user_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW capydb_auth.user_sources WITH (security_invoker='true') AS
 SELECT u.id AS user_id,
    c.column_name,
    c.value,
        CASE
            WHEN n.is_newer THEN n.event_id
            ELSE (c.source).event_id
        END AS event_id,
        CASE
            WHEN n.is_newer THEN n.received_at
            ELSE (c.source).at
        END AS set_at,
        CASE
            WHEN n.is_newer THEN n.received_at
            ELSE (c.source).sent_at
        END AS sent_at
   FROM (((capydb_auth.users u
     LEFT JOIN capydb_auth.user_versions v ON ((v.user_id = u.id)))
     CROSS JOIN LATERAL ( VALUES (1,'email'::text,u.email,v.email), (2,'first_name'::text,u.first_name,v.first_name), (3,'last_name'::text,u.last_name,v.last_name), (4,'username'::text,u.username,v.username), (5,'image_url'::text,u.image_url,v.image_url), (6,'created_at'::text,(u.created_at)::text,v.created_at), (7,'updated_at'::text,(u.updated_at)::text,v.updated_at), (8,'last_sign_in_at'::text,(u.last_sign_in_at)::text,v.last_sign_in_at), (9,'deleted_at'::text,(u.deleted_at)::text,v.deleted_at), (10,'raw'::text,(u.raw)::text,v.raw)) c(place, column_name, value, source))
     CROSS JOIN LATERAL ( SELECT k.event_id,
            k.received_at,
            ((k.received_at IS NOT NULL) AND (((c.source).at IS NULL) OR (k.received_at > (c.source).at) OR COALESCE((k.received_at >= (c.source).received_at), false))) AS is_newer
           FROM ( SELECT ((v.unclocked -> c.column_name) ->> 'event_id'::text) AS event_id,
                    (((v.unclocked -> c.column_name) ->> 'received_at'::text))::timestamp with time zone AS received_at) k) n);

COMMENT ON VIEW capydb_auth.user_sources IS 'For each user and column: the value, the event that said it, and when by the provider''s clock.';

ALTER TABLE ONLY capydb_auth.mirror_progress
    ADD CONSTRAINT mirror_progress_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY capydb_auth.owner
    ADD CONSTRAINT owner_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY capydb_auth.processed_events
    ADD CONSTRAINT processed_events_pkey PRIMARY KEY (provider, event_id, user_id, received_at);

ALTER TABLE ONLY capydb_auth.reconcile_findings
    ADD CONSTRAINT reconcile_findings_pkey PRIMARY KEY (provider, user_id);

ALTER TABLE ONLY capydb_auth.schema_code
    ADD CONSTRAINT schema_code_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY capydb_auth.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY capydb_auth.schema_objects
    ADD CONSTRAINT schema_objects_pkey PRIMARY KEY (kind, identity);

ALTER TABLE ONLY capydb_auth.user_changes
    ADD CONSTRAINT user_changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY capydb_auth.user_versions
    ADD CONSTRAINT user_versions_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY capydb_auth.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

CREATE INDEX reconcile_findings_drift_idx ON capydb_auth.reconcile_findings USING btree (provider, user_id) WHERE (state <> 'none'::text);

CREATE INDEX user_changes_user_id_idx ON capydb_auth.user_changes USING btree (user_id, id);

CREATE INDEX users_email_idx ON capydb_auth.users USING btree (lower(email));

CREATE INDEX users_placeholders_idx ON capydb_auth.users USING btree (placeholder_since) WHERE (last_event_processed IS NULL);

REVOKE ALL ON FUNCTION capydb_auth.apply_around_locks(p_events jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_events(p_events jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_next(p_events jsonb, p_epoch uuid, p_applied_to bigint, p_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_round(p_events jsonb[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_rounds(p_events jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.change_cursor(p_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.changes_by_id(p_ids bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.clocks_of_users(p_user_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.close_changes(p_user_ids text[], p_event_ids text[], p_at timestamp with time zone[], p_within interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.compare_users(p_events jsonb, p_rules jsonb, p_is_whole boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.ensure_user(p_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.is_same_scalar(p_one jsonb, p_other jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.is_same_value(p_one jsonb, p_other jsonb, p_is_loose boolean, p_levels integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.lock_mirror() FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.merge_unclocked(p_fields jsonb, p_received_at timestamp with time zone, p_version capydb_auth.version, p_life_version capydb_auth.version, p_profile_is_unclocked boolean, p_life_is_unclocked boolean, p_was capydb_auth.user_versions) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.read_changes(p_after bigint, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_begin(p_run_id uuid, p_provider text) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_forget(p_provider text, p_run_id uuid, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_orphaned(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_placeholders boolean, p_after text, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_page(p_run_id uuid, p_provider text, p_events jsonb, p_rules jsonb, p_is_whole boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_settle(p_run_id uuid, p_provider text, p_users jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.require_all_written(p_written bigint, p_meant bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.require_reconcile(p_run_id uuid, p_provider text) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.resume_mirror(p_applied_to bigint, p_change_id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.skip_change_ids(p_to bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.unclocked_is_newer(p_received_at timestamp with time zone, p_clocked capydb_auth.version) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.user_row(p_user capydb_auth.users) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.user_states(p_first bigint[], p_last bigint[], p_as_of bigint) FROM PUBLIC;

