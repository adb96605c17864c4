-- apply_round applies events of which no two are about the same user, all at
-- once. It is the body of apply_events and is called by nothing else.
--
-- Repeatable: an event that is in the ledger has no effect; it is reported as a
--             duplicate, or with its first outcome to the message that brought it.
--             One that is kept out of the ledger (in_ledger false) is harmless because
--             the greatest version wins, however often it comes.
-- Order:      of no matter; each column keeps the value with the greatest version.
-- Result:     one row an event. Ledger, users and changes change together or not at all.
--
-- Most events are newer than all that the mirror knows of their user, and set all columns that
-- the newest event before them set. Those are decided here: every column that they name is
-- theirs. All others are merged column by column: see merge_user.
--
-- A placeholder (see ensure_user) counts as no row: the first event about its user
-- is the one that creates the user.
--
-- Every table is reached by its primary key, once an event, and the row to update by its place.
-- The planner is held to that (the LIMITs and the SET clauses below): a plan made while the
-- tables were empty would read them whole, and would be kept while they grow.
CREATE OR REPLACE FUNCTION capydb_auth.apply_round(
    p_events capydb_auth.user_event[]
)
RETURNS TABLE (ordinal integer, outcome text, reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_tidscan = on
AS $fn$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH decided AS MATERIALIZED (
        SELECT
            e.ordinal, e.provider, e.event_id, e.user_id, e.inbox_id, e.inbox_ordinal, e.received_at, e.in_ledger,
            u.place, d.is_new, l.inbox_id AS known_inbox_id, l.outcome AS known_outcome, l.reason AS known_reason,
            coalesce(l.is_same, false) AS is_same,
            s.sets,
            s.sets <> 0 OR coalesce(m.is_noted, false) AS is_written,
            greatest(e.at, e.deleted_clock) AS clock,
            CASE WHEN (u.last_event_processed, u.provider) >= (greatest(e.at, e.deleted_clock), e.provider)
                THEN u.provider ELSE e.provider END AS last_provider,
            CASE WHEN d.is_newest THEN e.at       ELSE m.last_at            END AS last_at,
            CASE WHEN d.is_newest THEN e.sent_at  ELSE m.last_sent_at       END AS last_sent_at,
            CASE WHEN d.is_newest THEN e.event_id ELSE m.last_event_id      END AS last_event_id,
            CASE WHEN d.is_newest THEN f.fields   ELSE m.last_fields        END AS last_fields,
            m.field_versions,
            v.email, v.first_name, v.last_name, v.username, v.image_url,
            v.created_at, v.updated_at, v.last_sign_in_at, v.deleted_at, v.raw,
            c.changed,
            CASE
                WHEN v.deleted_at IS NOT NULL AND (d.is_new OR u.deleted_at IS NULL) THEN 'deleted'
                WHEN d.is_new THEN 'created'
                WHEN v.deleted_at IS NULL AND u.deleted_at IS NOT NULL THEN 'restored'
                ELSE 'updated'
            END AS kind,
            CASE WHEN NOT d.is_new AND c.changed <> 0 THEN
                jsonb_build_object(
                    'email', u.email, 'first_name', u.first_name, 'last_name', u.last_name,
                    'username', u.username, 'image_url', u.image_url,
                    'created_at', u.created_at, 'updated_at', u.updated_at,
                    'last_sign_in_at', u.last_sign_in_at, 'deleted_at', u.deleted_at
                ) - array_remove(ARRAY[
                    CASE WHEN c.changed & 1   = 0 THEN 'email' END,
                    CASE WHEN c.changed & 2   = 0 THEN 'first_name' END,
                    CASE WHEN c.changed & 4   = 0 THEN 'last_name' END,
                    CASE WHEN c.changed & 8   = 0 THEN 'username' END,
                    CASE WHEN c.changed & 16  = 0 THEN 'image_url' END,
                    CASE WHEN c.changed & 32  = 0 THEN 'created_at' END,
                    CASE WHEN c.changed & 64  = 0 THEN 'updated_at' END,
                    CASE WHEN c.changed & 128 = 0 THEN 'last_sign_in_at' END,
                    CASE WHEN c.changed & 256 = 0 THEN 'deleted_at' END
                ], NULL)
            END AS before
        FROM unnest(p_events) AS e
        LEFT JOIN LATERAL (
            SELECT
                i.ctid AS place, i.last_event_processed, i.provider, i.last_event_sent_at, i.last_event_id, i.last_event_fields,
                i.field_versions, i.email, i.first_name, i.last_name, i.username, i.image_url,
                i.created_at, i.updated_at, i.last_sign_in_at, i.deleted_at, i.raw, i AS stored
            FROM capydb_auth.users AS i
            WHERE i.id = e.user_id
            LIMIT 1
        ) AS u ON true
        LEFT JOIN LATERAL (
            SELECT p.inbox_id, p.outcome, p.reason, p.inbox_id = e.inbox_id AND p.inbox_ordinal = e.inbox_ordinal AS is_same
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
            -- What is not after the last sign-in says nothing if a later one is known.
            SELECT CASE
                WHEN e.last_sign_in_at_is_least AND e.last_sign_in_at <= u.last_sign_in_at THEN e.fields & ~128
                ELSE e.fields
            END AS fields
            OFFSET 0 -- once an event, not once a use; so below
        ) AS f
        CROSS JOIN LATERAL (
            SELECT
                u.last_event_processed IS NULL AS is_new,
                l.outcome IS NULL
                    AND e.arrived_at IS NULL
                    AND e.deleted_clock IS NULL
                    AND (u.last_event_processed IS NULL
                         OR (u.field_versions IS NULL
                             AND u.last_event_fields & ~f.fields = 0
                             AND coalesce((e.at, e.sent_at, e.event_id)
                                 > (u.last_event_processed, u.last_event_sent_at, u.last_event_id), false))) AS is_newest
            OFFSET 0
        ) AS d
        LEFT JOIN LATERAL (
            SELECT g.shown, g.sets, g.last_at, g.last_sent_at, g.last_event_id, g.last_fields, g.field_versions, g.is_noted
            FROM capydb_auth.merge_user(e, f.fields, u.stored) AS g
            WHERE l.outcome IS NULL AND NOT d.is_newest
            OFFSET 0
        ) AS m ON true
        CROSS JOIN LATERAL (
            SELECT CASE WHEN d.is_newest THEN f.fields ELSE coalesce(m.sets, 0) END AS sets
            OFFSET 0
        ) AS s
        CROSS JOIN LATERAL (
            SELECT
                CASE WHEN s.sets & 1 = 0 THEN u.email WHEN d.is_newest THEN e.email
                    ELSE m.shown ->> 'email' END AS email,
                CASE WHEN s.sets & 2 = 0 THEN u.first_name WHEN d.is_newest THEN e.first_name
                    ELSE m.shown ->> 'first_name' END AS first_name,
                CASE WHEN s.sets & 4 = 0 THEN u.last_name WHEN d.is_newest THEN e.last_name
                    ELSE m.shown ->> 'last_name' END AS last_name,
                CASE WHEN s.sets & 8 = 0 THEN u.username WHEN d.is_newest THEN e.username
                    ELSE m.shown ->> 'username' END AS username,
                CASE WHEN s.sets & 16 = 0 THEN u.image_url WHEN d.is_newest THEN e.image_url
                    ELSE m.shown ->> 'image_url' END AS image_url,
                CASE WHEN s.sets & 32 = 0 THEN u.created_at WHEN d.is_newest THEN e.created_at
                    ELSE (m.shown ->> 'created_at')::timestamptz END AS created_at,
                CASE WHEN s.sets & 64 = 0 THEN u.updated_at WHEN d.is_newest THEN e.updated_at
                    ELSE (m.shown ->> 'updated_at')::timestamptz END AS updated_at,
                CASE WHEN s.sets & 128 = 0 THEN u.last_sign_in_at WHEN d.is_newest THEN e.last_sign_in_at
                    ELSE (m.shown ->> 'last_sign_in_at')::timestamptz END AS last_sign_in_at,
                CASE WHEN s.sets & 256 = 0 THEN u.deleted_at WHEN d.is_newest THEN e.deleted_at
                    ELSE (m.shown ->> 'deleted_at')::timestamptz END AS deleted_at,
                CASE WHEN s.sets & 512 = 0 THEN u.raw WHEN d.is_newest THEN e.raw ELSE m.shown -> 'raw' END AS raw
            OFFSET 0
        ) AS v
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.sets = 0 THEN 0 ELSE
                  CASE WHEN v.email           IS DISTINCT FROM u.email           THEN 1   ELSE 0 END
                + CASE WHEN v.first_name      IS DISTINCT FROM u.first_name      THEN 2   ELSE 0 END
                + CASE WHEN v.last_name       IS DISTINCT FROM u.last_name       THEN 4   ELSE 0 END
                + CASE WHEN v.username        IS DISTINCT FROM u.username        THEN 8   ELSE 0 END
                + CASE WHEN v.image_url       IS DISTINCT FROM u.image_url       THEN 16  ELSE 0 END
                + CASE WHEN v.created_at      IS DISTINCT FROM u.created_at      THEN 32  ELSE 0 END
                + CASE WHEN v.updated_at      IS DISTINCT FROM u.updated_at      THEN 64  ELSE 0 END
                + CASE WHEN v.last_sign_in_at IS DISTINCT FROM u.last_sign_in_at THEN 128 ELSE 0 END
                + CASE WHEN v.deleted_at      IS DISTINCT FROM u.deleted_at      THEN 256 ELSE 0 END
                + CASE WHEN v.raw             IS DISTINCT FROM u.raw             THEN 512 ELSE 0 END
            END AS changed
            OFFSET 0
        ) AS c
    ),
    insert_users AS (
        INSERT INTO capydb_auth.users (
            id, email, first_name, last_name, username, image_url,
            created_at, updated_at, last_sign_in_at, deleted_at, raw, provider,
            last_event_processed, last_event_sent_at, last_event_id, last_event_fields, field_versions
        )
        SELECT
            d.user_id, d.email, d.first_name, d.last_name, d.username, d.image_url,
            d.created_at, d.updated_at, d.last_sign_in_at, d.deleted_at, d.raw, d.last_provider,
            d.last_at, d.last_sent_at, d.last_event_id, d.last_fields, d.field_versions
        FROM decided AS d
        WHERE d.is_written AND d.place IS NULL
        RETURNING 1
    ),
    update_users AS (
        UPDATE capydb_auth.users AS u SET
            email                = d.email,
            first_name           = d.first_name,
            last_name            = d.last_name,
            username             = d.username,
            image_url            = d.image_url,
            created_at           = d.created_at,
            updated_at           = d.updated_at,
            last_sign_in_at      = d.last_sign_in_at,
            deleted_at           = d.deleted_at,
            raw                  = d.raw,
            provider             = d.last_provider,
            last_event_processed = d.last_at,
            last_event_sent_at   = d.last_sent_at,
            last_event_id        = d.last_event_id,
            last_event_fields    = d.last_fields,
            field_versions       = d.field_versions,
            placeholder_since    = NULL
        FROM decided AS d
        WHERE d.is_written AND u.ctid = d.place
        RETURNING 1
    ),
    insert_changes AS (
        INSERT INTO capydb_auth.changes (
            record_type, record_id, kind, changed, before, after, raw, provider, event_id, event_at
        )
        SELECT
            'user', d.user_id, d.kind,
            array_remove(ARRAY[
                CASE WHEN d.changed & 1   <> 0 THEN 'email' END,
                CASE WHEN d.changed & 2   <> 0 THEN 'first_name' END,
                CASE WHEN d.changed & 4   <> 0 THEN 'last_name' END,
                CASE WHEN d.changed & 8   <> 0 THEN 'username' END,
                CASE WHEN d.changed & 16  <> 0 THEN 'image_url' END,
                CASE WHEN d.changed & 32  <> 0 THEN 'created_at' END,
                CASE WHEN d.changed & 64  <> 0 THEN 'updated_at' END,
                CASE WHEN d.changed & 128 <> 0 THEN 'last_sign_in_at' END,
                CASE WHEN d.changed & 256 <> 0 THEN 'deleted_at' END,
                CASE WHEN d.changed & 512 <> 0 THEN 'raw' END
            ], NULL),
            d.before,
            jsonb_build_object(
                'id', d.user_id, 'email', d.email, 'first_name', d.first_name, 'last_name', d.last_name,
                'username', d.username, 'image_url', d.image_url,
                'created_at', d.created_at, 'updated_at', d.updated_at,
                'last_sign_in_at', d.last_sign_in_at, 'deleted_at', d.deleted_at
            ),
            d.raw, d.provider, d.event_id, d.clock
        FROM decided AS d
        WHERE d.changed <> 0
        ORDER BY d.ordinal
    ),
    result AS (
        SELECT
            d.*,
            CASE
                WHEN d.is_same THEN d.known_outcome
                WHEN d.known_outcome IS NOT NULL THEN 'duplicate'
                WHEN d.sets = 0 THEN 'stale'
                WHEN NOT d.in_ledger AND NOT d.is_new AND d.changed = 0 THEN 'unchanged'
                ELSE 'applied'
            END AS outcome,
            CASE
                WHEN d.is_same THEN d.known_reason
                WHEN d.known_outcome IS NOT NULL THEN format('the same event came before, with message %s', d.known_inbox_id)
                WHEN d.sets = 0 THEN 'newer events had already set all its fields'
            END AS reason
        FROM decided AS d
    ),
    insert_events AS (
        INSERT INTO capydb_auth.processed_events (
            provider, event_id, user_id, received_at, inbox_id, inbox_ordinal, outcome, reason
        )
        SELECT r.provider, r.event_id, r.user_id, r.received_at, r.inbox_id, r.inbox_ordinal, r.outcome, r.reason
        FROM result AS r
        WHERE r.in_ledger AND r.known_outcome IS NULL
    )
    SELECT r.ordinal, r.outcome, r.reason
    FROM result AS r
    WHERE capydb_auth.require_all_written(
        (SELECT count(*) FROM insert_users) + (SELECT count(*) FROM update_users),
        (SELECT count(*) FROM decided AS d WHERE d.is_written)
    );
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.apply_round(capydb_auth.user_event[])
    IS 'Applies events about different users; called by apply_events only.';
