CREATE SCHEMA capydb_auth;

COMMENT ON SCHEMA capydb_auth IS 'authsync: the users of the identity provider. Read it, join it; only authsync writes to it.';

CREATE TYPE capydb_auth.event AS (
	ordinal integer,
	record_type text,
	record_id text,
	organization_id text,
	user_id text,
	provider text,
	event_id text COLLATE pg_catalog."C",
	id_is_digest boolean,
	inbox_id bigint,
	inbox_ordinal integer,
	received_at timestamp with time zone,
	in_ledger boolean,
	at timestamp with time zone,
	deleted_clock timestamp with time zone,
	sent_at timestamp with time zone,
	arrived_at timestamp with time zone,
	at_is_receipt boolean,
	deleted_clock_is_receipt boolean,
	last_sign_in_at_is_least boolean,
	role_added text,
	role_removed text,
	fields integer,
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
	name text,
	slug text,
	id text,
	role text,
	roles text[],
	permissions text[],
	status text,
	expires_at timestamp with time zone,
	last_active_at timestamp with time zone
);

COMMENT ON TYPE capydb_auth.event IS 'An event about a record, the argument of apply_events.';

COMMENT ON COLUMN capydb_auth.event.ordinal IS 'Names the event in the result.';

COMMENT ON COLUMN capydb_auth.event.record_type IS 'user, organization, membership, invitation or session.';

COMMENT ON COLUMN capydb_auth.event.record_id IS 'The provider''s id of the record; of a membership organization_id/user_id, with / in the former as %2F and % as %25.';

COMMENT ON COLUMN capydb_auth.event.organization_id IS 'Of a membership or an invitation, its organization.';

COMMENT ON COLUMN capydb_auth.event.user_id IS 'Of a membership or a session, its user.';

COMMENT ON COLUMN capydb_auth.event.event_id IS 'The same on every repetition.';

COMMENT ON COLUMN capydb_auth.event.id_is_digest IS 'The id is the digest of a body: it names the event for ten minutes only.';

COMMENT ON COLUMN capydb_auth.event.inbox_id IS 'The message that brought it (authsync.inbox.id in the control database).';

COMMENT ON COLUMN capydb_auth.event.inbox_ordinal IS 'Place of the event in that message, from 0.';

COMMENT ON COLUMN capydb_auth.event.in_ledger IS 'False for what authsync read from the provider itself: the ledger is neither read nor written, and ids may repeat.';

COMMENT ON COLUMN capydb_auth.event.at IS 'Clock of the fields; NULL for a deletion without a profile.';

COMMENT ON COLUMN capydb_auth.event.deleted_clock IS 'Clock of a deletion; NULL for everything else.';

COMMENT ON COLUMN capydb_auth.event.sent_at IS 'Breaks ties of the clocks.';

COMMENT ON COLUMN capydb_auth.event.arrived_at IS 'When it was received; NULL where its clocks are the sender''s and none is ahead of that.';

COMMENT ON COLUMN capydb_auth.event.at_is_receipt IS 'The sender gave no clock: at is the time of receipt.';

COMMENT ON COLUMN capydb_auth.event.deleted_clock_is_receipt IS 'Likewise deleted_clock.';

COMMENT ON COLUMN capydb_auth.event.last_sign_in_at_is_least IS 'The last sign-in may have been later: the column never goes back, whatever the clocks are.';

COMMENT ON COLUMN capydb_auth.event.role_added IS 'A role that the membership has got, where the provider reports roles one by one.';

COMMENT ON COLUMN capydb_auth.event.role_removed IS 'Likewise a role that it has lost.';

COMMENT ON COLUMN capydb_auth.event.fields IS 'The columns that the event sets, as a sum; see users.last_event_fields.';

COMMENT ON COLUMN capydb_auth.event.deleted_at IS 'Of a session, when it ended.';

COMMENT ON COLUMN capydb_auth.event.id IS 'The provider''s id of a membership, which is not its key.';

CREATE TYPE capydb_auth.version AS (
	at timestamp with time zone,
	sent_at timestamp with time zone,
	event_id text COLLATE pg_catalog."C",
	received_at timestamp with time zone
);

COMMENT ON TYPE capydb_auth.version IS 'When (provider clock, then time sent) and by which event a value was set; the greater one wins.';

COMMENT ON COLUMN capydb_auth.version.received_at IS 'When the event was received, if its clock was ahead of that; otherwise NULL.';

CREATE FUNCTION capydb_auth.apply_around_locks(p_events capydb_auth.event[]) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    c_locked   constant text := 'the record is locked by another transaction in the project''s database';
    c_lock     constant text := 'a lock that is needed to write the record is held by another transaction in the project''s database';
    c_waits    constant integer := 20;
    v_busy     text[] := '{}'::text[]; -- records, as type and id
    v_free     capydb_auth.event[];
    v_event    capydb_auth.event;
    v_waits    integer := 0;
    v_ordinals integer[];
    v_outcomes text[];
    v_reasons  text[];
BEGIN
    v_busy := v_busy || ARRAY(
        SELECT 'organization ' || e.record_id
        FROM unnest(p_events) AS e
        LEFT JOIN LATERAL (
            SELECT true AS is_there FROM capydb_auth.organizations AS i
            WHERE (i.id) >= (e.record_id)
              AND (i.id) <= (e.record_id)
            ORDER BY i.id
            LIMIT 1
        ) AS h ON true
        LEFT JOIN LATERAL (
            SELECT true AS is_taken FROM capydb_auth.organizations AS i
            WHERE (i.id) >= (e.record_id)
              AND (i.id) <= (e.record_id)
            ORDER BY i.id
            LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS t ON true
        WHERE e.record_type = 'organization' AND h.is_there AND t.is_taken IS NULL
    );
    v_busy := v_busy || ARRAY(
        SELECT 'user ' || e.record_id
        FROM unnest(p_events) AS e
        LEFT JOIN LATERAL (
            SELECT true AS is_there FROM capydb_auth.users AS i
            WHERE (i.id) >= (e.record_id)
              AND (i.id) <= (e.record_id)
            ORDER BY i.id
            LIMIT 1
        ) AS h ON true
        LEFT JOIN LATERAL (
            SELECT true AS is_taken FROM capydb_auth.users AS i
            WHERE (i.id) >= (e.record_id)
              AND (i.id) <= (e.record_id)
            ORDER BY i.id
            LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS t ON true
        WHERE e.record_type = 'user' AND h.is_there AND t.is_taken IS NULL
    );
    v_busy := v_busy || ARRAY(
        SELECT 'membership ' || e.record_id
        FROM unnest(p_events) AS e
        LEFT JOIN LATERAL (
            SELECT true AS is_there FROM capydb_auth.memberships AS i
            WHERE (i.organization_id, i.user_id) >= (e.organization_id, e.user_id)
              AND (i.organization_id, i.user_id) <= (e.organization_id, e.user_id)
            ORDER BY i.organization_id, i.user_id
            LIMIT 1
        ) AS h ON true
        LEFT JOIN LATERAL (
            SELECT true AS is_taken FROM capydb_auth.memberships AS i
            WHERE (i.organization_id, i.user_id) >= (e.organization_id, e.user_id)
              AND (i.organization_id, i.user_id) <= (e.organization_id, e.user_id)
            ORDER BY i.organization_id, i.user_id
            LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS t ON true
        WHERE e.record_type = 'membership' AND h.is_there AND t.is_taken IS NULL
    );
    v_busy := v_busy || ARRAY(
        SELECT 'invitation ' || e.record_id
        FROM unnest(p_events) AS e
        LEFT JOIN LATERAL (
            SELECT true AS is_there FROM capydb_auth.invitations AS i
            WHERE (i.id) >= (e.record_id)
              AND (i.id) <= (e.record_id)
            ORDER BY i.id
            LIMIT 1
        ) AS h ON true
        LEFT JOIN LATERAL (
            SELECT true AS is_taken FROM capydb_auth.invitations AS i
            WHERE (i.id) >= (e.record_id)
              AND (i.id) <= (e.record_id)
            ORDER BY i.id
            LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS t ON true
        WHERE e.record_type = 'invitation' AND h.is_there AND t.is_taken IS NULL
    );
    v_busy := v_busy || ARRAY(
        SELECT 'session ' || e.record_id
        FROM unnest(p_events) AS e
        LEFT JOIN LATERAL (
            SELECT true AS is_there FROM capydb_auth.sessions AS i
            WHERE (i.id) >= (e.record_id)
              AND (i.id) <= (e.record_id)
            ORDER BY i.id
            LIMIT 1
        ) AS h ON true
        LEFT JOIN LATERAL (
            SELECT true AS is_taken FROM capydb_auth.sessions AS i
            WHERE (i.id) >= (e.record_id)
              AND (i.id) <= (e.record_id)
            ORDER BY i.id
            LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS t ON true
        WHERE e.record_type = 'session' AND h.is_there AND t.is_taken IS NULL
    );

    RETURN QUERY
    SELECT e.ordinal, 'deferred', c_locked
    FROM unnest(p_events) AS e
    WHERE e.record_type || ' ' || e.record_id = ANY (v_busy);

    SELECT coalesce(array_agg(p_events[i] ORDER BY i), '{}')
    INTO v_free
    FROM generate_subscripts(p_events, 1) AS i
    WHERE (p_events[i]).record_type || ' ' || (p_events[i]).record_id <> ALL (v_busy);

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

    FOREACH v_event IN ARRAY v_free LOOP
        outcome := NULL;
        IF v_waits < c_waits AND v_event.record_type || ' ' || v_event.record_id <> ALL (v_busy) THEN
            BEGIN
                SELECT r.ordinal, r.outcome, r.reason
                INTO STRICT ordinal, outcome, reason
                FROM capydb_auth.apply_rounds(ARRAY[v_event]) AS r;
            EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
                v_waits := v_waits + 1;
                v_busy := v_busy || (v_event.record_type || ' ' || v_event.record_id);
            END;
        END IF;
        IF outcome IS NULL THEN
            ordinal := v_event.ordinal;
            outcome := 'deferred';
            reason := c_lock;
        END IF;
        RETURN NEXT;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_around_locks(p_events capydb_auth.event[]) IS 'Applies events, except those that need what another transaction has locked; called by apply_events only.';

CREATE FUNCTION capydb_auth.apply_events(p_events capydb_auth.event[]) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    v_ordinals integer[];
    v_outcomes text[];
    v_reasons  text[];
BEGIN
    PERFORM capydb_auth.lock_mirror();

    BEGIN
        SELECT array_agg(r.ordinal), array_agg(r.outcome), array_agg(r.reason)
        INTO v_ordinals, v_outcomes, v_reasons
        FROM capydb_auth.apply_rounds(p_events) AS r;
    EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure OR unique_violation OR SQLSTATE 'US002' THEN
        SELECT array_agg(r.ordinal), array_agg(r.outcome), array_agg(r.reason)
        INTO v_ordinals, v_outcomes, v_reasons
        FROM capydb_auth.apply_around_locks(p_events) AS r;
    END;

    RETURN QUERY
    SELECT r.ordinal, r.outcome, r.reason
    FROM unnest(v_ordinals, v_outcomes, v_reasons) AS r (ordinal, outcome, reason);
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_events(p_events capydb_auth.event[]) IS 'Applies a batch of a provider''s events to the mirror, each exactly once, in any order.';

CREATE FUNCTION capydb_auth.apply_invitations(p_events capydb_auth.event[]) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET enable_tidscan TO 'on'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH decided AS MATERIALIZED (
        SELECT
            e.ordinal, e.provider, e.event_id, e.record_id, e.inbox_id, e.inbox_ordinal, e.received_at, e.in_ledger,
            e.record_id AS key_id,
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
            v.organization_id,
            v.email,
            v.role,
            v.status,
            v.expires_at,
            v.created_at,
            v.updated_at,
            v.deleted_at,
            v.raw,
            c.changed,
            CASE
                WHEN v.deleted_at IS NOT NULL AND (d.is_new OR u.deleted_at IS NULL) THEN 'deleted'
                WHEN d.is_new THEN 'created'
                WHEN v.deleted_at IS NULL AND u.deleted_at IS NOT NULL THEN 'restored'
                ELSE 'updated'
            END AS kind,
            CASE WHEN NOT d.is_new AND c.changed <> 0 THEN
                jsonb_build_object(
                    'organization_id', u.organization_id,
                    'email', u.email,
                    'role', u.role,
                    'status', u.status,
                    'expires_at', u.expires_at,
                    'created_at', u.created_at,
                    'updated_at', u.updated_at,
                    'deleted_at', u.deleted_at
                ) - array_remove(ARRAY[
                    CASE WHEN c.changed & 65536 = 0 THEN 'organization_id' END,
                    CASE WHEN c.changed & 1 = 0 THEN 'email' END,
                    CASE WHEN c.changed & 8192 = 0 THEN 'role' END,
                    CASE WHEN c.changed & 262144 = 0 THEN 'status' END,
                    CASE WHEN c.changed & 524288 = 0 THEN 'expires_at' END,
                    CASE WHEN c.changed & 32 = 0 THEN 'created_at' END,
                    CASE WHEN c.changed & 64 = 0 THEN 'updated_at' END,
                    CASE WHEN c.changed & 256 = 0 THEN 'deleted_at' END
                ], NULL)
            END AS before,
            CASE WHEN NOT d.is_new AND c.changed <> 0 THEN u.raw END AS before_raw
        FROM unnest(p_events) AS e
        LEFT JOIN LATERAL (
            SELECT
                i.ctid AS place, i.last_event_processed, i.provider, i.last_event_sent_at, i.last_event_id, i.last_event_fields,
                i.field_versions,
                i.organization_id,
                i.email,
                i.role,
                i.status,
                i.expires_at,
                i.created_at,
                i.updated_at,
                i.deleted_at,
                i.raw
            FROM capydb_auth.invitations AS i
            WHERE (i.id) >= (e.record_id)
              AND (i.id) <= (e.record_id)
            ORDER BY i.id
            LIMIT 1
        ) AS u ON true
        LEFT JOIN LATERAL (
            SELECT p.inbox_id, p.outcome, p.reason, p.inbox_id = e.inbox_id AND p.inbox_ordinal = e.inbox_ordinal AS is_same
            FROM capydb_auth.processed_events AS p
            WHERE e.in_ledger
              AND p.provider = e.provider
              AND p.event_id = e.event_id
              AND p.record_type = 'invitation'
              AND p.record_id = e.record_id
              -- The digest of a body names an event for ten minutes only.
              AND (NOT e.id_is_digest
                   OR (p.received_at > e.received_at - interval '10 minutes'
                       AND p.received_at < e.received_at + interval '10 minutes'))
            ORDER BY is_same DESC, p.received_at
            LIMIT 1
        ) AS l ON true
        CROSS JOIN LATERAL (
            SELECT e.fields
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
            OFFSET 0 -- once an event, not once a use; so below
        ) AS d
        LEFT JOIN LATERAL (
            SELECT g.shown, g.sets, g.last_at, g.last_sent_at, g.last_event_id, g.last_fields, g.field_versions, g.is_noted
            FROM capydb_auth.merge_record(
                e, f.fields,
                u.last_event_processed, u.last_event_sent_at, u.last_event_id, u.last_event_fields, u.field_versions,
                NULL
            ) AS g
            WHERE l.outcome IS NULL AND NOT d.is_newest
            OFFSET 0
        ) AS m ON true
        CROSS JOIN LATERAL (
            SELECT CASE WHEN d.is_newest THEN f.fields ELSE coalesce(m.sets, 0) END AS sets
            OFFSET 0
        ) AS s
        CROSS JOIN LATERAL (
            SELECT
                CASE WHEN s.sets & 65536 = 0 THEN u.organization_id
                    WHEN d.is_newest THEN e.organization_id
                    ELSE m.shown ->> 'organization_id' END AS organization_id,
                CASE WHEN s.sets & 1 = 0 THEN u.email
                    WHEN d.is_newest THEN e.email
                    ELSE m.shown ->> 'email' END AS email,
                CASE WHEN s.sets & 8192 = 0 THEN u.role
                    WHEN d.is_newest THEN e.role
                    ELSE m.shown ->> 'role' END AS role,
                CASE WHEN s.sets & 262144 = 0 THEN u.status
                    WHEN d.is_newest THEN e.status
                    ELSE m.shown ->> 'status' END AS status,
                CASE WHEN s.sets & 524288 = 0 THEN u.expires_at
                    WHEN d.is_newest THEN e.expires_at
                    ELSE (m.shown ->> 'expires_at')::timestamptz END AS expires_at,
                CASE WHEN s.sets & 32 = 0 THEN u.created_at
                    WHEN d.is_newest THEN e.created_at
                    ELSE (m.shown ->> 'created_at')::timestamptz END AS created_at,
                CASE WHEN s.sets & 64 = 0 THEN u.updated_at
                    WHEN d.is_newest THEN e.updated_at
                    ELSE (m.shown ->> 'updated_at')::timestamptz END AS updated_at,
                CASE WHEN s.sets & 256 = 0 THEN u.deleted_at
                    WHEN d.is_newest THEN e.deleted_at
                    ELSE (m.shown ->> 'deleted_at')::timestamptz END AS deleted_at,
                CASE WHEN s.sets & 512 = 0 THEN u.raw
                    WHEN d.is_newest THEN e.raw
                    ELSE m.shown -> 'raw' END AS raw
            OFFSET 0
        ) AS v
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.sets = 0 THEN 0 ELSE
                  CASE WHEN v.organization_id IS DISTINCT FROM u.organization_id THEN 65536 ELSE 0 END
                + CASE WHEN v.email IS DISTINCT FROM u.email THEN 1 ELSE 0 END
                + CASE WHEN v.role IS DISTINCT FROM u.role THEN 8192 ELSE 0 END
                + CASE WHEN v.status IS DISTINCT FROM u.status THEN 262144 ELSE 0 END
                + CASE WHEN v.expires_at IS DISTINCT FROM u.expires_at THEN 524288 ELSE 0 END
                + CASE WHEN v.created_at IS DISTINCT FROM u.created_at THEN 32 ELSE 0 END
                + CASE WHEN v.updated_at IS DISTINCT FROM u.updated_at THEN 64 ELSE 0 END
                + CASE WHEN v.deleted_at IS DISTINCT FROM u.deleted_at THEN 256 ELSE 0 END
                + CASE WHEN v.raw IS DISTINCT FROM u.raw THEN 512 ELSE 0 END
            END AS changed
            OFFSET 0
        ) AS c
    ),
    insert_records AS (
        INSERT INTO capydb_auth.invitations (
            id,
            organization_id,
            email,
            role,
            status,
            expires_at,
            created_at,
            updated_at,
            deleted_at,
            raw,
            provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields, field_versions
        )
        SELECT
            d.key_id,
            d.organization_id,
            d.email,
            d.role,
            d.status,
            d.expires_at,
            d.created_at,
            d.updated_at,
            d.deleted_at,
            d.raw,
            d.last_provider, d.last_at, d.last_sent_at, d.last_event_id, d.last_fields, d.field_versions
        FROM decided AS d
        WHERE d.is_written AND d.place IS NULL
        RETURNING 1
    ),
    update_records AS (
        UPDATE capydb_auth.invitations AS u SET
            organization_id = d.organization_id,
            email = d.email,
            role = d.role,
            status = d.status,
            expires_at = d.expires_at,
            created_at = d.created_at,
            updated_at = d.updated_at,
            deleted_at = d.deleted_at,
            raw = d.raw,
            provider = d.last_provider,
            last_event_processed = d.last_at,
            last_event_sent_at = d.last_sent_at,
            last_event_id = d.last_event_id,
            last_event_fields = d.last_fields,
            field_versions = d.field_versions
        FROM decided AS d
        WHERE d.is_written AND u.ctid = d.place
        RETURNING 1
    ),
    insert_changes AS (
        INSERT INTO capydb_auth.changes (
            record_type, record_id, kind, changed_fields, before, before_raw, provider, event_id, event_at,
            after_organization_id, after_email, after_role, after_status, after_expires_at, after_created_at,
            after_updated_at, after_deleted_at
        )
        SELECT
            'invitation', d.record_id, d.kind, d.changed, d.before, d.before_raw, d.provider, d.event_id, d.clock,
            d.organization_id, d.email, d.role, d.status, d.expires_at, d.created_at, d.updated_at, d.deleted_at
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
            provider, event_id, record_type, record_id, received_at, inbox_id, inbox_ordinal, outcome, reason
        )
        SELECT r.provider, r.event_id, 'invitation', r.record_id, r.received_at, r.inbox_id, r.inbox_ordinal, r.outcome, r.reason
        FROM result AS r
        WHERE r.in_ledger AND r.known_outcome IS NULL
    )
    SELECT r.ordinal, r.outcome, r.reason
    FROM result AS r
    WHERE capydb_auth.require_all_written(
        (SELECT count(*) FROM insert_records) + (SELECT count(*) FROM update_records),
        (SELECT count(*) FROM decided AS d WHERE d.is_written)
    );
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_invitations(p_events capydb_auth.event[]) IS 'Applies events about different invitations; called by apply_round only.';

CREATE FUNCTION capydb_auth.apply_memberships(p_events capydb_auth.event[]) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET enable_tidscan TO 'on'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH decided AS MATERIALIZED (
        SELECT
            e.ordinal, e.provider, e.event_id, e.record_id, e.inbox_id, e.inbox_ordinal, e.received_at, e.in_ledger,
            e.organization_id AS key_organization_id,
            e.user_id AS key_user_id,
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
            v.id,
            v.role,
            v.roles,
            v.permissions,
            v.created_at,
            v.updated_at,
            v.deleted_at,
            v.raw,
            w.deleted_at AS shown_deleted_at,
            c.changed,
            CASE
                WHEN w.deleted_at IS NOT NULL AND (d.is_new OR u.deleted_at IS NULL) THEN 'deleted'
                WHEN d.is_new THEN 'created'
                WHEN w.deleted_at IS NULL AND u.deleted_at IS NOT NULL THEN 'restored'
                ELSE 'updated'
            END AS kind,
            CASE WHEN NOT d.is_new AND c.changed <> 0 THEN
                jsonb_build_object(
                    'id', u.id,
                    'role', u.role,
                    'roles', u.roles,
                    'permissions', u.permissions,
                    'created_at', u.created_at,
                    'updated_at', u.updated_at,
                    'deleted_at', u.deleted_at
                ) - array_remove(ARRAY[
                    CASE WHEN c.changed & 4096 = 0 THEN 'id' END,
                    CASE WHEN c.changed & 8192 = 0 THEN 'role' END,
                    CASE WHEN c.changed & 16384 = 0 THEN 'roles' END,
                    CASE WHEN c.changed & 32768 = 0 THEN 'permissions' END,
                    CASE WHEN c.changed & 32 = 0 THEN 'created_at' END,
                    CASE WHEN c.changed & 64 = 0 THEN 'updated_at' END,
                    CASE WHEN c.changed & 256 = 0 THEN 'deleted_at' END
                ], NULL)
            END AS before,
            CASE WHEN NOT d.is_new AND c.changed <> 0 THEN u.raw END AS before_raw
        FROM unnest(p_events) AS e
        LEFT JOIN LATERAL (
            SELECT
                i.ctid AS place, i.last_event_processed, i.provider, i.last_event_sent_at, i.last_event_id, i.last_event_fields,
                i.field_versions,
                i.own_deleted_at AS own_deleted_at,
                i.id,
                i.role,
                i.roles,
                i.permissions,
                i.created_at,
                i.updated_at,
                i.deleted_at,
                i.raw
            FROM capydb_auth.memberships AS i
            WHERE (i.organization_id, i.user_id) >= (e.organization_id, e.user_id)
              AND (i.organization_id, i.user_id) <= (e.organization_id, e.user_id)
            ORDER BY i.organization_id, i.user_id
            LIMIT 1
        ) AS u ON true
        LEFT JOIN LATERAL (
            SELECT i.deleted_at FROM capydb_auth.organizations AS i
            WHERE i.id >= e.organization_id AND i.id <= e.organization_id ORDER BY i.id LIMIT 1
        ) AS po ON true
        LEFT JOIN LATERAL (
            SELECT i.deleted_at FROM capydb_auth.users AS i
            WHERE i.id >= e.user_id AND i.id <= e.user_id ORDER BY i.id LIMIT 1
        ) AS pu ON true
        LEFT JOIN LATERAL (
            SELECT p.inbox_id, p.outcome, p.reason, p.inbox_id = e.inbox_id AND p.inbox_ordinal = e.inbox_ordinal AS is_same
            FROM capydb_auth.processed_events AS p
            WHERE e.in_ledger
              AND p.provider = e.provider
              AND p.event_id = e.event_id
              AND p.record_type = 'membership'
              AND p.record_id = e.record_id
              -- The digest of a body names an event for ten minutes only.
              AND (NOT e.id_is_digest
                   OR (p.received_at > e.received_at - interval '10 minutes'
                       AND p.received_at < e.received_at + interval '10 minutes'))
            ORDER BY is_same DESC, p.received_at
            LIMIT 1
        ) AS l ON true
        CROSS JOIN LATERAL (
            SELECT e.fields
        ) AS f
        CROSS JOIN LATERAL (
            SELECT
                u.last_event_processed IS NULL AS is_new,
                l.outcome IS NULL
                    AND e.arrived_at IS NULL
                    AND e.deleted_clock IS NULL
                    AND e.role_added IS NULL AND e.role_removed IS NULL
                    AND (u.last_event_processed IS NULL
                         OR (u.field_versions IS NULL
                             AND u.last_event_fields & ~f.fields = 0
                             AND coalesce((e.at, e.sent_at, e.event_id)
                                 > (u.last_event_processed, u.last_event_sent_at, u.last_event_id), false))) AS is_newest
            OFFSET 0 -- once an event, not once a use; so below
        ) AS d
        LEFT JOIN LATERAL (
            SELECT g.shown, g.sets, g.last_at, g.last_sent_at, g.last_event_id, g.last_fields, g.field_versions, g.is_noted
            FROM capydb_auth.merge_record(
                e, f.fields,
                u.last_event_processed, u.last_event_sent_at, u.last_event_id, u.last_event_fields, u.field_versions,
                u.roles
            ) AS g
            WHERE l.outcome IS NULL AND NOT d.is_newest
            OFFSET 0
        ) AS m ON true
        CROSS JOIN LATERAL (
            SELECT CASE WHEN d.is_newest THEN f.fields ELSE coalesce(m.sets, 0) END AS sets
            OFFSET 0
        ) AS s
        CROSS JOIN LATERAL (
            SELECT
                CASE WHEN s.sets & 4096 = 0 THEN u.id
                    WHEN d.is_newest THEN e.id
                    ELSE m.shown ->> 'id' END AS id,
                CASE WHEN s.sets & 8192 = 0 THEN u.role
                    WHEN d.is_newest THEN e.role
                    ELSE m.shown ->> 'role' END AS role,
                CASE WHEN s.sets & 16384 = 0 THEN u.roles
                    WHEN d.is_newest THEN e.roles
                    ELSE (SELECT r.roles FROM jsonb_to_record(m.shown) AS r (roles text[])) END AS roles,
                CASE WHEN s.sets & 32768 = 0 THEN u.permissions
                    WHEN d.is_newest THEN e.permissions
                    ELSE (SELECT r.permissions FROM jsonb_to_record(m.shown) AS r (permissions text[])) END AS permissions,
                CASE WHEN s.sets & 32 = 0 THEN u.created_at
                    WHEN d.is_newest THEN e.created_at
                    ELSE (m.shown ->> 'created_at')::timestamptz END AS created_at,
                CASE WHEN s.sets & 64 = 0 THEN u.updated_at
                    WHEN d.is_newest THEN e.updated_at
                    ELSE (m.shown ->> 'updated_at')::timestamptz END AS updated_at,
                CASE WHEN s.sets & 256 = 0 THEN u.own_deleted_at
                    WHEN d.is_newest THEN e.deleted_at
                    ELSE (m.shown ->> 'deleted_at')::timestamptz END AS deleted_at,
                CASE WHEN s.sets & 512 = 0 THEN u.raw
                    WHEN d.is_newest THEN e.raw
                    ELSE m.shown -> 'raw' END AS raw
            OFFSET 0
        ) AS v
        CROSS JOIN LATERAL (SELECT least(v.deleted_at, po.deleted_at, pu.deleted_at) AS deleted_at OFFSET 0) AS w
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.sets = 0 THEN 0 ELSE
                  CASE WHEN v.id IS DISTINCT FROM u.id THEN 4096 ELSE 0 END
                + CASE WHEN v.role IS DISTINCT FROM u.role THEN 8192 ELSE 0 END
                + CASE WHEN v.roles IS DISTINCT FROM u.roles THEN 16384 ELSE 0 END
                + CASE WHEN v.permissions IS DISTINCT FROM u.permissions THEN 32768 ELSE 0 END
                + CASE WHEN v.created_at IS DISTINCT FROM u.created_at THEN 32 ELSE 0 END
                + CASE WHEN v.updated_at IS DISTINCT FROM u.updated_at THEN 64 ELSE 0 END
                + CASE WHEN w.deleted_at IS DISTINCT FROM u.deleted_at THEN 256 ELSE 0 END
                + CASE WHEN v.raw IS DISTINCT FROM u.raw THEN 512 ELSE 0 END
            END AS changed
            OFFSET 0
        ) AS c
    ),
    insert_records AS (
        INSERT INTO capydb_auth.memberships (
            organization_id,
            user_id,
            id,
            role,
            roles,
            permissions,
            created_at,
            updated_at,
            own_deleted_at,
            raw,
            deleted_at,
            provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields, field_versions
        )
        SELECT
            d.key_organization_id,
            d.key_user_id,
            d.id,
            d.role,
            d.roles,
            d.permissions,
            d.created_at,
            d.updated_at,
            d.deleted_at,
            d.raw,
            d.shown_deleted_at,
            d.last_provider, d.last_at, d.last_sent_at, d.last_event_id, d.last_fields, d.field_versions
        FROM decided AS d
        WHERE d.is_written AND d.place IS NULL
        RETURNING 1
    ),
    update_records AS (
        UPDATE capydb_auth.memberships AS u SET
            id = d.id,
            role = d.role,
            roles = d.roles,
            permissions = d.permissions,
            created_at = d.created_at,
            updated_at = d.updated_at,
            own_deleted_at = d.deleted_at,
            raw = d.raw,
            deleted_at = d.shown_deleted_at,
            provider = d.last_provider,
            last_event_processed = d.last_at,
            last_event_sent_at = d.last_sent_at,
            last_event_id = d.last_event_id,
            last_event_fields = d.last_fields,
            field_versions = d.field_versions
        FROM decided AS d
        WHERE d.is_written AND u.ctid = d.place
        RETURNING 1
    ),
    insert_changes AS (
        INSERT INTO capydb_auth.changes (
            record_type, record_id, kind, changed_fields, before, before_raw, provider, event_id, event_at,
            after_organization_id, after_user_id, after_id, after_role, after_roles, after_permissions, after_created_at,
            after_updated_at, after_deleted_at
        )
        SELECT
            'membership', d.record_id, d.kind, d.changed, d.before, d.before_raw, d.provider, d.event_id, d.clock,
            d.key_organization_id, d.key_user_id, d.id, d.role, d.roles, d.permissions, d.created_at, d.updated_at,
            d.shown_deleted_at
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
            provider, event_id, record_type, record_id, received_at, inbox_id, inbox_ordinal, outcome, reason
        )
        SELECT r.provider, r.event_id, 'membership', r.record_id, r.received_at, r.inbox_id, r.inbox_ordinal, r.outcome, r.reason
        FROM result AS r
        WHERE r.in_ledger AND r.known_outcome IS NULL
    )
    SELECT r.ordinal, r.outcome, r.reason
    FROM result AS r
    WHERE capydb_auth.require_all_written(
        (SELECT count(*) FROM insert_records) + (SELECT count(*) FROM update_records),
        (SELECT count(*) FROM decided AS d WHERE d.is_written)
    );
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_memberships(p_events capydb_auth.event[]) IS 'Applies events about different memberships; called by apply_round only.';

CREATE FUNCTION capydb_auth.apply_next(p_events capydb_auth.event[], p_epoch uuid, p_applied_to bigint, p_at timestamp with time zone, p_erasure_key bytea DEFAULT NULL::bytea) RETURNS TABLE(ordinal integer, outcome text, reason text, applied_to bigint, change_id bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    v_applied_to bigint;
    v_events     capydb_auth.event[] := p_events;
    v_erased     integer[] := '{}'::integer[];
BEGIN
    PERFORM capydb_auth.lock_mirror();

    UPDATE capydb_auth.mirror_progress AS p
    -- Of two clocks the one that is behind: what was applied since is lost by a restore.
    SET applied_to = p.applied_to + 1, applied_at = least(p_at, clock_timestamp())
    WHERE p.epoch = p_epoch AND p.applied_to >= p_applied_to
    RETURNING p.applied_to INTO v_applied_to;
    IF v_applied_to IS NULL THEN
        RAISE EXCEPTION 'the mirror has lost calls that were applied to it: it was restored from a backup, or recreated'
            USING ERRCODE = 'US004', HINT = 'authsync repairs it by itself; see authsync doctor.';
    END IF;

    -- Under the lock: whoever erases a user takes it, too, so that no event slips through.
    IF EXISTS (SELECT FROM capydb_auth.erasures) THEN
        IF p_erasure_key IS NULL THEN
            RAISE EXCEPTION 'users of this mirror were erased, and the caller has not learned of it yet'
                USING ERRCODE = 'US005', HINT = 'Try again in a moment.';
        END IF;
        v_erased := ARRAY(
            SELECT (p_events[f.place::integer]).ordinal
            FROM capydb_auth.find_erased(
                p_erasure_key,
                ARRAY(SELECT e.record_type FROM unnest(p_events) AS e),
                ARRAY(SELECT e.record_id FROM unnest(p_events) AS e),
                ARRAY(SELECT e.user_id FROM unnest(p_events) AS e)
            ) AS f (place)
        );
        IF v_erased <> '{}' THEN
            v_events := ARRAY(
                SELECT p_events[i] FROM generate_subscripts(p_events, 1) AS i
                WHERE (p_events[i]).ordinal <> ALL (v_erased) ORDER BY i
            );
        END IF;
    END IF;

    RETURN QUERY
    SELECT
        e.ordinal, e.outcome, e.reason, v_applied_to,
        -- A subquery, so that it is looked up once a call: when the events have been applied.
        (SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('capydb_auth.changes', 'id')::regclass), 0))
    FROM (
        SELECT a.ordinal, a.outcome, a.reason FROM capydb_auth.apply_events(v_events) AS a
        UNION ALL
        SELECT u.ordinal, 'erased', 'the user was erased' FROM unnest(v_erased) AS u (ordinal)
    ) AS e (ordinal, outcome, reason);
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_next(p_events capydb_auth.event[], p_epoch uuid, p_applied_to bigint, p_at timestamp with time zone, p_erasure_key bytea) IS 'Applies a batch of events as the call that follows those which the caller knows of.';

CREATE FUNCTION capydb_auth.apply_organizations(p_events capydb_auth.event[]) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET enable_tidscan TO 'on'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH decided AS MATERIALIZED (
        SELECT
            e.ordinal, e.provider, e.event_id, e.record_id, e.inbox_id, e.inbox_ordinal, e.received_at, e.in_ledger,
            e.record_id AS key_id,
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
            v.name,
            v.slug,
            v.image_url,
            v.created_at,
            v.updated_at,
            v.deleted_at,
            v.raw,
            c.changed,
            CASE
                WHEN v.deleted_at IS NOT NULL AND (d.is_new OR u.deleted_at IS NULL) THEN 'deleted'
                WHEN d.is_new THEN 'created'
                WHEN v.deleted_at IS NULL AND u.deleted_at IS NOT NULL THEN 'restored'
                ELSE 'updated'
            END AS kind,
            CASE WHEN NOT d.is_new AND c.changed <> 0 THEN
                jsonb_build_object(
                    'name', u.name,
                    'slug', u.slug,
                    'image_url', u.image_url,
                    'created_at', u.created_at,
                    'updated_at', u.updated_at,
                    'deleted_at', u.deleted_at
                ) - array_remove(ARRAY[
                    CASE WHEN c.changed & 1024 = 0 THEN 'name' END,
                    CASE WHEN c.changed & 2048 = 0 THEN 'slug' END,
                    CASE WHEN c.changed & 16 = 0 THEN 'image_url' END,
                    CASE WHEN c.changed & 32 = 0 THEN 'created_at' END,
                    CASE WHEN c.changed & 64 = 0 THEN 'updated_at' END,
                    CASE WHEN c.changed & 256 = 0 THEN 'deleted_at' END
                ], NULL)
            END AS before,
            CASE WHEN NOT d.is_new AND c.changed <> 0 THEN u.raw END AS before_raw
        FROM unnest(p_events) AS e
        LEFT JOIN LATERAL (
            SELECT
                i.ctid AS place, i.last_event_processed, i.provider, i.last_event_sent_at, i.last_event_id, i.last_event_fields,
                i.field_versions,
                i.name,
                i.slug,
                i.image_url,
                i.created_at,
                i.updated_at,
                i.deleted_at,
                i.raw
            FROM capydb_auth.organizations AS i
            WHERE (i.id) >= (e.record_id)
              AND (i.id) <= (e.record_id)
            ORDER BY i.id
            LIMIT 1
        ) AS u ON true
        LEFT JOIN LATERAL (
            SELECT p.inbox_id, p.outcome, p.reason, p.inbox_id = e.inbox_id AND p.inbox_ordinal = e.inbox_ordinal AS is_same
            FROM capydb_auth.processed_events AS p
            WHERE e.in_ledger
              AND p.provider = e.provider
              AND p.event_id = e.event_id
              AND p.record_type = 'organization'
              AND p.record_id = e.record_id
              -- The digest of a body names an event for ten minutes only.
              AND (NOT e.id_is_digest
                   OR (p.received_at > e.received_at - interval '10 minutes'
                       AND p.received_at < e.received_at + interval '10 minutes'))
            ORDER BY is_same DESC, p.received_at
            LIMIT 1
        ) AS l ON true
        CROSS JOIN LATERAL (
            SELECT e.fields
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
            OFFSET 0 -- once an event, not once a use; so below
        ) AS d
        LEFT JOIN LATERAL (
            SELECT g.shown, g.sets, g.last_at, g.last_sent_at, g.last_event_id, g.last_fields, g.field_versions, g.is_noted
            FROM capydb_auth.merge_record(
                e, f.fields,
                u.last_event_processed, u.last_event_sent_at, u.last_event_id, u.last_event_fields, u.field_versions,
                NULL
            ) AS g
            WHERE l.outcome IS NULL AND NOT d.is_newest
            OFFSET 0
        ) AS m ON true
        CROSS JOIN LATERAL (
            SELECT CASE WHEN d.is_newest THEN f.fields ELSE coalesce(m.sets, 0) END AS sets
            OFFSET 0
        ) AS s
        CROSS JOIN LATERAL (
            SELECT
                CASE WHEN s.sets & 1024 = 0 THEN u.name
                    WHEN d.is_newest THEN e.name
                    ELSE m.shown ->> 'name' END AS name,
                CASE WHEN s.sets & 2048 = 0 THEN u.slug
                    WHEN d.is_newest THEN e.slug
                    ELSE m.shown ->> 'slug' END AS slug,
                CASE WHEN s.sets & 16 = 0 THEN u.image_url
                    WHEN d.is_newest THEN e.image_url
                    ELSE m.shown ->> 'image_url' END AS image_url,
                CASE WHEN s.sets & 32 = 0 THEN u.created_at
                    WHEN d.is_newest THEN e.created_at
                    ELSE (m.shown ->> 'created_at')::timestamptz END AS created_at,
                CASE WHEN s.sets & 64 = 0 THEN u.updated_at
                    WHEN d.is_newest THEN e.updated_at
                    ELSE (m.shown ->> 'updated_at')::timestamptz END AS updated_at,
                CASE WHEN s.sets & 256 = 0 THEN u.deleted_at
                    WHEN d.is_newest THEN e.deleted_at
                    ELSE (m.shown ->> 'deleted_at')::timestamptz END AS deleted_at,
                CASE WHEN s.sets & 512 = 0 THEN u.raw
                    WHEN d.is_newest THEN e.raw
                    ELSE m.shown -> 'raw' END AS raw
            OFFSET 0
        ) AS v
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.sets = 0 THEN 0 ELSE
                  CASE WHEN v.name IS DISTINCT FROM u.name THEN 1024 ELSE 0 END
                + CASE WHEN v.slug IS DISTINCT FROM u.slug THEN 2048 ELSE 0 END
                + CASE WHEN v.image_url IS DISTINCT FROM u.image_url THEN 16 ELSE 0 END
                + CASE WHEN v.created_at IS DISTINCT FROM u.created_at THEN 32 ELSE 0 END
                + CASE WHEN v.updated_at IS DISTINCT FROM u.updated_at THEN 64 ELSE 0 END
                + CASE WHEN v.deleted_at IS DISTINCT FROM u.deleted_at THEN 256 ELSE 0 END
                + CASE WHEN v.raw IS DISTINCT FROM u.raw THEN 512 ELSE 0 END
            END AS changed
            OFFSET 0
        ) AS c
    ),
    insert_records AS (
        INSERT INTO capydb_auth.organizations (
            id,
            name,
            slug,
            image_url,
            created_at,
            updated_at,
            deleted_at,
            raw,
            provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields, field_versions
        )
        SELECT
            d.key_id,
            d.name,
            d.slug,
            d.image_url,
            d.created_at,
            d.updated_at,
            d.deleted_at,
            d.raw,
            d.last_provider, d.last_at, d.last_sent_at, d.last_event_id, d.last_fields, d.field_versions
        FROM decided AS d
        WHERE d.is_written AND d.place IS NULL
        RETURNING 1
    ),
    update_records AS (
        UPDATE capydb_auth.organizations AS u SET
            name = d.name,
            slug = d.slug,
            image_url = d.image_url,
            created_at = d.created_at,
            updated_at = d.updated_at,
            deleted_at = d.deleted_at,
            raw = d.raw,
            provider = d.last_provider,
            last_event_processed = d.last_at,
            last_event_sent_at = d.last_sent_at,
            last_event_id = d.last_event_id,
            last_event_fields = d.last_fields,
            field_versions = d.field_versions,
            placeholder_since = NULL
        FROM decided AS d
        WHERE d.is_written AND u.ctid = d.place
        RETURNING 1
    ),
    insert_changes AS (
        INSERT INTO capydb_auth.changes (
            record_type, record_id, kind, changed_fields, before, before_raw, provider, event_id, event_at,
            after_name, after_slug, after_image_url, after_created_at, after_updated_at, after_deleted_at
        )
        SELECT
            'organization', d.record_id, d.kind, d.changed, d.before, d.before_raw, d.provider, d.event_id, d.clock,
            d.name, d.slug, d.image_url, d.created_at, d.updated_at, d.deleted_at
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
            provider, event_id, record_type, record_id, received_at, inbox_id, inbox_ordinal, outcome, reason
        )
        SELECT r.provider, r.event_id, 'organization', r.record_id, r.received_at, r.inbox_id, r.inbox_ordinal, r.outcome, r.reason
        FROM result AS r
        WHERE r.in_ledger AND r.known_outcome IS NULL
    )
    SELECT r.ordinal, r.outcome, r.reason
    FROM result AS r
    WHERE capydb_auth.require_all_written(
        (SELECT count(*) FROM insert_records) + (SELECT count(*) FROM update_records),
        (SELECT count(*) FROM decided AS d WHERE d.is_written)
    );
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_organizations(p_events capydb_auth.event[]) IS 'Applies events about different organizations; called by apply_round only.';

CREATE FUNCTION capydb_auth.apply_round(p_events capydb_auth.event[]) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    v_before bigint := capydb_auth.change_cursor(NULL);
    v_part   capydb_auth.event[];
BEGIN
    -- Most batches are about users only.
    IF NOT EXISTS (SELECT FROM unnest(p_events) AS e WHERE e.record_type <> 'user') THEN
        RETURN QUERY SELECT r.ordinal, r.outcome, r.reason FROM capydb_auth.apply_users(p_events) AS r;
    ELSE

        v_part := ARRAY(SELECT e FROM unnest(p_events) AS e WHERE e.record_type = 'organization' ORDER BY e.ordinal);
        IF v_part <> '{}' THEN
            RETURN QUERY SELECT r.ordinal, r.outcome, r.reason FROM capydb_auth.apply_organizations(v_part) AS r;
        END IF;

        v_part := ARRAY(SELECT e FROM unnest(p_events) AS e WHERE e.record_type = 'user' ORDER BY e.ordinal);
        IF v_part <> '{}' THEN
            RETURN QUERY SELECT r.ordinal, r.outcome, r.reason FROM capydb_auth.apply_users(v_part) AS r;
        END IF;

        v_part := ARRAY(SELECT e FROM unnest(p_events) AS e WHERE e.record_type = 'membership' ORDER BY e.ordinal);
        IF v_part <> '{}' THEN
            RETURN QUERY SELECT r.ordinal, r.outcome, r.reason FROM capydb_auth.apply_memberships(v_part) AS r;
        END IF;

        v_part := ARRAY(SELECT e FROM unnest(p_events) AS e WHERE e.record_type = 'invitation' ORDER BY e.ordinal);
        IF v_part <> '{}' THEN
            RETURN QUERY SELECT r.ordinal, r.outcome, r.reason FROM capydb_auth.apply_invitations(v_part) AS r;
        END IF;

        v_part := ARRAY(SELECT e FROM unnest(p_events) AS e WHERE e.record_type = 'session' ORDER BY e.ordinal);
        IF v_part <> '{}' THEN
            RETURN QUERY SELECT r.ordinal, r.outcome, r.reason FROM capydb_auth.apply_sessions(v_part) AS r;
        END IF;
    END IF;

    PERFORM capydb_auth.cascade_deletions(v_before);
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_round(p_events capydb_auth.event[]) IS 'Applies events about different records; called by apply_rounds only.';

CREATE FUNCTION capydb_auth.apply_rounds(p_events capydb_auth.event[]) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
#variable_conflict use_column
DECLARE
    v_round capydb_auth.event[];
BEGIN
    -- Most batches have no record twice.
    IF (SELECT count(*) = count(DISTINCT (e.record_type || ' ' || e.record_id) COLLATE "C") FROM unnest(p_events) AS e) THEN
        RETURN QUERY
        SELECT r.ordinal, r.outcome, r.reason
        FROM capydb_auth.apply_round(p_events) AS r;
        RETURN;
    END IF;

    FOR v_round IN
        SELECT array_agg(x.event ORDER BY x.place)
        FROM (
            SELECT
                p_events[i] AS event,
                i AS place,
                row_number() OVER (PARTITION BY (p_events[i]).record_type, (p_events[i]).record_id ORDER BY i) AS round
            FROM generate_subscripts(p_events, 1) AS i
        ) AS x
        GROUP BY x.round
        ORDER BY x.round
    LOOP
        RETURN QUERY
        SELECT r.ordinal, r.outcome, r.reason
        FROM capydb_auth.apply_round(v_round) AS r;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_rounds(p_events capydb_auth.event[]) IS 'Applies events, several about one record one after another; called by apply_events only.';

CREATE FUNCTION capydb_auth.apply_sessions(p_events capydb_auth.event[]) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET enable_tidscan TO 'on'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH decided AS MATERIALIZED (
        SELECT
            e.ordinal, e.provider, e.event_id, e.record_id, e.inbox_id, e.inbox_ordinal, e.received_at, e.in_ledger,
            e.record_id AS key_id,
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
            v.user_id,
            v.status,
            v.created_at,
            v.last_active_at,
            v.expires_at,
            v.deleted_at,
            v.raw,
            c.changed,
            CASE
                WHEN v.deleted_at IS NOT NULL AND (d.is_new OR u.deleted_at IS NULL) THEN 'deleted'
                WHEN d.is_new THEN 'created'
                WHEN v.deleted_at IS NULL AND u.deleted_at IS NOT NULL THEN 'restored'
                ELSE 'updated'
            END AS kind,
            CASE WHEN NOT d.is_new AND c.changed <> 0 THEN
                jsonb_build_object(
                    'user_id', u.user_id,
                    'status', u.status,
                    'created_at', u.created_at,
                    'last_active_at', u.last_active_at,
                    'expires_at', u.expires_at,
                    'ended_at', u.deleted_at
                ) - array_remove(ARRAY[
                    CASE WHEN c.changed & 131072 = 0 THEN 'user_id' END,
                    CASE WHEN c.changed & 262144 = 0 THEN 'status' END,
                    CASE WHEN c.changed & 32 = 0 THEN 'created_at' END,
                    CASE WHEN c.changed & 1048576 = 0 THEN 'last_active_at' END,
                    CASE WHEN c.changed & 524288 = 0 THEN 'expires_at' END,
                    CASE WHEN c.changed & 256 = 0 THEN 'ended_at' END
                ], NULL)
            END AS before,
            CASE WHEN NOT d.is_new AND c.changed <> 0 THEN u.raw END AS before_raw
        FROM unnest(p_events) AS e
        LEFT JOIN LATERAL (
            SELECT
                i.ctid AS place, i.last_event_processed, i.provider, i.last_event_sent_at, i.last_event_id, i.last_event_fields,
                i.field_versions,
                i.user_id,
                i.status,
                i.created_at,
                i.last_active_at,
                i.expires_at,
                i.ended_at AS deleted_at,
                i.raw
            FROM capydb_auth.sessions AS i
            WHERE (i.id) >= (e.record_id)
              AND (i.id) <= (e.record_id)
            ORDER BY i.id
            LIMIT 1
        ) AS u ON true
        LEFT JOIN LATERAL (
            SELECT p.inbox_id, p.outcome, p.reason, p.inbox_id = e.inbox_id AND p.inbox_ordinal = e.inbox_ordinal AS is_same
            FROM capydb_auth.processed_events AS p
            WHERE e.in_ledger
              AND p.provider = e.provider
              AND p.event_id = e.event_id
              AND p.record_type = 'session'
              AND p.record_id = e.record_id
              -- The digest of a body names an event for ten minutes only.
              AND (NOT e.id_is_digest
                   OR (p.received_at > e.received_at - interval '10 minutes'
                       AND p.received_at < e.received_at + interval '10 minutes'))
            ORDER BY is_same DESC, p.received_at
            LIMIT 1
        ) AS l ON true
        CROSS JOIN LATERAL (
            SELECT e.fields
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
            OFFSET 0 -- once an event, not once a use; so below
        ) AS d
        LEFT JOIN LATERAL (
            SELECT g.shown, g.sets, g.last_at, g.last_sent_at, g.last_event_id, g.last_fields, g.field_versions, g.is_noted
            FROM capydb_auth.merge_record(
                e, f.fields,
                u.last_event_processed, u.last_event_sent_at, u.last_event_id, u.last_event_fields, u.field_versions,
                NULL
            ) AS g
            WHERE l.outcome IS NULL AND NOT d.is_newest
            OFFSET 0
        ) AS m ON true
        CROSS JOIN LATERAL (
            SELECT CASE WHEN d.is_newest THEN f.fields ELSE coalesce(m.sets, 0) END AS sets
            OFFSET 0
        ) AS s
        CROSS JOIN LATERAL (
            SELECT
                CASE WHEN s.sets & 131072 = 0 THEN u.user_id
                    WHEN d.is_newest THEN e.user_id
                    ELSE m.shown ->> 'user_id' END AS user_id,
                CASE WHEN s.sets & 262144 = 0 THEN u.status
                    WHEN d.is_newest THEN e.status
                    ELSE m.shown ->> 'status' END AS status,
                CASE WHEN s.sets & 32 = 0 THEN u.created_at
                    WHEN d.is_newest THEN e.created_at
                    ELSE (m.shown ->> 'created_at')::timestamptz END AS created_at,
                CASE WHEN s.sets & 1048576 = 0 THEN u.last_active_at
                    WHEN d.is_newest THEN e.last_active_at
                    ELSE (m.shown ->> 'last_active_at')::timestamptz END AS last_active_at,
                CASE WHEN s.sets & 524288 = 0 THEN u.expires_at
                    WHEN d.is_newest THEN e.expires_at
                    ELSE (m.shown ->> 'expires_at')::timestamptz END AS expires_at,
                CASE WHEN s.sets & 256 = 0 THEN u.deleted_at
                    WHEN d.is_newest THEN e.deleted_at
                    ELSE (m.shown ->> 'deleted_at')::timestamptz END AS deleted_at,
                CASE WHEN s.sets & 512 = 0 THEN u.raw
                    WHEN d.is_newest THEN e.raw
                    ELSE m.shown -> 'raw' END AS raw
            OFFSET 0
        ) AS v
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.sets = 0 THEN 0 ELSE
                  CASE WHEN v.user_id IS DISTINCT FROM u.user_id THEN 131072 ELSE 0 END
                + CASE WHEN v.status IS DISTINCT FROM u.status THEN 262144 ELSE 0 END
                + CASE WHEN v.created_at IS DISTINCT FROM u.created_at THEN 32 ELSE 0 END
                + CASE WHEN v.last_active_at IS DISTINCT FROM u.last_active_at THEN 1048576 ELSE 0 END
                + CASE WHEN v.expires_at IS DISTINCT FROM u.expires_at THEN 524288 ELSE 0 END
                + CASE WHEN v.deleted_at IS DISTINCT FROM u.deleted_at THEN 256 ELSE 0 END
                + CASE WHEN v.raw IS DISTINCT FROM u.raw THEN 512 ELSE 0 END
            END AS changed
            OFFSET 0
        ) AS c
    ),
    insert_records AS (
        INSERT INTO capydb_auth.sessions (
            id,
            user_id,
            status,
            created_at,
            last_active_at,
            expires_at,
            ended_at,
            raw,
            provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields, field_versions
        )
        SELECT
            d.key_id,
            d.user_id,
            d.status,
            d.created_at,
            d.last_active_at,
            d.expires_at,
            d.deleted_at,
            d.raw,
            d.last_provider, d.last_at, d.last_sent_at, d.last_event_id, d.last_fields, d.field_versions
        FROM decided AS d
        WHERE d.is_written AND d.place IS NULL
        RETURNING 1
    ),
    update_records AS (
        UPDATE capydb_auth.sessions AS u SET
            user_id = d.user_id,
            status = d.status,
            created_at = d.created_at,
            last_active_at = d.last_active_at,
            expires_at = d.expires_at,
            ended_at = d.deleted_at,
            raw = d.raw,
            provider = d.last_provider,
            last_event_processed = d.last_at,
            last_event_sent_at = d.last_sent_at,
            last_event_id = d.last_event_id,
            last_event_fields = d.last_fields,
            field_versions = d.field_versions
        FROM decided AS d
        WHERE d.is_written AND u.ctid = d.place
        RETURNING 1
    ),
    insert_changes AS (
        INSERT INTO capydb_auth.changes (
            record_type, record_id, kind, changed_fields, before, before_raw, provider, event_id, event_at,
            after_user_id, after_status, after_created_at, after_last_active_at, after_expires_at, after_deleted_at
        )
        SELECT
            'session', d.record_id, d.kind, d.changed, d.before, d.before_raw, d.provider, d.event_id, d.clock,
            d.user_id, d.status, d.created_at, d.last_active_at, d.expires_at, d.deleted_at
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
            provider, event_id, record_type, record_id, received_at, inbox_id, inbox_ordinal, outcome, reason
        )
        SELECT r.provider, r.event_id, 'session', r.record_id, r.received_at, r.inbox_id, r.inbox_ordinal, r.outcome, r.reason
        FROM result AS r
        WHERE r.in_ledger AND r.known_outcome IS NULL
    )
    SELECT r.ordinal, r.outcome, r.reason
    FROM result AS r
    WHERE capydb_auth.require_all_written(
        (SELECT count(*) FROM insert_records) + (SELECT count(*) FROM update_records),
        (SELECT count(*) FROM decided AS d WHERE d.is_written)
    );
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_sessions(p_events capydb_auth.event[]) IS 'Applies events about different sessions; called by apply_round only.';

CREATE FUNCTION capydb_auth.apply_users(p_events capydb_auth.event[]) RETURNS TABLE(ordinal integer, outcome text, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET enable_tidscan TO 'on'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH decided AS MATERIALIZED (
        SELECT
            e.ordinal, e.provider, e.event_id, e.record_id, e.inbox_id, e.inbox_ordinal, e.received_at, e.in_ledger,
            e.record_id AS key_id,
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
            v.email,
            v.first_name,
            v.last_name,
            v.username,
            v.image_url,
            v.created_at,
            v.updated_at,
            v.last_sign_in_at,
            v.deleted_at,
            v.raw,
            c.changed,
            CASE
                WHEN v.deleted_at IS NOT NULL AND (d.is_new OR u.deleted_at IS NULL) THEN 'deleted'
                WHEN d.is_new THEN 'created'
                WHEN v.deleted_at IS NULL AND u.deleted_at IS NOT NULL THEN 'restored'
                ELSE 'updated'
            END AS kind,
            CASE WHEN NOT d.is_new AND c.changed <> 0 THEN
                jsonb_build_object(
                    'email', u.email,
                    'first_name', u.first_name,
                    'last_name', u.last_name,
                    'username', u.username,
                    'image_url', u.image_url,
                    'created_at', u.created_at,
                    'updated_at', u.updated_at,
                    'last_sign_in_at', u.last_sign_in_at,
                    'deleted_at', u.deleted_at
                ) - array_remove(ARRAY[
                    CASE WHEN c.changed & 1 = 0 THEN 'email' END,
                    CASE WHEN c.changed & 2 = 0 THEN 'first_name' END,
                    CASE WHEN c.changed & 4 = 0 THEN 'last_name' END,
                    CASE WHEN c.changed & 8 = 0 THEN 'username' END,
                    CASE WHEN c.changed & 16 = 0 THEN 'image_url' END,
                    CASE WHEN c.changed & 32 = 0 THEN 'created_at' END,
                    CASE WHEN c.changed & 64 = 0 THEN 'updated_at' END,
                    CASE WHEN c.changed & 128 = 0 THEN 'last_sign_in_at' END,
                    CASE WHEN c.changed & 256 = 0 THEN 'deleted_at' END
                ], NULL)
            END AS before,
            CASE WHEN NOT d.is_new AND c.changed <> 0 THEN u.raw END AS before_raw
        FROM unnest(p_events) AS e
        LEFT JOIN LATERAL (
            SELECT
                i.ctid AS place, i.last_event_processed, i.provider, i.last_event_sent_at, i.last_event_id, i.last_event_fields,
                i.field_versions,
                i.email,
                i.first_name,
                i.last_name,
                i.username,
                i.image_url,
                i.created_at,
                i.updated_at,
                i.last_sign_in_at,
                i.deleted_at,
                i.raw
            FROM capydb_auth.users AS i
            WHERE (i.id) >= (e.record_id)
              AND (i.id) <= (e.record_id)
            ORDER BY i.id
            LIMIT 1
        ) AS u ON true
        LEFT JOIN LATERAL (
            SELECT p.inbox_id, p.outcome, p.reason, p.inbox_id = e.inbox_id AND p.inbox_ordinal = e.inbox_ordinal AS is_same
            FROM capydb_auth.processed_events AS p
            WHERE e.in_ledger
              AND p.provider = e.provider
              AND p.event_id = e.event_id
              AND p.record_type = 'user'
              AND p.record_id = e.record_id
              -- The digest of a body names an event for ten minutes only.
              AND (NOT e.id_is_digest
                   OR (p.received_at > e.received_at - interval '10 minutes'
                       AND p.received_at < e.received_at + interval '10 minutes'))
            ORDER BY is_same DESC, p.received_at
            LIMIT 1
        ) AS l ON true
        CROSS JOIN LATERAL (
            -- What is not after the last sign-in sets nothing if a later one is known.
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
            OFFSET 0 -- once an event, not once a use; so below
        ) AS d
        LEFT JOIN LATERAL (
            SELECT g.shown, g.sets, g.last_at, g.last_sent_at, g.last_event_id, g.last_fields, g.field_versions, g.is_noted
            FROM capydb_auth.merge_record(
                e, f.fields,
                u.last_event_processed, u.last_event_sent_at, u.last_event_id, u.last_event_fields, u.field_versions,
                NULL
            ) AS g
            WHERE l.outcome IS NULL AND NOT d.is_newest
            OFFSET 0
        ) AS m ON true
        CROSS JOIN LATERAL (
            SELECT CASE WHEN d.is_newest THEN f.fields ELSE coalesce(m.sets, 0) END AS sets
            OFFSET 0
        ) AS s
        CROSS JOIN LATERAL (
            SELECT
                CASE WHEN s.sets & 1 = 0 THEN u.email
                    WHEN d.is_newest THEN e.email
                    ELSE m.shown ->> 'email' END AS email,
                CASE WHEN s.sets & 2 = 0 THEN u.first_name
                    WHEN d.is_newest THEN e.first_name
                    ELSE m.shown ->> 'first_name' END AS first_name,
                CASE WHEN s.sets & 4 = 0 THEN u.last_name
                    WHEN d.is_newest THEN e.last_name
                    ELSE m.shown ->> 'last_name' END AS last_name,
                CASE WHEN s.sets & 8 = 0 THEN u.username
                    WHEN d.is_newest THEN e.username
                    ELSE m.shown ->> 'username' END AS username,
                CASE WHEN s.sets & 16 = 0 THEN u.image_url
                    WHEN d.is_newest THEN e.image_url
                    ELSE m.shown ->> 'image_url' END AS image_url,
                CASE WHEN s.sets & 32 = 0 THEN u.created_at
                    WHEN d.is_newest THEN e.created_at
                    ELSE (m.shown ->> 'created_at')::timestamptz END AS created_at,
                CASE WHEN s.sets & 64 = 0 THEN u.updated_at
                    WHEN d.is_newest THEN e.updated_at
                    ELSE (m.shown ->> 'updated_at')::timestamptz END AS updated_at,
                CASE WHEN s.sets & 128 = 0 THEN u.last_sign_in_at
                    WHEN d.is_newest THEN e.last_sign_in_at
                    ELSE (m.shown ->> 'last_sign_in_at')::timestamptz END AS last_sign_in_at,
                CASE WHEN s.sets & 256 = 0 THEN u.deleted_at
                    WHEN d.is_newest THEN e.deleted_at
                    ELSE (m.shown ->> 'deleted_at')::timestamptz END AS deleted_at,
                CASE WHEN s.sets & 512 = 0 THEN u.raw
                    WHEN d.is_newest THEN e.raw
                    ELSE m.shown -> 'raw' END AS raw
            OFFSET 0
        ) AS v
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.sets = 0 THEN 0 ELSE
                  CASE WHEN v.email IS DISTINCT FROM u.email THEN 1 ELSE 0 END
                + CASE WHEN v.first_name IS DISTINCT FROM u.first_name THEN 2 ELSE 0 END
                + CASE WHEN v.last_name IS DISTINCT FROM u.last_name THEN 4 ELSE 0 END
                + CASE WHEN v.username IS DISTINCT FROM u.username THEN 8 ELSE 0 END
                + CASE WHEN v.image_url IS DISTINCT FROM u.image_url THEN 16 ELSE 0 END
                + CASE WHEN v.created_at IS DISTINCT FROM u.created_at THEN 32 ELSE 0 END
                + CASE WHEN v.updated_at IS DISTINCT FROM u.updated_at THEN 64 ELSE 0 END
                + CASE WHEN v.last_sign_in_at IS DISTINCT FROM u.last_sign_in_at THEN 128 ELSE 0 END
                + CASE WHEN v.deleted_at IS DISTINCT FROM u.deleted_at THEN 256 ELSE 0 END
                + CASE WHEN v.raw IS DISTINCT FROM u.raw THEN 512 ELSE 0 END
            END AS changed
            OFFSET 0
        ) AS c
    ),
    insert_records AS (
        INSERT INTO capydb_auth.users (
            id,
            email,
            first_name,
            last_name,
            username,
            image_url,
            created_at,
            updated_at,
            last_sign_in_at,
            deleted_at,
            raw,
            provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields, field_versions
        )
        SELECT
            d.key_id,
            d.email,
            d.first_name,
            d.last_name,
            d.username,
            d.image_url,
            d.created_at,
            d.updated_at,
            d.last_sign_in_at,
            d.deleted_at,
            d.raw,
            d.last_provider, d.last_at, d.last_sent_at, d.last_event_id, d.last_fields, d.field_versions
        FROM decided AS d
        WHERE d.is_written AND d.place IS NULL
        RETURNING 1
    ),
    update_records AS (
        UPDATE capydb_auth.users AS u SET
            email = d.email,
            first_name = d.first_name,
            last_name = d.last_name,
            username = d.username,
            image_url = d.image_url,
            created_at = d.created_at,
            updated_at = d.updated_at,
            last_sign_in_at = d.last_sign_in_at,
            deleted_at = d.deleted_at,
            raw = d.raw,
            provider = d.last_provider,
            last_event_processed = d.last_at,
            last_event_sent_at = d.last_sent_at,
            last_event_id = d.last_event_id,
            last_event_fields = d.last_fields,
            field_versions = d.field_versions,
            placeholder_since = NULL
        FROM decided AS d
        WHERE d.is_written AND u.ctid = d.place
        RETURNING 1
    ),
    insert_changes AS (
        INSERT INTO capydb_auth.changes (
            record_type, record_id, kind, changed_fields, before, before_raw, provider, event_id, event_at,
            after_email, after_first_name, after_last_name, after_username, after_image_url, after_created_at,
            after_updated_at, after_last_sign_in_at, after_deleted_at
        )
        SELECT
            'user', d.record_id, d.kind, d.changed, d.before, d.before_raw, d.provider, d.event_id, d.clock,
            d.email, d.first_name, d.last_name, d.username, d.image_url, d.created_at, d.updated_at, d.last_sign_in_at,
            d.deleted_at
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
            provider, event_id, record_type, record_id, received_at, inbox_id, inbox_ordinal, outcome, reason
        )
        SELECT r.provider, r.event_id, 'user', r.record_id, r.received_at, r.inbox_id, r.inbox_ordinal, r.outcome, r.reason
        FROM result AS r
        WHERE r.in_ledger AND r.known_outcome IS NULL
    )
    SELECT r.ordinal, r.outcome, r.reason
    FROM result AS r
    WHERE capydb_auth.require_all_written(
        (SELECT count(*) FROM insert_records) + (SELECT count(*) FROM update_records),
        (SELECT count(*) FROM decided AS d WHERE d.is_written)
    );
END;
$$;

COMMENT ON FUNCTION capydb_auth.apply_users(p_events capydb_auth.event[]) IS 'Applies events about different users; called by apply_round only.';

CREATE FUNCTION capydb_auth.cascade_deletions(p_after bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET enable_tidscan TO 'on'
    AS $$
DECLARE
    v_expected bigint;
    v_written  bigint;
BEGIN
    -- The changes of this call, in the order of their ids, so that no kept plan can look for the types in the index of records, which
    -- it would read from end to end.
    IF NOT EXISTS (
        SELECT FROM (
            SELECT i.record_type, i.changed_fields FROM capydb_auth.changes AS i WHERE i.id > p_after ORDER BY i.id OFFSET 0
        ) AS c
        WHERE c.record_type IN ('user', 'organization') AND c.changed_fields & 256 <> 0
    ) THEN
        RETURN;
    END IF;

    WITH parents AS MATERIALIZED (
        SELECT c.id, c.record_type, c.record_id, c.provider, c.event_id, c.event_at
        FROM (
            SELECT i.id, i.record_type, i.record_id, i.changed_fields, i.provider, i.event_id, i.event_at
            FROM capydb_auth.changes AS i
            WHERE i.id > p_after
            ORDER BY i.id
            OFFSET 0
        ) AS c
        WHERE c.record_type IN ('user', 'organization') AND c.changed_fields & 256 <> 0
    ),
    affected AS MATERIALIZED (
        SELECT DISTINCT ON (m.place) m.*, s.deleted_at AS shown_deleted_at, p.provider AS by_provider, p.event_id, p.event_at
        FROM parents AS p
        CROSS JOIN LATERAL (
            SELECT i.ctid AS place, i.*
            FROM capydb_auth.memberships AS i
            WHERE p.record_type = 'user' AND i.user_id = p.record_id
            UNION ALL
            SELECT i.ctid AS place, i.*
            FROM capydb_auth.memberships AS i
            WHERE p.record_type = 'organization' AND i.organization_id = p.record_id
        ) AS m
        LEFT JOIN LATERAL (
            SELECT i.deleted_at FROM capydb_auth.organizations AS i
            WHERE i.id >= m.organization_id AND i.id <= m.organization_id ORDER BY i.id LIMIT 1
        ) AS o ON true
        LEFT JOIN LATERAL (
            SELECT i.deleted_at FROM capydb_auth.users AS i
            WHERE i.id >= m.user_id AND i.id <= m.user_id ORDER BY i.id LIMIT 1
        ) AS u ON true
        CROSS JOIN LATERAL (SELECT least(m.own_deleted_at, o.deleted_at, u.deleted_at) AS deleted_at) AS s
        WHERE s.deleted_at IS DISTINCT FROM m.deleted_at
        ORDER BY m.place, p.id DESC
    ),
    update_records AS (
        UPDATE capydb_auth.memberships AS i SET deleted_at = a.shown_deleted_at
        FROM affected AS a
        WHERE i.ctid = a.place
        RETURNING 1
    ),
    insert_changes AS (
        INSERT INTO capydb_auth.changes (
            record_type, record_id, kind, changed_fields, before, before_raw, provider, event_id, event_at,
            after_organization_id, after_user_id, after_id, after_role, after_roles, after_permissions, after_created_at,
            after_updated_at, after_deleted_at
        )
        SELECT
            'membership', capydb_auth.membership_id(a.organization_id, a.user_id),
            CASE WHEN a.deleted_at IS NULL THEN 'deleted' WHEN a.shown_deleted_at IS NULL THEN 'restored' ELSE 'updated' END,
            256, jsonb_build_object('deleted_at', a.deleted_at), a.raw, a.by_provider, a.event_id, a.event_at,
            a.organization_id, a.user_id, a.id, a.role, a.roles, a.permissions, a.created_at, a.updated_at,
            a.shown_deleted_at
        FROM affected AS a
        ORDER BY a.organization_id, a.user_id
    )
    SELECT (SELECT count(*) FROM affected), (SELECT count(*) FROM update_records)
    INTO v_expected, v_written;
    PERFORM capydb_auth.require_all_written(v_written, v_expected);
END;
$$;

COMMENT ON FUNCTION capydb_auth.cascade_deletions(p_after bigint) IS 'Carries the deletion of users and organizations over to memberships; called by apply_round only.';

CREATE FUNCTION capydb_auth.change_cursor(p_at timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
BEGIN
    RETURN coalesce((
        SELECT c.id
        FROM capydb_auth.changes AS c
        WHERE p_at IS NULL OR c.changed_at < p_at
        ORDER BY c.id DESC
        LIMIT 1
    ), 0);
END;
$$;

COMMENT ON FUNCTION capydb_auth.change_cursor(p_at timestamp with time zone) IS 'The id of the newest change before a time, to read on behind.';

CREATE FUNCTION capydb_auth.changes_by_id(p_ids bigint[]) RETURNS TABLE(id bigint, record_type text, record_id text, user_id text, organization_id text, kind text, changed text[], record_row jsonb, before_row jsonb, provider text, event_id text, event_at timestamp with time zone, changed_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    AS $$
BEGIN
    RETURN QUERY
    SELECT
        c.id, c.record_type, c.record_id,
        CASE c.record_type WHEN 'user' THEN c.record_id ELSE w.after ->> 'user_id' END,
        CASE c.record_type WHEN 'organization' THEN c.record_id ELSE w.after ->> 'organization_id' END,
        c.kind,
        coalesce(c.changed, array_remove(CASE c.record_type
            WHEN 'organization' THEN ARRAY[
                CASE WHEN c.changed_fields & 1024 <> 0 THEN 'name' END,
                CASE WHEN c.changed_fields & 2048 <> 0 THEN 'slug' END,
                CASE WHEN c.changed_fields & 16 <> 0 THEN 'image_url' END,
                CASE WHEN c.changed_fields & 32 <> 0 THEN 'created_at' END,
                CASE WHEN c.changed_fields & 64 <> 0 THEN 'updated_at' END,
                CASE WHEN c.changed_fields & 256 <> 0 THEN 'deleted_at' END,
                CASE WHEN c.changed_fields & 512 <> 0 THEN 'raw' END
            ]
            WHEN 'user' THEN ARRAY[
                CASE WHEN c.changed_fields & 1 <> 0 THEN 'email' END,
                CASE WHEN c.changed_fields & 2 <> 0 THEN 'first_name' END,
                CASE WHEN c.changed_fields & 4 <> 0 THEN 'last_name' END,
                CASE WHEN c.changed_fields & 8 <> 0 THEN 'username' END,
                CASE WHEN c.changed_fields & 16 <> 0 THEN 'image_url' END,
                CASE WHEN c.changed_fields & 32 <> 0 THEN 'created_at' END,
                CASE WHEN c.changed_fields & 64 <> 0 THEN 'updated_at' END,
                CASE WHEN c.changed_fields & 128 <> 0 THEN 'last_sign_in_at' END,
                CASE WHEN c.changed_fields & 256 <> 0 THEN 'deleted_at' END,
                CASE WHEN c.changed_fields & 512 <> 0 THEN 'raw' END
            ]
            WHEN 'membership' THEN ARRAY[
                CASE WHEN c.changed_fields & 4096 <> 0 THEN 'id' END,
                CASE WHEN c.changed_fields & 8192 <> 0 THEN 'role' END,
                CASE WHEN c.changed_fields & 16384 <> 0 THEN 'roles' END,
                CASE WHEN c.changed_fields & 32768 <> 0 THEN 'permissions' END,
                CASE WHEN c.changed_fields & 32 <> 0 THEN 'created_at' END,
                CASE WHEN c.changed_fields & 64 <> 0 THEN 'updated_at' END,
                CASE WHEN c.changed_fields & 256 <> 0 THEN 'deleted_at' END,
                CASE WHEN c.changed_fields & 512 <> 0 THEN 'raw' END
            ]
            WHEN 'invitation' THEN ARRAY[
                CASE WHEN c.changed_fields & 65536 <> 0 THEN 'organization_id' END,
                CASE WHEN c.changed_fields & 1 <> 0 THEN 'email' END,
                CASE WHEN c.changed_fields & 8192 <> 0 THEN 'role' END,
                CASE WHEN c.changed_fields & 262144 <> 0 THEN 'status' END,
                CASE WHEN c.changed_fields & 524288 <> 0 THEN 'expires_at' END,
                CASE WHEN c.changed_fields & 32 <> 0 THEN 'created_at' END,
                CASE WHEN c.changed_fields & 64 <> 0 THEN 'updated_at' END,
                CASE WHEN c.changed_fields & 256 <> 0 THEN 'deleted_at' END,
                CASE WHEN c.changed_fields & 512 <> 0 THEN 'raw' END
            ]
            WHEN 'session' THEN ARRAY[
                CASE WHEN c.changed_fields & 131072 <> 0 THEN 'user_id' END,
                CASE WHEN c.changed_fields & 262144 <> 0 THEN 'status' END,
                CASE WHEN c.changed_fields & 32 <> 0 THEN 'created_at' END,
                CASE WHEN c.changed_fields & 1048576 <> 0 THEN 'last_active_at' END,
                CASE WHEN c.changed_fields & 524288 <> 0 THEN 'expires_at' END,
                CASE WHEN c.changed_fields & 256 <> 0 THEN 'ended_at' END,
                CASE WHEN c.changed_fields & 512 <> 0 THEN 'raw' END
            ]
        END, NULL)),
        w.after || jsonb_build_object('raw', CASE WHEN n.id IS NOT NULL THEN n.before_raw ELSE CASE
            WHEN c.kind = 'erased' THEN NULL
            WHEN c.record_type = 'organization' THEN (
                SELECT r.raw FROM capydb_auth.organizations AS r
                WHERE (r.id) >= (c.record_id)
                  AND (r.id) <= (c.record_id)
                ORDER BY r.id LIMIT 1
            )
            WHEN c.record_type = 'user' THEN (
                SELECT r.raw FROM capydb_auth.users AS r
                WHERE (r.id) >= (c.record_id)
                  AND (r.id) <= (c.record_id)
                ORDER BY r.id LIMIT 1
            )
            WHEN c.record_type = 'membership' THEN (
                SELECT r.raw FROM capydb_auth.memberships AS r
                WHERE (r.organization_id, r.user_id) >= (coalesce(c.after_organization_id, c.after ->> 'organization_id'),
                    coalesce(c.after_user_id, c.after ->> 'user_id'))
                  AND (r.organization_id, r.user_id) <= (coalesce(c.after_organization_id, c.after ->> 'organization_id'),
                    coalesce(c.after_user_id, c.after ->> 'user_id'))
                ORDER BY r.organization_id, r.user_id LIMIT 1
            )
            WHEN c.record_type = 'invitation' THEN (
                SELECT r.raw FROM capydb_auth.invitations AS r
                WHERE (r.id) >= (c.record_id)
                  AND (r.id) <= (c.record_id)
                ORDER BY r.id LIMIT 1
            )
            WHEN c.record_type = 'session' THEN (
                SELECT r.raw FROM capydb_auth.sessions AS r
                WHERE (r.id) >= (c.record_id)
                  AND (r.id) <= (c.record_id)
                ORDER BY r.id LIMIT 1
            )
        END END),
        CASE WHEN c.before IS NOT NULL THEN w.after || c.before || jsonb_build_object('raw', c.before_raw) END,
        c.provider, c.event_id, c.event_at, c.changed_at
    FROM unnest(p_ids) AS a (id)
    -- In order, because the index of records ends with the id, and a plan that is kept might look for it there.
    CROSS JOIN LATERAL (
        SELECT i.* FROM capydb_auth.changes AS i WHERE i.id >= a.id AND i.id <= a.id ORDER BY i.id LIMIT 1
    ) AS c
    CROSS JOIN LATERAL (
        SELECT coalesce(c.after, CASE c.record_type
            WHEN 'organization' THEN jsonb_build_object(
                'id', c.record_id,
                'name', c.after_name,
                'slug', c.after_slug,
                'image_url', c.after_image_url,
                'created_at', (to_jsonb(c.after_created_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'updated_at', (to_jsonb(c.after_updated_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'deleted_at', (to_jsonb(c.after_deleted_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00'
            )
            WHEN 'user' THEN jsonb_build_object(
                'id', c.record_id,
                'email', c.after_email,
                'first_name', c.after_first_name,
                'last_name', c.after_last_name,
                'username', c.after_username,
                'image_url', c.after_image_url,
                'created_at', (to_jsonb(c.after_created_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'updated_at', (to_jsonb(c.after_updated_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'last_sign_in_at', (to_jsonb(c.after_last_sign_in_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'deleted_at', (to_jsonb(c.after_deleted_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00'
            )
            WHEN 'membership' THEN jsonb_build_object(
                'organization_id', c.after_organization_id,
                'user_id', c.after_user_id,
                'id', c.after_id,
                'role', c.after_role,
                'roles', c.after_roles,
                'permissions', c.after_permissions,
                'created_at', (to_jsonb(c.after_created_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'updated_at', (to_jsonb(c.after_updated_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'deleted_at', (to_jsonb(c.after_deleted_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00'
            )
            WHEN 'invitation' THEN jsonb_build_object(
                'id', c.record_id,
                'organization_id', c.after_organization_id,
                'email', c.after_email,
                'role', c.after_role,
                'status', c.after_status,
                'expires_at', (to_jsonb(c.after_expires_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'created_at', (to_jsonb(c.after_created_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'updated_at', (to_jsonb(c.after_updated_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'deleted_at', (to_jsonb(c.after_deleted_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00'
            )
            WHEN 'session' THEN jsonb_build_object(
                'id', c.record_id,
                'user_id', c.after_user_id,
                'status', c.after_status,
                'created_at', (to_jsonb(c.after_created_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'last_active_at', (to_jsonb(c.after_last_active_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'expires_at', (to_jsonb(c.after_expires_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'ended_at', (to_jsonb(c.after_deleted_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00'
            )
        END) AS after
        OFFSET 0 -- once a change, not once a use
    ) AS w
    -- By all columns of the index, so that no plan can walk through the feed by id.
    LEFT JOIN LATERAL (
        SELECT i.id, i.before_raw
        FROM capydb_auth.changes AS i
        WHERE (i.record_id, i.record_type, i.id) > (c.record_id, c.record_type, c.id)
          AND (i.record_id, i.record_type, i.id) <= (c.record_id, c.record_type, 9223372036854775807)
          AND i.kind <> 'erased'
        ORDER BY i.record_id, i.record_type, i.id
        LIMIT 1
    ) AS n ON true;
END;
$$;

COMMENT ON FUNCTION capydb_auth.changes_by_id(p_ids bigint[]) IS 'Changes of records with the whole row as each left it and as it was before.';

CREATE FUNCTION capydb_auth.clocks_of_invitations(p_ids text[]) RETURNS TABLE(record_id text, organization_id text, provider text, is_placeholder boolean, is_deleted boolean, at timestamp with time zone, sent_at timestamp with time zone, life_at timestamp with time zone, life_sent_at timestamp with time zone, received_at timestamp with time zone)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
    SELECT
        u.id,
        u.organization_id,
        u.provider,
        u.last_event_processed IS NULL,
        u.deleted_at IS NOT NULL,
        greatest(g.at, n.profile_at),
        CASE WHEN n.profile_at > g.at THEN n.profile_at ELSE coalesce(g.sent_at, n.profile_at) END,
        greatest(l.at, n.life_at),
        CASE WHEN n.life_at > l.at THEN n.life_at ELSE coalesce(l.sent_at, n.life_at) END,
        greatest(n.profile_at, n.life_at)
    FROM (SELECT DISTINCT a.* FROM unnest(p_ids) AS a (id)) AS a
    -- A look-up that no plan can turn into reading the table.
    CROSS JOIN LATERAL (
        SELECT i.* FROM capydb_auth.invitations AS i
        WHERE (i.id) >= (a.id)
          AND (i.id) <= (a.id)
        ORDER BY i.id
        LIMIT 1
    ) AS u
    LEFT JOIN LATERAL (
        SELECT v.at, v.sent_at
        FROM (
            SELECT u.last_event_processed, u.last_event_sent_at, u.last_event_id
            WHERE u.last_event_fields & ~256 <> 0 -- another one than that of the deletion
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
$$;

COMMENT ON FUNCTION capydb_auth.clocks_of_invitations(p_ids text[]) IS 'Gives what an event must be newer than to win over all that the mirror knows of an invitation.';

CREATE FUNCTION capydb_auth.clocks_of_memberships(p_organization_ids text[], p_user_ids text[]) RETURNS TABLE(record_id text, organization_id text, provider text, is_placeholder boolean, is_deleted boolean, at timestamp with time zone, sent_at timestamp with time zone, life_at timestamp with time zone, life_sent_at timestamp with time zone, received_at timestamp with time zone)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
    SELECT
        capydb_auth.membership_id(u.organization_id, u.user_id),
        u.organization_id,
        u.provider,
        u.last_event_processed IS NULL,
        u.deleted_at IS NOT NULL,
        greatest(g.at, n.profile_at),
        CASE WHEN n.profile_at > g.at THEN n.profile_at ELSE coalesce(g.sent_at, n.profile_at) END,
        greatest(l.at, n.life_at),
        CASE WHEN n.life_at > l.at THEN n.life_at ELSE coalesce(l.sent_at, n.life_at) END,
        greatest(n.profile_at, n.life_at)
    FROM (SELECT DISTINCT a.* FROM unnest(p_organization_ids, p_user_ids) AS a (organization_id, user_id)) AS a
    -- A look-up that no plan can turn into reading the table.
    CROSS JOIN LATERAL (
        SELECT i.* FROM capydb_auth.memberships AS i
        WHERE (i.organization_id, i.user_id) >= (a.organization_id, a.user_id)
          AND (i.organization_id, i.user_id) <= (a.organization_id, a.user_id)
        ORDER BY i.organization_id, i.user_id
        LIMIT 1
    ) AS u
    LEFT JOIN LATERAL (
        SELECT v.at, v.sent_at
        FROM (
            SELECT u.last_event_processed, u.last_event_sent_at, u.last_event_id
            WHERE u.last_event_fields & ~256 <> 0 -- another one than that of the deletion
            UNION ALL
            SELECT (c.doc ->> 'at')::timestamptz, (c.doc ->> 'sent_at')::timestamptz, c.doc ->> 'event_id'
            FROM jsonb_each(u.field_versions -> 'versions') AS c (name, doc)
            WHERE c.name <> 'deleted_at'
            UNION ALL
            SELECT
                (c.doc -> 'version' ->> 'at')::timestamptz, (c.doc -> 'version' ->> 'sent_at')::timestamptz,
                c.doc -> 'version' ->> 'event_id'
            FROM jsonb_each(u.field_versions -> 'roles') AS c (name, doc)
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
$$;

COMMENT ON FUNCTION capydb_auth.clocks_of_memberships(p_organization_ids text[], p_user_ids text[]) IS 'Gives what an event must be newer than to win over all that the mirror knows of a membership.';

CREATE FUNCTION capydb_auth.clocks_of_organizations(p_ids text[]) RETURNS TABLE(record_id text, organization_id text, provider text, is_placeholder boolean, is_deleted boolean, at timestamp with time zone, sent_at timestamp with time zone, life_at timestamp with time zone, life_sent_at timestamp with time zone, received_at timestamp with time zone)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
    SELECT
        u.id,
        NULL::text,
        u.provider,
        u.last_event_processed IS NULL,
        u.deleted_at IS NOT NULL,
        greatest(g.at, n.profile_at),
        CASE WHEN n.profile_at > g.at THEN n.profile_at ELSE coalesce(g.sent_at, n.profile_at) END,
        greatest(l.at, n.life_at),
        CASE WHEN n.life_at > l.at THEN n.life_at ELSE coalesce(l.sent_at, n.life_at) END,
        greatest(n.profile_at, n.life_at)
    FROM (SELECT DISTINCT a.* FROM unnest(p_ids) AS a (id)) AS a
    -- A look-up that no plan can turn into reading the table.
    CROSS JOIN LATERAL (
        SELECT i.* FROM capydb_auth.organizations AS i
        WHERE (i.id) >= (a.id)
          AND (i.id) <= (a.id)
        ORDER BY i.id
        LIMIT 1
    ) AS u
    LEFT JOIN LATERAL (
        SELECT v.at, v.sent_at
        FROM (
            SELECT u.last_event_processed, u.last_event_sent_at, u.last_event_id
            WHERE u.last_event_fields & ~256 <> 0 -- another one than that of the deletion
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
$$;

COMMENT ON FUNCTION capydb_auth.clocks_of_organizations(p_ids text[]) IS 'Gives what an event must be newer than to win over all that the mirror knows of an organization.';

CREATE FUNCTION capydb_auth.clocks_of_users(p_ids text[]) RETURNS TABLE(record_id text, organization_id text, provider text, is_placeholder boolean, is_deleted boolean, at timestamp with time zone, sent_at timestamp with time zone, life_at timestamp with time zone, life_sent_at timestamp with time zone, received_at timestamp with time zone)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
    SELECT
        u.id,
        NULL::text,
        u.provider,
        u.last_event_processed IS NULL,
        u.deleted_at IS NOT NULL,
        greatest(g.at, n.profile_at),
        CASE WHEN n.profile_at > g.at THEN n.profile_at ELSE coalesce(g.sent_at, n.profile_at) END,
        greatest(l.at, n.life_at),
        CASE WHEN n.life_at > l.at THEN n.life_at ELSE coalesce(l.sent_at, n.life_at) END,
        greatest(n.profile_at, n.life_at)
    FROM (SELECT DISTINCT a.* FROM unnest(p_ids) AS a (id)) AS a
    -- A look-up that no plan can turn into reading the table.
    CROSS JOIN LATERAL (
        SELECT i.* FROM capydb_auth.users AS i
        WHERE (i.id) >= (a.id)
          AND (i.id) <= (a.id)
        ORDER BY i.id
        LIMIT 1
    ) AS u
    LEFT JOIN LATERAL (
        SELECT v.at, v.sent_at
        FROM (
            SELECT u.last_event_processed, u.last_event_sent_at, u.last_event_id
            WHERE u.last_event_fields & ~256 <> 0 -- another one than that of the deletion
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
$$;

COMMENT ON FUNCTION capydb_auth.clocks_of_users(p_ids text[]) IS 'Gives what an event must be newer than to win over all that the mirror knows of a user.';

CREATE FUNCTION capydb_auth.clone_allowed(p_record_type text, p_rows jsonb[], p_erasure_key bytea) RETURNS jsonb[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_types  text[];
    v_ids    text[];
    v_users  text[];
    v_erased bigint[];
BEGIN
    IF p_record_type = 'erasure' OR NOT EXISTS (SELECT FROM capydb_auth.erasures) THEN
        RETURN p_rows;
    END IF;
    IF p_erasure_key IS NULL THEN
        RAISE EXCEPTION 'users of this mirror were erased, and the caller has not learned of it yet'
            USING ERRCODE = 'US005', HINT = 'Try again in a moment.';
    END IF;
    SELECT array_agg(t.type ORDER BY t.place), array_agg(t.id ORDER BY t.place), array_agg(t.user_id ORDER BY t.place)
    INTO v_types, v_ids, v_users
    FROM (
        SELECT
            r.place,
            coalesce(nullif(p_record_type, ''), r.doc ->> 'record_type') AS type,
            CASE p_record_type
                WHEN '' THEN r.doc ->> 'record_id'
                WHEN 'membership' THEN capydb_auth.membership_id(r.doc ->> 'organization_id', r.doc ->> 'user_id')
                ELSE r.doc ->> 'id'
            END AS id,
            coalesce(
                r.doc ->> 'user_id', r.doc -> 'after' ->> 'user_id', r.doc ->> 'after_user_id',
                CASE WHEN p_record_type = '' AND r.doc ->> 'record_type' = 'membership'
                    THEN substr(r.doc ->> 'record_id', strpos(r.doc ->> 'record_id', '/') + 1) END
            ) AS user_id
        FROM unnest(p_rows) WITH ORDINALITY AS r (doc, place)
    ) AS t;
    v_erased := ARRAY(SELECT f.place FROM capydb_auth.find_erased(p_erasure_key, v_types, v_ids, v_users) AS f (place));
    RETURN ARRAY(
        SELECT r.doc FROM unnest(p_rows) WITH ORDINALITY AS r (doc, place)
        WHERE r.place <> ALL (v_erased) ORDER BY r.place
    );
END;
$$;

COMMENT ON FUNCTION capydb_auth.clone_allowed(p_record_type text, p_rows jsonb[], p_erasure_key bytea) IS 'Leaves out rows about users who were erased; called where rows are written to a clone only.';

CREATE FUNCTION capydb_auth.clone_begin(p_source_id uuid, p_source_epoch uuid, p_change_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM capydb_auth.lock_mirror();

    IF NOT EXISTS (SELECT FROM capydb_auth.clone_progress AS c WHERE c.source_id = p_source_id) THEN
        DELETE FROM capydb_auth.clone_progress;
        TRUNCATE capydb_auth.changes, capydb_auth.processed_events;
        INSERT INTO capydb_auth.clone_progress (source_id, source_epoch, change_id, rows_from)
        VALUES (p_source_id, p_source_epoch, 0, p_change_id);
        RETURN;
    END IF;

    UPDATE capydb_auth.clone_progress AS c
    SET source_epoch = p_source_epoch, rows_from = p_change_id,
        change_id = CASE WHEN c.source_epoch = p_source_epoch THEN c.change_id ELSE p_change_id END;
END;
$$;

COMMENT ON FUNCTION capydb_auth.clone_begin(p_source_id uuid, p_source_epoch uuid, p_change_id bigint) IS 'Makes this mirror a clone of another, or has its rows copied once more.';

CREATE FUNCTION capydb_auth.clone_changes(p_source_id uuid, p_from bigint, p_to bigint, p_changes jsonb[], p_erasure_key bytea) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    PERFORM capydb_auth.lock_mirror();

    UPDATE capydb_auth.clone_progress AS c SET change_id = p_to WHERE c.source_id = p_source_id AND c.change_id = p_from;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO capydb_auth.changes (
        record_type, record_id, kind, changed, changed_fields, before, after, before_raw, provider, event_id, event_at, changed_at,
        after_email, after_first_name, after_last_name, after_username, after_image_url, after_created_at,
        after_updated_at, after_last_sign_in_at, after_deleted_at, after_name, after_slug, after_id, after_role,
        after_roles, after_permissions, after_organization_id, after_user_id, after_status, after_expires_at,
        after_last_active_at
    )
    SELECT
        r.record_type, r.record_id, r.kind, r.changed, r.changed_fields,
        r.before, r.after, r.before_raw, r.provider, r.event_id, r.event_at, r.changed_at,
        r.after_email, r.after_first_name, r.after_last_name, r.after_username, r.after_image_url, r.after_created_at,
        r.after_updated_at, r.after_last_sign_in_at, r.after_deleted_at, r.after_name, r.after_slug, r.after_id,
        r.after_role, r.after_roles, r.after_permissions, r.after_organization_id, r.after_user_id, r.after_status,
        r.after_expires_at, r.after_last_active_at
    FROM unnest(capydb_auth.clone_allowed('', p_changes, p_erasure_key)) WITH ORDINALITY AS u (doc, place)
    CROSS JOIN LATERAL jsonb_populate_record(NULL::capydb_auth.changes, u.doc) AS r
    WHERE r.kind <> 'erased'
    ORDER BY u.place;
    RETURN coalesce(pg_sequence_last_value(pg_get_serial_sequence('capydb_auth.changes', 'id')::regclass), 0);
END;
$$;

COMMENT ON FUNCTION capydb_auth.clone_changes(p_source_id uuid, p_from bigint, p_to bigint, p_changes jsonb[], p_erasure_key bytea) IS 'Copies changes of the source''s feed into the feed of this mirror.';

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
            -- By all columns of the index, so that no plan can walk through the feed by id.
            SELECT i.event_id, i.event_at, i.after, i.after_updated_at, i.after_created_at
            FROM capydb_auth.changes AS i
            WHERE (i.record_id, i.record_type, i.id) >= (e.user_id, 'user', 0)
              AND (i.record_id, i.record_type, i.id) <= (e.user_id, 'user', 9223372036854775807)
            ORDER BY i.record_id DESC, i.record_type DESC, i.id DESC
            LIMIT 10
        ) AS c
        WHERE coalesce(c.after_updated_at = c.after_created_at, c.after ->> 'updated_at' = c.after ->> 'created_at') IS NOT TRUE
          AND c.event_id <> e.event_id
          AND c.event_at BETWEEN e.at - p_within AND e.at + p_within
    )
    ORDER BY e.place;
END;
$$;

COMMENT ON FUNCTION capydb_auth.close_changes(p_user_ids text[], p_event_ids text[], p_at timestamp with time zone[], p_within interval) IS 'Tells which events have another change of the same user so close that clocks may not tell the order.';

CREATE FUNCTION capydb_auth.compare_invitations(p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) RETURNS TABLE(ordinal integer, record_id text, finding text, columns text[], tolerated text[], is_disputed boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    AS $$
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
            -- Versions alone do not decide there (see merge_record), unless the event has no clock either: then
            -- what was received last does.
            OR (NOT e.at_is_receipt AND coalesce((h.row).field_versions ? 'unclocked', false))
            OR (e.at_is_receipt AND EXISTS (
                SELECT FROM jsonb_each((h.row).field_versions -> 'unclocked') AS k
                WHERE (k.value ->> 'received_at')::timestamptz >= coalesce(e.arrived_at, e.received_at)
            ))
        )
    FROM unnest(p_events) AS e
    -- A look-up that no plan can turn into reading the table.
    LEFT JOIN LATERAL (
        SELECT i AS stored FROM capydb_auth.invitations AS i
        WHERE (i.id) >= (e.record_id)
          AND (i.id) <= (e.record_id)
        ORDER BY i.id
        LIMIT 1
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
            (u.stored).deleted_at AS deleted_at,
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
            coalesce(bool_or(p.is_newer) FILTER (WHERE p.differs), false)                                             AS is_disputed,
            coalesce(bool_and(NOT p.differs) FILTER (WHERE p.name = 'updated_at'), true)                              AS is_quiet
        FROM (
            SELECT
                o.place, o.name, o.differs,
                o.differs AND capydb_auth.version_of(
                    (h.row).last_event_processed, (h.row).last_event_sent_at, (h.row).last_event_id, (h.row).last_event_fields,
                    (h.row).field_versions, o.name, o.bit)
                    > CASE WHEN o.name = 'deleted_at' THEN r.life_version ELSE r.version END AS is_newer
            FROM (
                SELECT i.place, i.name, i.bit, e.fields & i.bit <> 0 AND i.differs AS differs
                FROM (
                    VALUES -- JavaScript keeps milliseconds, PostgreSQL microseconds
                        (0, 'organization_id', 65536, e.organization_id IS DISTINCT FROM (h.row).organization_id),
                        (1, 'email', 1, e.email IS DISTINCT FROM (h.row).email),
                        (2, 'role', 8192, e.role IS DISTINCT FROM (h.row).role),
                        (3, 'status', 262144, e.status IS DISTINCT FROM (h.row).status),
                        (4, 'expires_at', 524288, date_trunc('milliseconds', e.expires_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).expires_at)),
                        (5, 'created_at', 32, date_trunc('milliseconds', e.created_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).created_at)),
                        (6, 'updated_at', 64, date_trunc('milliseconds', e.updated_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).updated_at)),
                        (7, 'deleted_at', 256, e.deleted_at IS DISTINCT FROM (h.row).deleted_at)
                ) AS i (place, name, bit, differs)
            ) AS o
        ) AS p
    ) AS found
    CROSS JOIN LATERAL (
        SELECT found.columns, found.is_disputed, found.is_quiet, '{}'::text[] AS quiet_columns
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

COMMENT ON FUNCTION capydb_auth.compare_invitations(p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) IS 'Tells how invitations as the provider has them differ from the mirror; changes nothing.';

CREATE FUNCTION capydb_auth.compare_memberships(p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) RETURNS TABLE(ordinal integer, record_id text, finding text, columns text[], tolerated text[], is_disputed boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    AS $$
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
            -- Versions alone do not decide there (see merge_record), unless the event has no clock either: then
            -- what was received last does.
            OR (NOT e.at_is_receipt AND coalesce((h.row).field_versions ? 'unclocked', false))
            OR (e.at_is_receipt AND EXISTS (
                SELECT FROM jsonb_each((h.row).field_versions -> 'unclocked') AS k
                WHERE (k.value ->> 'received_at')::timestamptz >= coalesce(e.arrived_at, e.received_at)
            ))
            OR EXISTS (
                SELECT FROM jsonb_each((h.row).field_versions -> 'roles') AS k
                WHERE jsonb_populate_record(NULL::capydb_auth.version, k.value -> 'version') > r.version
            )
        )
    FROM unnest(p_events) AS e
    -- A look-up that no plan can turn into reading the table.
    LEFT JOIN LATERAL (
        SELECT i AS stored FROM capydb_auth.memberships AS i
        WHERE (i.organization_id, i.user_id) >= (e.organization_id, e.user_id)
          AND (i.organization_id, i.user_id) <= (e.organization_id, e.user_id)
        ORDER BY i.organization_id, i.user_id
        LIMIT 1
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
            (u.stored).own_deleted_at AS deleted_at,
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
            coalesce(bool_or(p.is_newer) FILTER (WHERE p.differs), false)                                             AS is_disputed,
            coalesce(bool_and(NOT p.differs) FILTER (WHERE p.name = 'updated_at'), true)                              AS is_quiet
        FROM (
            SELECT
                o.place, o.name, o.differs,
                o.differs AND capydb_auth.version_of(
                    (h.row).last_event_processed, (h.row).last_event_sent_at, (h.row).last_event_id, (h.row).last_event_fields,
                    (h.row).field_versions, o.name, o.bit)
                    > CASE WHEN o.name = 'deleted_at' THEN r.life_version ELSE r.version END AS is_newer
            FROM (
                SELECT i.place, i.name, i.bit, e.fields & i.bit <> 0 AND i.differs AS differs
                FROM (
                    VALUES -- JavaScript keeps milliseconds, PostgreSQL microseconds
                        (0, 'id', 4096, e.id IS DISTINCT FROM (h.row).id),
                        (1, 'role', 8192, e.role IS DISTINCT FROM (h.row).role),
                        (2, 'roles', 16384, ARRAY(SELECT a.v FROM unnest(e.roles) AS a (v) ORDER BY a.v COLLATE "C")
                            <> ARRAY(SELECT a.v FROM unnest((h.row).roles) AS a (v) ORDER BY a.v COLLATE "C")),
                        (3, 'permissions', 32768, ARRAY(SELECT a.v FROM unnest(e.permissions) AS a (v) ORDER BY a.v COLLATE "C")
                            <> ARRAY(SELECT a.v FROM unnest((h.row).permissions) AS a (v) ORDER BY a.v COLLATE "C")),
                        (4, 'created_at', 32, date_trunc('milliseconds', e.created_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).created_at)),
                        (5, 'updated_at', 64, date_trunc('milliseconds', e.updated_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).updated_at)),
                        (6, 'deleted_at', 256, e.deleted_at IS DISTINCT FROM (h.row).own_deleted_at)
                ) AS i (place, name, bit, differs)
            ) AS o
        ) AS p
    ) AS found
    CROSS JOIN LATERAL (
        SELECT found.columns, found.is_disputed, found.is_quiet, '{}'::text[] AS quiet_columns
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

COMMENT ON FUNCTION capydb_auth.compare_memberships(p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) IS 'Tells how memberships as the provider has them differ from the mirror; changes nothing.';

CREATE FUNCTION capydb_auth.compare_organizations(p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) RETURNS TABLE(ordinal integer, record_id text, finding text, columns text[], tolerated text[], is_disputed boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    AS $$
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
            -- Versions alone do not decide there (see merge_record), unless the event has no clock either: then
            -- what was received last does.
            OR (NOT e.at_is_receipt AND coalesce((h.row).field_versions ? 'unclocked', false))
            OR (e.at_is_receipt AND EXISTS (
                SELECT FROM jsonb_each((h.row).field_versions -> 'unclocked') AS k
                WHERE (k.value ->> 'received_at')::timestamptz >= coalesce(e.arrived_at, e.received_at)
            ))
        )
    FROM unnest(p_events) AS e
    -- A look-up that no plan can turn into reading the table.
    LEFT JOIN LATERAL (
        SELECT i AS stored FROM capydb_auth.organizations AS i
        WHERE (i.id) >= (e.record_id)
          AND (i.id) <= (e.record_id)
        ORDER BY i.id
        LIMIT 1
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
            (u.stored).deleted_at AS deleted_at,
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
            coalesce(bool_or(p.is_newer) FILTER (WHERE p.differs), false)                                             AS is_disputed,
            coalesce(bool_and(NOT p.differs) FILTER (WHERE p.name = 'updated_at'), true)                              AS is_quiet
        FROM (
            SELECT
                o.place, o.name, o.differs,
                o.differs AND capydb_auth.version_of(
                    (h.row).last_event_processed, (h.row).last_event_sent_at, (h.row).last_event_id, (h.row).last_event_fields,
                    (h.row).field_versions, o.name, o.bit)
                    > CASE WHEN o.name = 'deleted_at' THEN r.life_version ELSE r.version END AS is_newer
            FROM (
                SELECT i.place, i.name, i.bit, e.fields & i.bit <> 0 AND i.differs AS differs
                FROM (
                    VALUES -- JavaScript keeps milliseconds, PostgreSQL microseconds
                        (0, 'name', 1024, e.name IS DISTINCT FROM (h.row).name),
                        (1, 'slug', 2048, e.slug IS DISTINCT FROM (h.row).slug),
                        (2, 'image_url', 16, e.image_url IS DISTINCT FROM (h.row).image_url),
                        (3, 'created_at', 32, date_trunc('milliseconds', e.created_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).created_at)),
                        (4, 'updated_at', 64, date_trunc('milliseconds', e.updated_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).updated_at)),
                        (5, 'deleted_at', 256, e.deleted_at IS DISTINCT FROM (h.row).deleted_at)
                ) AS i (place, name, bit, differs)
            ) AS o
        ) AS p
    ) AS found
    CROSS JOIN LATERAL (
        SELECT found.columns, found.is_disputed, found.is_quiet, '{}'::text[] AS quiet_columns
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

COMMENT ON FUNCTION capydb_auth.compare_organizations(p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) IS 'Tells how organizations as the provider has them differ from the mirror; changes nothing.';

CREATE FUNCTION capydb_auth.compare_users(p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) RETURNS TABLE(ordinal integer, record_id text, finding text, columns text[], tolerated text[], is_disputed boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    AS $$
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
            -- Versions alone do not decide there (see merge_record), unless the event has no clock either: then
            -- what was received last does.
            OR (NOT e.at_is_receipt AND coalesce((h.row).field_versions ? 'unclocked', false))
            OR (e.at_is_receipt AND EXISTS (
                SELECT FROM jsonb_each((h.row).field_versions -> 'unclocked') AS k
                WHERE (k.value ->> 'received_at')::timestamptz >= coalesce(e.arrived_at, e.received_at)
            ))
        )
    FROM unnest(p_events) AS e
    -- A look-up that no plan can turn into reading the table.
    LEFT JOIN LATERAL (
        SELECT i AS stored FROM capydb_auth.users AS i
        WHERE (i.id) >= (e.record_id)
          AND (i.id) <= (e.record_id)
        ORDER BY i.id
        LIMIT 1
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
            (u.stored).deleted_at AS deleted_at,
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
                    (h.row).field_versions, o.name, o.bit)
                    > CASE WHEN o.name = 'deleted_at' THEN r.life_version ELSE r.version END AS is_newer
            FROM (
                SELECT i.place, i.name, i.bit, e.fields & i.bit <> 0 AND i.differs AS differs
                FROM (
                    VALUES -- JavaScript keeps milliseconds, PostgreSQL microseconds
                        (0, 'email', 1, e.email IS DISTINCT FROM (h.row).email),
                        (1, 'first_name', 2, e.first_name IS DISTINCT FROM (h.row).first_name),
                        (2, 'last_name', 4, e.last_name IS DISTINCT FROM (h.row).last_name),
                        (3, 'username', 8, e.username IS DISTINCT FROM (h.row).username),
                        (4, 'image_url', 16, e.image_url IS DISTINCT FROM (h.row).image_url),
                        (5, 'created_at', 32, date_trunc('milliseconds', e.created_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).created_at)),
                        (6, 'updated_at', 64, date_trunc('milliseconds', e.updated_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).updated_at)),
                        (7, 'last_sign_in_at', 128, date_trunc('milliseconds', e.last_sign_in_at)
                            IS DISTINCT FROM date_trunc('milliseconds', (h.row).last_sign_in_at)
                            AND (e.last_sign_in_at_is_least AND e.last_sign_in_at < (h.row).last_sign_in_at) IS NOT TRUE),
                        (8, 'deleted_at', 256, e.deleted_at IS DISTINCT FROM (h.row).deleted_at)
                ) AS i (place, name, bit, differs)
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
$$;

COMMENT ON FUNCTION capydb_auth.compare_users(p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) IS 'Tells how users as the provider has them differ from the mirror; changes nothing.';

CREATE FUNCTION capydb_auth.count_call(p_epoch uuid, p_applied_to bigint, p_at timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_applied_to bigint;
BEGIN
    PERFORM capydb_auth.lock_mirror();

    UPDATE capydb_auth.mirror_progress AS p
    SET applied_to = p.applied_to + 1, applied_at = least(p_at, clock_timestamp())
    WHERE p.epoch = p_epoch AND p.applied_to >= p_applied_to
    RETURNING p.applied_to INTO v_applied_to;
    IF v_applied_to IS NULL THEN
        RAISE EXCEPTION 'the mirror has lost calls that were applied to it: it was restored from a backup, or recreated'
            USING ERRCODE = 'US004', HINT = 'authsync repairs it by itself; see authsync doctor.';
    END IF;
    RETURN v_applied_to;
END;
$$;

COMMENT ON FUNCTION capydb_auth.count_call(p_epoch uuid, p_applied_to bigint, p_at timestamp with time zone) IS 'Counts what its transaction writes as a call, by which a mirror that loses it is known.';

CREATE FUNCTION capydb_auth.ensure_organization(p_id text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
    IF p_id IS NULL OR p_id = '' THEN
        RAISE EXCEPTION 'the id of an organization is null or empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the provider''s id of the organization, such as org_123.';
    END IF;
    -- Spaces, controls and characters without a width; the providers' decoders refuse all of them. The locale decides nothing here.
    IF p_id ~ E'^[\\u0001-\\u0020\\u007f-\\u00a0\\u00ad\\u034f\\u061c\\u115f\\u1160\\u1680\\u17b4\\u17b5\\u180b-\\u180f'
        '\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\U000e0000-\\U000e0fff]*$'
    THEN
        RAISE EXCEPTION 'the id of an organization shows nothing: it has only spaces, or characters without a width'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the provider''s id of the organization, such as org_123.';
    END IF;
    IF octet_length(p_id) > 1024 THEN
        RAISE EXCEPTION 'the id of an organization is % bytes long: at most 1024 are taken', octet_length(p_id)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the provider''s id of the organization, such as org_123.';
    END IF;

    INSERT INTO capydb_auth.organizations (id, placeholder_since)
    VALUES (p_id, clock_timestamp())
    ON CONFLICT (id) DO NOTHING;

    RETURN p_id;
END;
$_$;

COMMENT ON FUNCTION capydb_auth.ensure_organization(p_id text) IS 'Makes a placeholder for an organization whose event has not come yet; returns the id, for use in a foreign key.';

CREATE FUNCTION capydb_auth.ensure_user(p_id text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
    IF p_id IS NULL OR p_id = '' THEN
        RAISE EXCEPTION 'the id of a user is null or empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the provider''s id of the user, such as auth0|123 or user_123.';
    END IF;
    -- Spaces, controls and characters without a width; the providers' decoders refuse all of them. The locale decides nothing here.
    IF p_id ~ E'^[\\u0001-\\u0020\\u007f-\\u00a0\\u00ad\\u034f\\u061c\\u115f\\u1160\\u1680\\u17b4\\u17b5\\u180b-\\u180f'
        '\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\U000e0000-\\U000e0fff]*$'
    THEN
        RAISE EXCEPTION 'the id of a user shows nothing: it has only spaces, or characters without a width'
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
$_$;

COMMENT ON FUNCTION capydb_auth.ensure_user(p_id text) IS 'Makes a placeholder for a user whose event has not come yet; returns the id, for use in a foreign key.';

CREATE FUNCTION capydb_auth.erase_begin(p_key bytea, p_user_id text, p_event_id text, p_at timestamp with time zone, p_epoch uuid DEFAULT NULL::uuid, p_applied_to bigint DEFAULT NULL::bigint) RETURNS TABLE(change_id bigint, emails text[], applied_to bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    PERFORM capydb_auth.lock_mirror();

    IF p_epoch IS NOT NULL THEN
        UPDATE capydb_auth.mirror_progress AS p
        SET applied_to = p.applied_to + 1
        WHERE p.epoch = p_epoch AND p.applied_to >= p_applied_to
        RETURNING p.applied_to INTO applied_to;
        IF applied_to IS NULL THEN
            RAISE EXCEPTION 'the mirror has lost calls that were applied to it: it was restored from a backup, or recreated'
                USING ERRCODE = 'US004', HINT = 'authsync repairs it by itself; see authsync doctor.';
        END IF;
    END IF;

    INSERT INTO capydb_auth.erasures (digest, erased_at)
    VALUES (capydb_auth.erasure_digest(p_key, 'user', p_user_id), p_at)
    ON CONFLICT (digest) DO NOTHING;

    emails := ARRAY(
        SELECT DISTINCT a.email
        FROM (
            SELECT u.email FROM capydb_auth.users AS u WHERE u.id = p_user_id
            UNION ALL
            SELECT u.email FROM capydb_auth.user_emails AS u WHERE u.user_id = p_user_id
        ) AS a
        WHERE a.email IS NOT NULL
    );

    change_id := (
        SELECT c.id
        FROM capydb_auth.changes AS c
        WHERE (c.record_id, c.record_type, c.id) >= (p_user_id, 'user', 0)
          AND (c.record_id, c.record_type, c.id) <= (p_user_id, 'user', 9223372036854775807)
          AND c.kind = 'erased' AND c.event_id = p_event_id
        ORDER BY c.record_id DESC, c.record_type DESC, c.id DESC
        LIMIT 1
    );
    IF change_id IS NULL THEN
        INSERT INTO capydb_auth.changes (
            record_type, record_id, kind, changed, before, after, before_raw, provider, event_id, event_at, changed_at
        )
        VALUES (
            'user', p_user_id, 'erased', '{}', NULL,
            jsonb_build_object('id', p_user_id),
            NULL,
            coalesce((SELECT u.provider FROM capydb_auth.users AS u WHERE u.id = p_user_id), ''),
            p_event_id, p_at, p_at)
        RETURNING id INTO change_id;
    END IF;
    RETURN NEXT;
END;
$$;

COMMENT ON FUNCTION capydb_auth.erase_begin(p_key bytea, p_user_id text, p_event_id text, p_at timestamp with time zone, p_epoch uuid, p_applied_to bigint) IS 'Sets the tombstone of a user and makes the change that passes the erasure on.';

CREATE FUNCTION capydb_auth.erase_invitations(p_key bytea, p_emails text[], p_after text, p_limit integer, p_at timestamp with time zone) RETURNS TABLE(invitations bigint, changes bigint, ids text[], next_after text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    PERFORM capydb_auth.lock_mirror();

    next_after := (SELECT i.id FROM capydb_auth.invitations AS i WHERE i.id > p_after ORDER BY i.id OFFSET p_limit - 1 LIMIT 1);
    ids := ARRAY(
        SELECT i.id
        FROM capydb_auth.invitations AS i
        WHERE i.id > p_after AND (next_after IS NULL OR i.id <= next_after)
          AND lower(i.email) IN (SELECT lower(e.email) FROM unnest(p_emails) AS e (email))
    );
    INSERT INTO capydb_auth.erasures (digest, erased_at)
    SELECT capydb_auth.erasure_digest(p_key, 'invitation', i.id), p_at FROM unnest(ids) AS i (id)
    ON CONFLICT (digest) DO NOTHING;

    SELECT r.invitations, r.changes INTO invitations, changes FROM capydb_auth.remove_invitations(ids) AS r;
    RETURN NEXT;
END;
$$;

COMMENT ON FUNCTION capydb_auth.erase_invitations(p_key bytea, p_emails text[], p_after text, p_limit integer, p_at timestamp with time zone) IS 'Removes the invitations to some addresses out of a page of them, and sets their tombstones.';

CREATE FUNCTION capydb_auth.erase_ledger(p_user_id text, p_is_long boolean, p_provider text, p_event_id text, p_limit integer) RETURNS TABLE(removed bigint, next_provider text, next_event_id text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    AS $$
DECLARE
    v_last_provider text COLLATE "C";
    v_last_event_id text COLLATE "C";
BEGIN
    -- All entries of its last event belong to a page.
    SELECT p.provider, p.event_id INTO v_last_provider, v_last_event_id
    FROM capydb_auth.processed_events AS p
    WHERE (p.provider, p.event_id) > (p_provider, p_event_id)
    ORDER BY p.provider, p.event_id, p.record_type, p.record_id, p.received_at
    OFFSET p_limit - 1
    LIMIT 1;
    next_provider := v_last_provider;
    next_event_id := v_last_event_id;

    DELETE FROM capydb_auth.processed_events AS p
    WHERE (p.provider, p.event_id) > (p_provider, p_event_id)
      AND (v_last_provider IS NULL OR (p.provider, p.event_id) <= (v_last_provider, v_last_event_id))
      AND (
          (p.record_type = 'user' AND p.record_id = p_user_id)
          OR (p.record_type = 'membership' AND substr(p.record_id, strpos(p.record_id, '/') + 1) = p_user_id)
          OR (p.record_type = 'session' AND EXISTS (
              SELECT FROM capydb_auth.sessions AS s WHERE s.id = p.record_id AND s.user_id = p_user_id))
          OR (p_is_long AND strpos(p.event_id, p_user_id) > 0)
      );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN NEXT;
END;
$$;

COMMENT ON FUNCTION capydb_auth.erase_ledger(p_user_id text, p_is_long boolean, p_provider text, p_event_id text, p_limit integer) IS 'Removes what a page of the ledger has of a user.';

CREATE FUNCTION capydb_auth.erase_records(p_user_id text, p_keep bigint, p_limit integer) RETURNS TABLE(changes bigint, memberships bigint, sessions bigint, users bigint, findings bigint, emails text[], is_done boolean)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    v_members  text[];
    v_sessions text[];
    v_ids      bigint[];
    v_changes  bigint;
    v_emails   text[];
BEGIN
    PERFORM capydb_auth.lock_mirror();

    v_members := ARRAY(
        SELECT capydb_auth.membership_id(m.organization_id, m.user_id)
        FROM capydb_auth.memberships AS m WHERE m.user_id = p_user_id LIMIT 100);
    v_sessions := ARRAY(SELECT s.id FROM capydb_auth.sessions AS s WHERE s.user_id = p_user_id LIMIT 100);

    v_ids := ARRAY(
        SELECT c.id
        FROM (
            SELECT 'user' AS record_type, p_user_id AS record_id
            UNION ALL
            SELECT 'membership', m.id FROM unnest(v_members) AS m (id)
            UNION ALL
            SELECT 'session', s.id FROM unnest(v_sessions) AS s (id)
        ) AS r
        -- By all columns of the index, so that no plan can walk through the feed by id.
        CROSS JOIN LATERAL (
            SELECT i.id
            FROM capydb_auth.changes AS i
            WHERE (i.record_id, i.record_type, i.id) >= (r.record_id, r.record_type, 0)
              AND (i.record_id, i.record_type, i.id) <= (r.record_id, r.record_type, 9223372036854775807)
              AND i.id <> p_keep
            LIMIT p_limit
        ) AS c
        LIMIT p_limit
    );
    WITH gone AS (
        DELETE FROM capydb_auth.changes AS c WHERE c.id = ANY (v_ids) RETURNING c.record_type, c.after, c.after_email, c.before
    )
    SELECT
        (SELECT count(*) FROM gone),
        coalesce(array_agg(DISTINCT e.email) FILTER (WHERE e.email IS NOT NULL), '{}')
    INTO v_changes, v_emails
    FROM gone AS g
    LEFT JOIN LATERAL (
        SELECT g.after ->> 'email' AS email UNION SELECT g.after_email UNION SELECT g.before ->> 'email'
    ) AS e ON g.record_type = 'user';

    changes := v_changes;
    emails := v_emails;
    memberships := 0::bigint;
    sessions := 0::bigint;
    users := 0::bigint;
    findings := 0::bigint;
    is_done := false;
    IF changes < p_limit THEN
        DELETE FROM capydb_auth.memberships AS m
        WHERE m.user_id = p_user_id AND capydb_auth.membership_id(m.organization_id, m.user_id) = ANY (v_members);
        GET DIAGNOSTICS memberships = ROW_COUNT;
        DELETE FROM capydb_auth.sessions AS s WHERE s.id = ANY (v_sessions) AND s.user_id = p_user_id;
        GET DIAGNOSTICS sessions = ROW_COUNT;
        IF v_members = '{}' AND v_sessions = '{}' THEN
            DELETE FROM capydb_auth.users AS u WHERE u.id = p_user_id;
            GET DIAGNOSTICS users = ROW_COUNT;
            DELETE FROM capydb_auth.reconcile_findings AS f
            WHERE (f.record_type = 'user' AND f.record_id = p_user_id)
               OR (f.record_type = 'membership' AND substr(f.record_id, strpos(f.record_id, '/') + 1) = p_user_id);
            GET DIAGNOSTICS findings = ROW_COUNT;
            is_done := true;
        END IF;
    END IF;
    RETURN NEXT;
END;
$$;

COMMENT ON FUNCTION capydb_auth.erase_records(p_user_id text, p_keep bigint, p_limit integer) IS 'Removes rows and changes of a user, its memberships and its sessions, a bounded number in a call.';

CREATE FUNCTION capydb_auth.erasure_digest(p_key bytea, p_record_type text, p_record_id text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT encode(sha256(p_key || convert_to(p_record_type || ':' || p_record_id, 'UTF8')), 'hex');
$$;

COMMENT ON FUNCTION capydb_auth.erasure_digest(p_key bytea, p_record_type text, p_record_id text) IS 'The digest by which an erased record is remembered.';

CREATE FUNCTION capydb_auth.find_erased(p_key bytea, p_record_types text[], p_record_ids text[], p_user_ids text[]) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN QUERY
    SELECT r.place
    FROM unnest(p_record_types, p_record_ids, p_user_ids) WITH ORDINALITY AS r (record_type, record_id, user_id, place)
    WHERE EXISTS (
        SELECT FROM capydb_auth.erasures AS e
        WHERE e.digest IN (
            capydb_auth.erasure_digest(p_key, r.record_type, r.record_id), capydb_auth.erasure_digest(p_key, 'user', r.user_id)
        )
    )
    ORDER BY r.place;
END;
$$;

COMMENT ON FUNCTION capydb_auth.find_erased(p_key bytea, p_record_types text[], p_record_ids text[], p_user_ids text[]) IS 'Tells which of some records were erased, or belong to a user who was.';

CREATE FUNCTION capydb_auth.find_restored(p_key bytea, p_record_type text, p_table text, p_from bigint, p_blocks bigint) RETURNS TABLE(record_ids text[], is_last boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_indexscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
DECLARE
    v_from tid := format('(%s,0)', p_from)::tid;
    v_to   tid := format('(%s,0)', p_from + p_blocks)::tid;
BEGIN
    IF p_table = 'users' THEN
        record_ids := ARRAY(
            SELECT u.id
            FROM capydb_auth.users AS u
            WHERE u.ctid >= v_from AND u.ctid < v_to
              AND encode(sha256(p_key || convert_to(p_record_type || ':' || u.id, 'UTF8')), 'hex')
                  IN (SELECT e.digest FROM capydb_auth.erasures AS e)
        );
    ELSIF p_table = 'invitations' THEN
        record_ids := ARRAY(
            SELECT i.id
            FROM capydb_auth.invitations AS i
            WHERE i.ctid >= v_from AND i.ctid < v_to
              AND encode(sha256(p_key || convert_to(p_record_type || ':' || i.id, 'UTF8')), 'hex')
                  IN (SELECT e.digest FROM capydb_auth.erasures AS e)
        );
    ELSE
        record_ids := ARRAY(
            SELECT c.record_id
            FROM (
                SELECT DISTINCT f.record_id
                FROM capydb_auth.changes AS f
                WHERE f.ctid >= v_from AND f.ctid < v_to AND f.record_type = p_record_type
            ) AS c
            WHERE encode(sha256(p_key || convert_to(p_record_type || ':' || c.record_id, 'UTF8')), 'hex')
                IN (SELECT e.digest FROM capydb_auth.erasures AS e)
        );
    END IF;
    is_last := p_from + p_blocks >= pg_relation_size(format('capydb_auth.%I', p_table)::regclass) / current_setting('block_size')::bigint;
    RETURN NEXT;
END;
$$;

COMMENT ON FUNCTION capydb_auth.find_restored(p_key bytea, p_record_type text, p_table text, p_from bigint, p_blocks bigint) IS 'Searches a range of blocks of a table for users or invitations that were erased.';

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
        LOCK TABLE capydb_auth.users, capydb_auth.changes, capydb_auth.processed_events,
            capydb_auth.mirror_progress IN ROW EXCLUSIVE MODE;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        RAISE EXCEPTION 'another transaction in the project''s database has locked a table of schema capydb_auth'
            USING ERRCODE = 'US001', HINT = 'Nothing can be applied until it ends; pg_locks and pg_stat_activity say whose it is.';
    END;
END;
$$;

COMMENT ON FUNCTION capydb_auth.lock_mirror() IS 'Lets one caller at a time write to the mirror, until its transaction ends.';

CREATE FUNCTION capydb_auth.membership_id(p_organization_id text, p_user_id text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT replace(replace(p_organization_id, '%', '%25'), '/', '%2F') || '/' || p_user_id;
$$;

COMMENT ON FUNCTION capydb_auth.membership_id(p_organization_id text, p_user_id text) IS 'The id of a membership: organization_id/user_id, escaped so that no two share one.';

CREATE FUNCTION capydb_auth.merge_record(p_event capydb_auth.event, p_fields integer, p_last_at timestamp with time zone, p_last_sent_at timestamp with time zone, p_last_event_id text, p_last_fields integer, p_field_versions jsonb, p_roles text[]) RETURNS TABLE(shown jsonb, sets integer, last_at timestamp with time zone, last_sent_at timestamp with time zone, last_event_id text, last_fields integer, field_versions jsonb, is_noted boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
DECLARE
    c_columns constant text[] := ARRAY[
        'email',
        'first_name',
        'last_name',
        'username',
        'image_url',
        'created_at',
        'updated_at',
        'last_sign_in_at',
        'deleted_at',
        'raw',
        'name',
        'slug',
        'id',
        'role',
        'roles',
        'permissions',
        'organization_id',
        'user_id',
        'status',
        'expires_at',
        'last_active_at'
    ];
    v_event        jsonb := to_jsonb(p_event);
    v_versions     jsonb := '{}'::jsonb;
    v_unclocked    jsonb := '{}'::jsonb;
    v_roles        jsonb := '{}'::jsonb;
    v_was          jsonb;
    v_received_at  timestamptz := coalesce(p_event.arrived_at, p_event.received_at);
    v_column       text;
    v_value        jsonb;
    v_is_unclocked boolean;
    v_version      capydb_auth.version;
    v_stored       capydb_auth.version;
    v_kept_at      timestamptz;
    v_newest       capydb_auth.version;
    v_role         text := coalesce(p_event.role_added, p_event.role_removed);
BEGIN
    shown := '{}';
    sets := 0;
    IF p_last_at IS NOT NULL THEN -- otherwise there is no row, or a placeholder
        v_unclocked := coalesce(p_field_versions -> 'unclocked', '{}');
        v_roles := coalesce(p_field_versions -> 'roles', '{}');
        v_versions := coalesce(p_field_versions -> 'versions', '{}') || coalesce((
            SELECT jsonb_object_agg(c_columns[i], to_jsonb(ROW(p_last_at, p_last_sent_at, p_last_event_id, NULL)::capydb_auth.version))
            FROM generate_subscripts(c_columns, 1) AS i
            WHERE p_last_fields & (1 << (i - 1)) <> 0
        ), '{}');
    END IF;
    v_was := jsonb_build_array(v_versions, v_unclocked, v_roles);

    FOR i IN 1 .. cardinality(c_columns) LOOP
        CONTINUE WHEN p_fields & (1 << (i - 1)) = 0;
        v_column := c_columns[i];
        v_value := v_event -> v_column;
        v_stored := jsonb_populate_record(NULL::capydb_auth.version, v_versions -> v_column);
        v_kept_at := (v_unclocked -> v_column ->> 'received_at')::timestamptz;
        -- A deletion has a clock of its own, because it carries the profile as it was before.
        v_version := ROW(
            CASE WHEN v_column = 'deleted_at' THEN coalesce(p_event.deleted_clock, p_event.at) ELSE p_event.at END,
            p_event.sent_at, p_event.event_id, p_event.arrived_at)::capydb_auth.version;
        v_is_unclocked := CASE
            WHEN v_column = 'roles' THEN false -- what is newer than the whole set needs one version to be compared with
            WHEN v_column = 'deleted_at' AND p_event.deleted_clock IS NOT NULL THEN p_event.deleted_clock_is_receipt
            ELSE p_event.at_is_receipt
        END;

        IF v_is_unclocked THEN
            IF v_stored.at > v_received_at + interval '1 minute' AND NOT capydb_auth.unclocked_is_newer(v_received_at, v_stored) THEN
                CONTINUE;
            END IF;
            IF v_kept_at IS NULL
                OR (v_received_at, v_version.event_id) > (v_kept_at, (v_unclocked -> v_column ->> 'event_id') COLLATE "C")
            THEN
                v_unclocked := v_unclocked || jsonb_build_object(
                    v_column,
                    jsonb_build_object('value', v_value, 'received_at', v_received_at, 'event_id', v_version.event_id)
                );
                IF capydb_auth.unclocked_is_newer(v_received_at, v_stored) THEN
                    shown := shown || jsonb_build_object(v_column, v_value);
                    sets := sets | (1 << (i - 1));
                END IF;
            END IF;
        ELSIF v_stored.at IS NULL OR v_version > v_stored
            OR (p_event.last_sign_in_at_is_least AND v_column = 'last_sign_in_at')
        THEN
            v_versions := v_versions || jsonb_build_object(v_column, to_jsonb(v_version));
            IF v_kept_at IS NULL OR NOT capydb_auth.unclocked_is_newer(v_kept_at, v_version) THEN
                shown := shown || jsonb_build_object(v_column, v_value);
                sets := sets | (1 << (i - 1));
                IF v_version.at > v_kept_at + interval '1 minute' THEN
                    v_unclocked := v_unclocked - v_column;
                END IF;
            ELSIF NOT capydb_auth.unclocked_is_newer(v_kept_at, v_stored) THEN
                -- What the column showed is older than this event, which is older than what was kept.
                shown := shown || jsonb_build_object(v_column, v_unclocked -> v_column -> 'value');
                sets := sets | (1 << (i - 1));
            END IF;
        END IF;
    END LOOP;

    IF v_role IS NOT NULL THEN
        v_version := ROW(p_event.at, p_event.sent_at, p_event.event_id, p_event.arrived_at)::capydb_auth.version;
        IF coalesce(v_version > jsonb_populate_record(NULL::capydb_auth.version, v_versions -> 'roles'), true)
            AND coalesce(v_version > jsonb_populate_record(NULL::capydb_auth.version, v_roles -> v_role -> 'version'), true)
        THEN
            v_roles := v_roles || jsonb_build_object(
                v_role, jsonb_build_object('is_set', p_event.role_added IS NOT NULL, 'version', to_jsonb(v_version)));
            sets := sets | 16384;
        END IF;
    ELSIF sets & 16384 <> 0 THEN
        -- The whole set decides about every role of which nothing newer was reported.
        v_version := jsonb_populate_record(NULL::capydb_auth.version, v_versions -> 'roles');
        SELECT coalesce(jsonb_object_agg(r.key, r.value), '{}')
        INTO v_roles
        FROM jsonb_each(v_roles) AS r
        WHERE jsonb_populate_record(NULL::capydb_auth.version, r.value -> 'version') > v_version;
    END IF;
    IF sets & 16384 <> 0 AND v_roles <> '{}' THEN
        shown := shown || jsonb_build_object('roles', (
            SELECT coalesce(jsonb_agg(a.role ORDER BY a.role), '[]')
            FROM (
                SELECT n.role COLLATE "C" AS role
                FROM jsonb_array_elements_text(
                    CASE
                        WHEN NOT shown ? 'roles' THEN coalesce(to_jsonb(p_roles), '[]') -- the whole set is as it was
                        WHEN jsonb_typeof(shown -> 'roles') = 'array' THEN shown -> 'roles'
                        ELSE '[]'
                    END
                ) AS n (role)
                UNION
                SELECT k.key COLLATE "C" FROM jsonb_each(v_roles) AS k
            ) AS a
            WHERE (v_roles -> a.role ->> 'is_set')::boolean IS NOT FALSE
        ));
    END IF;

    is_noted := jsonb_build_array(v_versions, v_unclocked, v_roles) IS DISTINCT FROM v_was;
    last_at := greatest(p_last_at, p_event.at, p_event.deleted_clock);

    -- The versions of one event need not be repeated for each column: the greatest of that time is the record's.
    SELECT v.*
    INTO v_newest
    FROM jsonb_each(v_versions) AS c (name, doc)
    CROSS JOIN LATERAL jsonb_populate_record(NULL::capydb_auth.version, c.doc) AS v
    WHERE v.at = last_at AND v.received_at IS NULL
    ORDER BY v.sent_at DESC, v.event_id DESC
    LIMIT 1;
    last_sent_at := v_newest.sent_at;
    last_event_id := v_newest.event_id;
    last_fields := 0;
    IF v_newest.at IS NOT NULL THEN
        FOR i IN 1 .. cardinality(c_columns) LOOP
            IF v_versions -> c_columns[i] = to_jsonb(v_newest) THEN
                last_fields := last_fields | (1 << (i - 1));
                v_versions := v_versions - c_columns[i];
            END IF;
        END LOOP;
    END IF;
    field_versions := nullif(
        CASE WHEN v_versions <> '{}' THEN jsonb_build_object('versions', v_versions) ELSE '{}' END
        || CASE WHEN v_unclocked <> '{}' THEN jsonb_build_object('unclocked', v_unclocked) ELSE '{}' END
        || CASE WHEN v_roles <> '{}' THEN jsonb_build_object('roles', v_roles) ELSE '{}' END, '{}');
    RETURN NEXT;
END;
$$;

COMMENT ON FUNCTION capydb_auth.merge_record(p_event capydb_auth.event, p_fields integer, p_last_at timestamp with time zone, p_last_sent_at timestamp with time zone, p_last_event_id text, p_last_fields integer, p_field_versions jsonb, p_roles text[]) IS 'Merges an event into the versions of a record, column by column; called by apply_users and its likes only.';

CREATE FUNCTION capydb_auth.prunable_changes(p_before timestamp with time zone, p_to bigint, p_limit integer) RETURNS TABLE(id bigint, record_type text, record_id text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
BEGIN
    RETURN QUERY
    WITH page AS MATERIALIZED (
        SELECT c.id, c.record_type, c.record_id, c.changed_at
        FROM capydb_auth.changes AS c
        WHERE c.id > (SELECT p.changes_to FROM capydb_auth.prune_progress AS p) AND c.id <= p_to
        ORDER BY c.id
        LIMIT p_limit
    )
    SELECT c.id, c.record_type, c.record_id
    FROM page AS c
    WHERE c.id < coalesce((SELECT min(n.id) FROM page AS n WHERE n.changed_at >= p_before), 9223372036854775807);
END;
$$;

COMMENT ON FUNCTION capydb_auth.prunable_changes(p_before timestamp with time zone, p_to bigint, p_limit integer) IS 'The next changes that are past their retention.';

CREATE FUNCTION capydb_auth.prune_changes(p_to bigint) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_after   bigint;
    v_deleted integer;
BEGIN
    SELECT p.changes_to INTO v_after FROM capydb_auth.prune_progress AS p FOR UPDATE;

    DELETE FROM capydb_auth.changes AS c
    WHERE c.id = ANY (ARRAY(
        SELECT o.id
        FROM (
            SELECT DISTINCT ON (i.record_id, i.record_type) i.record_id, i.record_type, i.id
            FROM capydb_auth.changes AS i
            WHERE i.id > v_after AND i.id <= p_to
            ORDER BY i.record_id, i.record_type, i.id DESC
        ) AS n
        CROSS JOIN LATERAL (
            -- By all columns of the index, so that no plan can walk through the feed by id.
            SELECT i.id
            FROM capydb_auth.changes AS i
            WHERE (i.record_id, i.record_type, i.id) >= (n.record_id, n.record_type, 0)
              AND (i.record_id, i.record_type, i.id) < (n.record_id, n.record_type, n.id)
        ) AS o
        ORDER BY o.id
    ));
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    UPDATE capydb_auth.prune_progress AS p SET changes_to = greatest(p.changes_to, p_to);
    RETURN v_deleted;
END;
$$;

COMMENT ON FUNCTION capydb_auth.prune_changes(p_to bigint) IS 'Deletes changes that later ones of the same record have superseded.';

CREATE FUNCTION capydb_auth.prune_ledger(p_before timestamp with time zone, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_tidscan TO 'on'
    AS $$
DECLARE
    v_deleted integer;
BEGIN
    DELETE FROM capydb_auth.processed_events AS p
    WHERE p.ctid = ANY (ARRAY(
        SELECT o.ctid
        FROM capydb_auth.processed_events AS o
        WHERE o.processed_at < p_before
        ORDER BY o.processed_at
        LIMIT p_limit
    ));
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    RETURN v_deleted;
END;
$$;

COMMENT ON FUNCTION capydb_auth.prune_ledger(p_before timestamp with time zone, p_limit integer) IS 'Deletes entries of the ledger that were made before a time.';

CREATE FUNCTION capydb_auth.read_changes(p_after bigint, p_limit integer) RETURNS TABLE(id bigint, record_type text, record_id text, user_id text, organization_id text, kind text, changed text[], record_row jsonb, before_row jsonb, provider text, event_id text, event_at timestamp with time zone, changed_at timestamp with time zone)
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
        FROM capydb_auth.changes AS u
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
    INSERT INTO capydb_auth.reconcile_findings AS f (provider, record_type, record_id, run_id, finding, state)
    VALUES (p_provider, '', '', p_run_id, 'begun', 'none')
    ON CONFLICT (provider, record_type, record_id) DO UPDATE SET run_id = excluded.run_id;
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
        ORDER BY i.provider, i.record_type, i.record_id
        LIMIT p_limit
    ));
    GET DIAGNOSTICS v_forgotten = ROW_COUNT;
    RETURN v_forgotten;
END;
$$;

COMMENT ON FUNCTION capydb_auth.reconcile_forget(p_provider text, p_run_id uuid, p_limit integer) IS 'Forgets some findings of reconciles; call it until it gives 0.';

CREATE FUNCTION capydb_auth.reconcile_orphaned_invitations(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_after_id text, p_limit integer) RETURNS TABLE(last_id text, records bigint)
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
            u.id AS key_id,
            u.id AS id,
            u.provider = p_provider AND u.deleted_at IS NULL AS is_live,
            CASE
                WHEN u.provider = p_provider AND u.deleted_at IS NULL AND u.last_event_processed < p_begun THEN 'orphaned'
            END AS finding,
            (capydb_auth.version_of(
                u.last_event_processed, u.last_event_sent_at, u.last_event_id, u.last_event_fields, u.field_versions,
                'deleted_at', 256)).event_id AS alive_since
        FROM capydb_auth.invitations AS u
        WHERE (u.id) > (p_after_id)
        ORDER BY u.id
        LIMIT p_limit
    ),
    candidate AS MATERIALIZED (
        SELECT
            l.key_id,
            l.id, l.is_live, l.finding, l.alive_since, f.finding AS known
        FROM looked_at AS l
        LEFT JOIN LATERAL (
            SELECT i.finding
            FROM capydb_auth.reconcile_findings AS i
            WHERE i.provider = p_provider AND i.record_type = 'invitation' AND i.record_id = l.id COLLATE "C"
            LIMIT 1
        ) AS f ON true
    ),
    note AS (
        INSERT INTO capydb_auth.reconcile_findings (provider, record_type, record_id, run_id, finding, state)
        SELECT p_provider, 'invitation', c.id, p_run_id, c.finding, 'open'
        FROM candidate AS c
        WHERE c.finding IS NOT NULL
          AND c.known IS NULL
        ON CONFLICT (provider, record_type, record_id) DO NOTHING
    )
    SELECT
        CASE WHEN count(*) = p_limit THEN (array_agg(c.id ORDER BY c.key_id DESC))[1] END,
        count(*) FILTER (
            WHERE c.is_live
              AND c.known IN ('missing', 'deleted') IS NOT TRUE
              AND NOT (
                  c.known IS NOT DISTINCT FROM 'equal'
                  AND coalesce(c.alive_since = 'reconcile:' || p_run_id, false)
              )
        )
    FROM candidate AS c;
END;
$$;

COMMENT ON FUNCTION capydb_auth.reconcile_orphaned_invitations(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_after_id text, p_limit integer) IS 'Notes invitations of the mirror that a walk through the provider''s did not meet; changes none of them.';

CREATE FUNCTION capydb_auth.reconcile_orphaned_memberships(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_after_organization_id text, p_after_user_id text, p_limit integer) RETURNS TABLE(last_id text, records bigint)
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
            u.organization_id AS key_organization_id,
            u.user_id AS key_user_id,
            capydb_auth.membership_id(u.organization_id, u.user_id) AS id,
            u.provider = p_provider AND u.deleted_at IS NULL AS is_live,
            CASE
                WHEN u.provider = p_provider AND u.own_deleted_at IS NULL AND u.last_event_processed < p_begun THEN 'orphaned'
            END AS finding,
            (capydb_auth.version_of(
                u.last_event_processed, u.last_event_sent_at, u.last_event_id, u.last_event_fields, u.field_versions,
                'deleted_at', 256)).event_id AS alive_since
        FROM capydb_auth.memberships AS u
        WHERE (u.organization_id, u.user_id) > (p_after_organization_id, p_after_user_id)
        ORDER BY u.organization_id, u.user_id
        LIMIT p_limit
    ),
    candidate AS MATERIALIZED (
        SELECT
            l.key_organization_id,
            l.key_user_id,
            l.id, l.is_live, l.finding, l.alive_since, f.finding AS known
        FROM looked_at AS l
        LEFT JOIN LATERAL (
            SELECT i.finding
            FROM capydb_auth.reconcile_findings AS i
            WHERE i.provider = p_provider AND i.record_type = 'membership' AND i.record_id = l.id COLLATE "C"
            LIMIT 1
        ) AS f ON true
    ),
    note AS (
        INSERT INTO capydb_auth.reconcile_findings (provider, record_type, record_id, run_id, finding, state)
        SELECT p_provider, 'membership', c.id, p_run_id, c.finding, 'open'
        FROM candidate AS c
        WHERE c.finding IS NOT NULL
          AND c.known IS NULL
          AND (c.is_live OR EXISTS (
              SELECT FROM (
                  SELECT i.finding
                  FROM capydb_auth.reconcile_findings AS i
                  WHERE i.provider = p_provider AND i.record_type = 'organization' AND i.record_id = c.key_organization_id COLLATE "C"
                  LIMIT 1
              ) AS p
              WHERE p.finding = 'deleted'
          ) OR EXISTS (
              SELECT FROM (
                  SELECT i.finding
                  FROM capydb_auth.reconcile_findings AS i
                  WHERE i.provider = p_provider AND i.record_type = 'user' AND i.record_id = c.key_user_id COLLATE "C"
                  LIMIT 1
              ) AS p
              WHERE p.finding = 'deleted'
          ))
          AND NOT EXISTS (
              SELECT FROM (
                  SELECT i.finding
                  FROM capydb_auth.reconcile_findings AS i
                  WHERE i.provider = p_provider AND i.record_type = 'organization' AND i.record_id = c.key_organization_id COLLATE "C"
                  LIMIT 1
              ) AS p
              WHERE p.finding = 'orphaned'
          )
          AND NOT EXISTS (
              SELECT FROM (
                  SELECT i.finding
                  FROM capydb_auth.reconcile_findings AS i
                  WHERE i.provider = p_provider AND i.record_type = 'user' AND i.record_id = c.key_user_id COLLATE "C"
                  LIMIT 1
              ) AS p
              WHERE p.finding = 'orphaned'
          )
        ON CONFLICT (provider, record_type, record_id) DO NOTHING
    )
    SELECT
        CASE WHEN count(*) = p_limit THEN (array_agg(c.id ORDER BY c.key_organization_id DESC, c.key_user_id DESC))[1] END,
        count(*) FILTER (
            WHERE c.is_live
              AND c.known IN ('missing', 'deleted') IS NOT TRUE
              AND NOT (
                  c.known IS NOT DISTINCT FROM 'equal'
                  AND coalesce(c.alive_since = 'reconcile:' || p_run_id, false)
              )
        )
    FROM candidate AS c;
END;
$$;

COMMENT ON FUNCTION capydb_auth.reconcile_orphaned_memberships(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_after_organization_id text, p_after_user_id text, p_limit integer) IS 'Notes memberships of the mirror that a walk through the provider''s did not meet; changes none of them.';

CREATE FUNCTION capydb_auth.reconcile_orphaned_organizations(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_placeholders boolean, p_after_id text, p_limit integer) RETURNS TABLE(last_id text, records bigint)
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
            u.id AS key_id,
            u.id AS id,
            u.provider = p_provider AND u.deleted_at IS NULL AS is_live,
            CASE
                WHEN p_placeholders AND u.last_event_processed IS NULL AND u.placeholder_since < p_begun THEN 'placeholder'
                WHEN u.provider = p_provider AND u.deleted_at IS NULL AND u.last_event_processed < p_begun THEN 'orphaned'
            END AS finding,
            (capydb_auth.version_of(
                u.last_event_processed, u.last_event_sent_at, u.last_event_id, u.last_event_fields, u.field_versions,
                'deleted_at', 256)).event_id AS alive_since
        FROM capydb_auth.organizations AS u
        WHERE (u.id) > (p_after_id)
        ORDER BY u.id
        LIMIT p_limit
    ),
    candidate AS MATERIALIZED (
        SELECT
            l.key_id,
            l.id, l.is_live, l.finding, l.alive_since, f.finding AS known
        FROM looked_at AS l
        LEFT JOIN LATERAL (
            SELECT i.finding
            FROM capydb_auth.reconcile_findings AS i
            WHERE i.provider = p_provider AND i.record_type = 'organization' AND i.record_id = l.id COLLATE "C"
            LIMIT 1
        ) AS f ON true
    ),
    note AS (
        INSERT INTO capydb_auth.reconcile_findings (provider, record_type, record_id, run_id, finding, state)
        SELECT p_provider, 'organization', c.id, p_run_id, c.finding, 'open'
        FROM candidate AS c
        WHERE c.finding IS NOT NULL
          AND c.known IS NULL
        ON CONFLICT (provider, record_type, record_id) DO NOTHING
    )
    SELECT
        CASE WHEN count(*) = p_limit THEN (array_agg(c.id ORDER BY c.key_id DESC))[1] END,
        count(*) FILTER (
            WHERE c.is_live
              AND c.known IN ('missing', 'deleted') IS NOT TRUE
              AND NOT (
                  c.known IS NOT DISTINCT FROM 'equal'
                  AND coalesce(c.alive_since = 'reconcile:' || p_run_id, false)
              )
        )
    FROM candidate AS c;
END;
$$;

COMMENT ON FUNCTION capydb_auth.reconcile_orphaned_organizations(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_placeholders boolean, p_after_id text, p_limit integer) IS 'Notes organizations of the mirror that a walk through the provider''s did not meet; changes none of them.';

CREATE FUNCTION capydb_auth.reconcile_orphaned_users(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_placeholders boolean, p_after_id text, p_limit integer) RETURNS TABLE(last_id text, records bigint)
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
            u.id AS key_id,
            u.id AS id,
            u.provider = p_provider AND u.deleted_at IS NULL AS is_live,
            CASE
                WHEN p_placeholders AND u.last_event_processed IS NULL AND u.placeholder_since < p_begun THEN 'placeholder'
                WHEN u.provider = p_provider AND u.deleted_at IS NULL AND u.last_event_processed < p_begun THEN 'orphaned'
            END AS finding,
            (capydb_auth.version_of(
                u.last_event_processed, u.last_event_sent_at, u.last_event_id, u.last_event_fields, u.field_versions,
                'deleted_at', 256)).event_id AS alive_since
        FROM capydb_auth.users AS u
        WHERE (u.id) > (p_after_id)
        ORDER BY u.id
        LIMIT p_limit
    ),
    candidate AS MATERIALIZED (
        SELECT
            l.key_id,
            l.id, l.is_live, l.finding, l.alive_since, f.finding AS known
        FROM looked_at AS l
        LEFT JOIN LATERAL (
            SELECT i.finding
            FROM capydb_auth.reconcile_findings AS i
            WHERE i.provider = p_provider AND i.record_type = 'user' AND i.record_id = l.id COLLATE "C"
            LIMIT 1
        ) AS f ON true
    ),
    note AS (
        INSERT INTO capydb_auth.reconcile_findings (provider, record_type, record_id, run_id, finding, state)
        SELECT p_provider, 'user', c.id, p_run_id, c.finding, 'open'
        FROM candidate AS c
        WHERE c.finding IS NOT NULL
          AND c.known IS NULL
        ON CONFLICT (provider, record_type, record_id) DO NOTHING
    )
    SELECT
        CASE WHEN count(*) = p_limit THEN (array_agg(c.id ORDER BY c.key_id DESC))[1] END,
        count(*) FILTER (
            WHERE c.is_live
              AND c.known IN ('missing', 'deleted') IS NOT TRUE
              AND NOT (
                  c.known IS NOT DISTINCT FROM 'equal'
                  AND coalesce(c.alive_since = 'reconcile:' || p_run_id, false)
              )
        )
    FROM candidate AS c;
END;
$$;

COMMENT ON FUNCTION capydb_auth.reconcile_orphaned_users(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_placeholders boolean, p_after_id text, p_limit integer) IS 'Notes users of the mirror that a walk through the provider''s did not meet; changes none of them.';

CREATE FUNCTION capydb_auth.reconcile_page(p_run_id uuid, p_provider text, p_type text, p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) RETURNS TABLE(ordinal integer, finding text, columns text[], tolerated text[], is_open boolean)
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
            c.ordinal, c.record_id, c.finding, c.columns, c.tolerated,
            c.finding IN ('differing', 'deleted', 'unreported') AND (c.is_disputed OR NOT p_is_whole) AS is_open
        FROM (
            SELECT t.* FROM capydb_auth.compare_organizations(p_events, p_rules, p_is_whole) AS t WHERE p_type = 'organization'
            UNION ALL
            SELECT t.* FROM capydb_auth.compare_users(p_events, p_rules, p_is_whole) AS t WHERE p_type = 'user'
            UNION ALL
            SELECT t.* FROM capydb_auth.compare_memberships(p_events, p_rules, p_is_whole) AS t WHERE p_type = 'membership'
            UNION ALL
            SELECT t.* FROM capydb_auth.compare_invitations(p_events, p_rules, p_is_whole) AS t WHERE p_type = 'invitation'
        ) AS c
    ),
    note AS (
        INSERT INTO capydb_auth.reconcile_findings AS f (provider, record_type, record_id, run_id, finding, columns, state)
        SELECT DISTINCT ON (c.record_id)
            p_provider,
            p_type,
            c.record_id,
            p_run_id,
            c.finding,
            c.columns,
            CASE WHEN c.finding = 'equal' THEN 'none' WHEN c.is_open THEN 'open' ELSE 'found' END
        FROM compared AS c
        ORDER BY c.record_id, c.ordinal
        ON CONFLICT (provider, record_type, record_id) DO UPDATE SET
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

COMMENT ON FUNCTION capydb_auth.reconcile_page(p_run_id uuid, p_provider text, p_type text, p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) IS 'Compares a page of a provider''s records with the mirror and notes what it found; changes no record.';

CREATE FUNCTION capydb_auth.reconcile_settle(p_run_id uuid, p_provider text, p_type text, p_records jsonb) RETURNS void
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
    FROM jsonb_to_recordset(p_records) AS s (record_id text, state text, finding text, columns text[])
    -- A look-up that no plan can turn into reading the table. Nobody else writes there meanwhile.
    CROSS JOIN LATERAL (
        SELECT i.ctid
        FROM capydb_auth.reconcile_findings AS i
        WHERE i.provider = p_provider AND i.record_type = p_type AND i.record_id = s.record_id COLLATE "C"
        LIMIT 1
    ) AS l
    WHERE f.ctid = l.ctid
      AND f.state IN ('open', 'found');
END;
$$;

COMMENT ON FUNCTION capydb_auth.reconcile_settle(p_run_id uuid, p_provider text, p_type text, p_records jsonb) IS 'Notes what was found out about single records in a reconcile, or what happened to them.';

CREATE FUNCTION capydb_auth.record_states(p_first bigint[], p_last bigint[], p_as_of bigint[]) RETURNS TABLE(id bigint, record_type text, record_id text, record_row jsonb, before_row jsonb, provider text, event_id text, event_at timestamp with time zone, changed_at timestamp with time zone, kind text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    AS $$
BEGIN
    RETURN QUERY
    SELECT
        l.id, l.record_type, l.record_id,
        coalesce(s.after, CASE s.record_type
            WHEN 'organization' THEN jsonb_build_object(
                'id', s.record_id,
                'name', s.after_name,
                'slug', s.after_slug,
                'image_url', s.after_image_url,
                'created_at', (to_jsonb(s.after_created_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'updated_at', (to_jsonb(s.after_updated_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'deleted_at', (to_jsonb(s.after_deleted_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00'
            )
            WHEN 'user' THEN jsonb_build_object(
                'id', s.record_id,
                'email', s.after_email,
                'first_name', s.after_first_name,
                'last_name', s.after_last_name,
                'username', s.after_username,
                'image_url', s.after_image_url,
                'created_at', (to_jsonb(s.after_created_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'updated_at', (to_jsonb(s.after_updated_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'last_sign_in_at', (to_jsonb(s.after_last_sign_in_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'deleted_at', (to_jsonb(s.after_deleted_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00'
            )
            WHEN 'membership' THEN jsonb_build_object(
                'organization_id', s.after_organization_id,
                'user_id', s.after_user_id,
                'id', s.after_id,
                'role', s.after_role,
                'roles', s.after_roles,
                'permissions', s.after_permissions,
                'created_at', (to_jsonb(s.after_created_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'updated_at', (to_jsonb(s.after_updated_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'deleted_at', (to_jsonb(s.after_deleted_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00'
            )
            WHEN 'invitation' THEN jsonb_build_object(
                'id', s.record_id,
                'organization_id', s.after_organization_id,
                'email', s.after_email,
                'role', s.after_role,
                'status', s.after_status,
                'expires_at', (to_jsonb(s.after_expires_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'created_at', (to_jsonb(s.after_created_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'updated_at', (to_jsonb(s.after_updated_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'deleted_at', (to_jsonb(s.after_deleted_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00'
            )
            WHEN 'session' THEN jsonb_build_object(
                'id', s.record_id,
                'user_id', s.after_user_id,
                'status', s.after_status,
                'created_at', (to_jsonb(s.after_created_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'last_active_at', (to_jsonb(s.after_last_active_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'expires_at', (to_jsonb(s.after_expires_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                'ended_at', (to_jsonb(s.after_deleted_at AT TIME ZONE 'UTC') #>> '{}') || '+00:00'
            )
        END) || jsonb_build_object('raw', CASE WHEN n.id IS NOT NULL THEN n.before_raw ELSE CASE
            WHEN s.kind = 'erased' THEN NULL
            WHEN s.record_type = 'organization' THEN (
                SELECT r.raw FROM capydb_auth.organizations AS r
                WHERE (r.id) >= (s.record_id)
                  AND (r.id) <= (s.record_id)
                ORDER BY r.id LIMIT 1
            )
            WHEN s.record_type = 'user' THEN (
                SELECT r.raw FROM capydb_auth.users AS r
                WHERE (r.id) >= (s.record_id)
                  AND (r.id) <= (s.record_id)
                ORDER BY r.id LIMIT 1
            )
            WHEN s.record_type = 'membership' THEN (
                SELECT r.raw FROM capydb_auth.memberships AS r
                WHERE (r.organization_id, r.user_id) >= (coalesce(s.after_organization_id, s.after ->> 'organization_id'),
                    coalesce(s.after_user_id, s.after ->> 'user_id'))
                  AND (r.organization_id, r.user_id) <= (coalesce(s.after_organization_id, s.after ->> 'organization_id'),
                    coalesce(s.after_user_id, s.after ->> 'user_id'))
                ORDER BY r.organization_id, r.user_id LIMIT 1
            )
            WHEN s.record_type = 'invitation' THEN (
                SELECT r.raw FROM capydb_auth.invitations AS r
                WHERE (r.id) >= (s.record_id)
                  AND (r.id) <= (s.record_id)
                ORDER BY r.id LIMIT 1
            )
            WHEN s.record_type = 'session' THEN (
                SELECT r.raw FROM capydb_auth.sessions AS r
                WHERE (r.id) >= (s.record_id)
                  AND (r.id) <= (s.record_id)
                ORDER BY r.id LIMIT 1
            )
        END END),
        f.before_row,
        l.provider, l.event_id, l.event_at, l.changed_at, l.kind
    FROM unnest(p_first, p_last, p_as_of) AS p (first_id, last_id, as_of)
    CROSS JOIN LATERAL (
        SELECT i.id, i.record_type, i.record_id, i.provider, i.event_id, i.event_at, i.changed_at, i.kind
        FROM capydb_auth.changes AS i
        WHERE i.id >= p.last_id AND i.id <= p.last_id
        ORDER BY i.id -- as in changes_by_id
        LIMIT 1
    ) AS l
    -- Of an erasure the changes before it are gone.
    CROSS JOIN LATERAL capydb_auth.changes_by_id(ARRAY[CASE WHEN l.kind = 'erased' THEN l.id ELSE p.first_id END]) AS f
    -- By all columns of the index, so that no plan can walk through the feed by id.
    CROSS JOIN LATERAL (
        SELECT i.*
        FROM capydb_auth.changes AS i
        WHERE (i.record_id, i.record_type, i.id) >= (l.record_id, l.record_type, l.id)
          AND (i.record_id, i.record_type, i.id) <= (l.record_id, l.record_type, greatest(p.as_of, l.id))
        ORDER BY i.record_id DESC, i.record_type DESC, i.id DESC
        LIMIT 1
    ) AS s
    -- The change that replaced raw, as in changes_by_id.
    LEFT JOIN LATERAL (
        SELECT i.id, i.before_raw
        FROM capydb_auth.changes AS i
        WHERE (i.record_id, i.record_type, i.id) > (s.record_id, s.record_type, s.id)
          AND (i.record_id, i.record_type, i.id) <= (s.record_id, s.record_type, 9223372036854775807)
          AND i.kind <> 'erased'
        ORDER BY i.record_id, i.record_type, i.id
        LIMIT 1
    ) AS n ON true;
END;
$$;

COMMENT ON FUNCTION capydb_auth.record_states(p_first bigint[], p_last bigint[], p_as_of bigint[]) IS 'Records as changes up to one left them, and as they were before the first of some changes.';

CREATE FUNCTION capydb_auth.remove_invitations(p_ids text[]) RETURNS TABLE(invitations bigint, changes bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    PERFORM capydb_auth.lock_mirror();

    DELETE FROM capydb_auth.changes AS c
    WHERE c.id IN (
        SELECT f.id
        FROM unnest(p_ids) AS i (id)
        CROSS JOIN LATERAL (
            SELECT g.id
            FROM capydb_auth.changes AS g
            WHERE (g.record_id, g.record_type, g.id) >= (i.id, 'invitation', 0)
              AND (g.record_id, g.record_type, g.id) <= (i.id, 'invitation', 9223372036854775807)
            OFFSET 0
        ) AS f
    );
    GET DIAGNOSTICS changes = ROW_COUNT;
    DELETE FROM capydb_auth.reconcile_findings AS f WHERE f.record_type = 'invitation' AND f.record_id = ANY (p_ids);
    DELETE FROM capydb_auth.invitations AS i WHERE i.id = ANY (p_ids);
    GET DIAGNOSTICS invitations = ROW_COUNT;
    RETURN NEXT;
END;
$$;

COMMENT ON FUNCTION capydb_auth.remove_invitations(p_ids text[]) IS 'Removes some invitations with their changes.';

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
    WHERE f.provider = p_provider AND f.record_type = '' AND f.record_id = '' AND f.run_id = p_run_id
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

COMMENT ON FUNCTION capydb_auth.resume_mirror(p_applied_to bigint, p_change_id bigint) IS 'Lets a mirror that was restored or recreated be written to again.';

CREATE FUNCTION capydb_auth.skip_change_ids(p_to bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_sequence regclass := pg_get_serial_sequence('capydb_auth.changes', 'id')::regclass;
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

COMMENT ON FUNCTION capydb_auth.unclocked_is_newer(p_received_at timestamp with time zone, p_clocked capydb_auth.version) IS 'Whether what was set without a clock is newer than what was set with one.';

CREATE FUNCTION capydb_auth.version_of(p_last_event_processed timestamp with time zone, p_last_event_sent_at timestamp with time zone, p_last_event_id text, p_last_event_fields integer, p_field_versions jsonb, p_column text, p_bit integer) RETURNS capydb_auth.version
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT CASE
        WHEN p_last_event_fields & p_bit <> 0
            THEN ROW(p_last_event_processed, p_last_event_sent_at, p_last_event_id, NULL)::capydb_auth.version
        ELSE jsonb_populate_record(NULL::capydb_auth.version, p_field_versions -> 'versions' -> p_column)
    END;
$$;

COMMENT ON FUNCTION capydb_auth.version_of(p_last_event_processed timestamp with time zone, p_last_event_sent_at timestamp with time zone, p_last_event_id text, p_last_event_fields integer, p_field_versions jsonb, p_column text, p_bit integer) IS 'When, and by which event with a clock, a column of a record was set.';

CREATE TABLE capydb_auth.memberships (
    organization_id text NOT NULL,
    user_id text NOT NULL,
    id text,
    role text,
    roles text[],
    permissions text[],
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    raw jsonb,
    provider text,
    last_event_processed timestamp with time zone,
    own_deleted_at timestamp with time zone,
    last_event_id text COLLATE pg_catalog."C",
    last_event_sent_at timestamp with time zone,
    last_event_fields integer DEFAULT 0 NOT NULL,
    field_versions jsonb
)
WITH (fillfactor='70');

COMMENT ON TABLE capydb_auth.memberships IS 'Which users belong to which organizations, and with which roles. A row may come before its user or organization. Maintained by authsync: read it, do not write to it.';

COMMENT ON COLUMN capydb_auth.memberships.organization_id IS 'organizations.id.';

COMMENT ON COLUMN capydb_auth.memberships.user_id IS 'users.id.';

COMMENT ON COLUMN capydb_auth.memberships.id IS 'The provider''s id of the membership, where it has one.';

COMMENT ON COLUMN capydb_auth.memberships.role IS 'The role as the provider spells it, where a member has one; NULL where roles are assigned one by one (Auth0).';

COMMENT ON COLUMN capydb_auth.memberships.roles IS 'All roles; NULL: the provider has not said.';

COMMENT ON COLUMN capydb_auth.memberships.permissions IS 'All permissions, where the provider reports them.';

COMMENT ON COLUMN capydb_auth.memberships.created_at IS 'When the user became a member, where the provider reports it.';

COMMENT ON COLUMN capydb_auth.memberships.updated_at IS 'When the membership was last changed at the provider, where the provider reports it.';

COMMENT ON COLUMN capydb_auth.memberships.deleted_at IS 'When the membership, its organization or its user was deleted, whichever was first; NULL while all three exist.';

COMMENT ON COLUMN capydb_auth.memberships.raw IS 'The provider''s membership object.';

COMMENT ON COLUMN capydb_auth.memberships.provider IS 'The provider of the newest event about the membership.';

COMMENT ON COLUMN capydb_auth.memberships.last_event_processed IS 'Provider clock of the newest event about the membership.';

COMMENT ON COLUMN capydb_auth.memberships.own_deleted_at IS 'When the membership itself was deleted: what deleted_at falls back to when its organization or user is restored.';

COMMENT ON COLUMN capydb_auth.memberships.last_event_id IS 'The event that set the columns in last_event_fields.';

COMMENT ON COLUMN capydb_auth.memberships.last_event_sent_at IS 'When that event was sent: the second part of its version.';

COMMENT ON COLUMN capydb_auth.memberships.last_event_fields IS 'The columns whose version is (last_event_processed, last_event_sent_at, last_event_id), as a sum; see users.last_event_fields.';

COMMENT ON COLUMN capydb_auth.memberships.field_versions IS 'What last_event_fields cannot say; see membership_sources and merge_record.';

CREATE VIEW capydb_auth.active_memberships WITH (security_invoker='true') AS
 SELECT r.organization_id,
    r.user_id,
    r.id,
    r.role,
    r.roles,
    r.permissions,
    r.created_at,
    r.updated_at,
    r.raw,
    r.provider
   FROM capydb_auth.memberships r
  WHERE ((r.deleted_at IS NULL) AND (r.last_event_processed IS NOT NULL));

COMMENT ON VIEW capydb_auth.active_memberships IS 'The memberships that exist at the provider.';

CREATE TABLE capydb_auth.organizations (
    id text NOT NULL,
    name text,
    slug text,
    image_url text,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    raw jsonb,
    provider text,
    last_event_processed timestamp with time zone,
    placeholder_since timestamp with time zone,
    last_event_id text COLLATE pg_catalog."C",
    last_event_sent_at timestamp with time zone,
    last_event_fields integer DEFAULT 0 NOT NULL,
    field_versions jsonb
)
WITH (fillfactor='70');

COMMENT ON TABLE capydb_auth.organizations IS 'The organizations of the identity provider. Maintained by authsync: read it, join it, reference it, do not write to it.';

COMMENT ON COLUMN capydb_auth.organizations.id IS 'The provider''s id of the organization.';

COMMENT ON COLUMN capydb_auth.organizations.name IS 'Name as shown to people.';

COMMENT ON COLUMN capydb_auth.organizations.slug IS 'Name as used in URLs; not unique.';

COMMENT ON COLUMN capydb_auth.organizations.image_url IS 'URL of the logo.';

COMMENT ON COLUMN capydb_auth.organizations.created_at IS 'When the organization was created at the provider, where the provider reports it.';

COMMENT ON COLUMN capydb_auth.organizations.updated_at IS 'When the organization was last changed at the provider, where the provider reports it.';

COMMENT ON COLUMN capydb_auth.organizations.deleted_at IS 'When the organization was deleted at the provider; NULL while it exists.';

COMMENT ON COLUMN capydb_auth.organizations.raw IS 'The provider''s organization object.';

COMMENT ON COLUMN capydb_auth.organizations.provider IS 'The provider of the newest event about the organization; NULL for a placeholder.';

COMMENT ON COLUMN capydb_auth.organizations.last_event_processed IS 'Provider clock of the newest event about the organization; NULL for a placeholder.';

COMMENT ON COLUMN capydb_auth.organizations.placeholder_since IS 'When ensure_organization created the row, so that a foreign key need not wait for a webhook; NULL once an event about the organization was applied.';

COMMENT ON COLUMN capydb_auth.organizations.last_event_id IS 'The event that set the columns in last_event_fields.';

COMMENT ON COLUMN capydb_auth.organizations.last_event_sent_at IS 'When that event was sent: the second part of its version.';

COMMENT ON COLUMN capydb_auth.organizations.last_event_fields IS 'The columns whose version is (last_event_processed, last_event_sent_at, last_event_id), as a sum; see users.last_event_fields.';

COMMENT ON COLUMN capydb_auth.organizations.field_versions IS 'What last_event_fields cannot say; see organization_sources and merge_record.';

CREATE VIEW capydb_auth.active_organizations WITH (security_invoker='true') AS
 SELECT r.id,
    r.name,
    r.slug,
    r.image_url,
    r.created_at,
    r.updated_at,
    r.raw,
    r.provider
   FROM capydb_auth.organizations r
  WHERE ((r.deleted_at IS NULL) AND (r.last_event_processed IS NOT NULL));

COMMENT ON VIEW capydb_auth.active_organizations IS 'The organizations that exist at the provider.';

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
    placeholder_since timestamp with time zone,
    last_event_id text COLLATE pg_catalog."C",
    last_event_sent_at timestamp with time zone,
    last_event_fields integer DEFAULT 0 NOT NULL,
    field_versions jsonb
)
WITH (fillfactor='50');

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

COMMENT ON COLUMN capydb_auth.users.last_event_id IS 'The event that set the columns in last_event_fields.';

COMMENT ON COLUMN capydb_auth.users.last_event_sent_at IS 'When that event was sent: the second part of its version.';

COMMENT ON COLUMN capydb_auth.users.last_event_fields IS 'The columns whose version is (last_event_processed, last_event_sent_at, last_event_id), as a sum: email 1, first_name 2, last_name 4, username 8, image_url 16, created_at 32, updated_at 64, last_sign_in_at 128, deleted_at 256, raw 512. The other tables go on with: name 1024, slug 2048, id 4096, role 8192, roles 16384, permissions 32768, organization_id 65536, user_id 131072, status 262144, expires_at 524288, last_active_at 1048576.';

COMMENT ON COLUMN capydb_auth.users.field_versions IS 'What last_event_fields cannot say: versions of columns that another event set, and what events without a clock set. NULL for most users; see user_sources and merge_record.';

CREATE VIEW capydb_auth.active_users WITH (security_invoker='true') AS
 SELECT r.id,
    r.email,
    r.first_name,
    r.last_name,
    r.username,
    r.image_url,
    r.created_at,
    r.updated_at,
    r.last_sign_in_at,
    r.raw,
    r.provider
   FROM capydb_auth.users r
  WHERE ((r.deleted_at IS NULL) AND (r.last_event_processed IS NOT NULL));

COMMENT ON VIEW capydb_auth.active_users IS 'The users that exist at the provider.';

CREATE TABLE capydb_auth.changes (
    id bigint NOT NULL,
    record_type text NOT NULL,
    record_id text NOT NULL,
    kind text NOT NULL,
    changed text[],
    before jsonb,
    after jsonb,
    before_raw jsonb,
    provider text NOT NULL,
    event_id text NOT NULL,
    event_at timestamp with time zone NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_fields integer,
    after_email text,
    after_first_name text,
    after_last_name text,
    after_username text,
    after_image_url text,
    after_created_at timestamp with time zone,
    after_updated_at timestamp with time zone,
    after_last_sign_in_at timestamp with time zone,
    after_deleted_at timestamp with time zone,
    after_name text,
    after_slug text,
    after_id text,
    after_role text,
    after_roles text[],
    after_permissions text[],
    after_organization_id text,
    after_user_id text,
    after_status text,
    after_expires_at timestamp with time zone,
    after_last_active_at timestamp with time zone,
    CONSTRAINT changes_kind_check CHECK ((kind = ANY (ARRAY['created'::text, 'updated'::text, 'deleted'::text, 'restored'::text, 'erased'::text])))
)
WITH (toast_tuple_target='8160');

COMMENT ON TABLE capydb_auth.changes IS 'The change feed: one row for each event that changed a value, in commit order. user_changes shows it with before and after whole.';

COMMENT ON COLUMN capydb_auth.changes.id IS 'Grows in commit order: reading on from the last id seen misses nothing.';

COMMENT ON COLUMN capydb_auth.changes.record_type IS 'What changed: user, organization, membership, invitation or session.';

COMMENT ON COLUMN capydb_auth.changes.record_id IS 'The provider''s id of the record; of a membership, see event.record_id.';

COMMENT ON COLUMN capydb_auth.changes.changed IS 'The columns that changed, where changed_fields is NULL.';

COMMENT ON COLUMN capydb_auth.changes.before IS 'The changed columns before the change, except raw; NULL where the record was new.';

COMMENT ON COLUMN capydb_auth.changes.after IS 'All mirrored columns after the change, except raw, where changed_fields is NULL. Otherwise they are in the columns after_*, and record_changes shows them as JSON.';

COMMENT ON COLUMN capydb_auth.changes.before_raw IS 'The column raw before the change. raw after it is the before_raw of the record''s next change, or in the record''s own row; record_changes shows both.';

COMMENT ON COLUMN capydb_auth.changes.event_at IS 'The provider''s clock of the event.';

COMMENT ON COLUMN capydb_auth.changes.changed_fields IS 'The columns that changed, as a sum; see users.last_event_fields. record_changes shows their names.';

COMMENT ON COLUMN capydb_auth.changes.after_deleted_at IS 'Of a session, ended_at.';

COMMENT ON COLUMN capydb_auth.changes.after_id IS 'Of a membership, the provider''s id of it; the id of any other record is record_id.';

ALTER TABLE capydb_auth.changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME capydb_auth.changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE capydb_auth.clone_progress (
    singleton boolean DEFAULT true NOT NULL,
    source_id uuid NOT NULL,
    source_epoch uuid NOT NULL,
    change_id bigint NOT NULL,
    rows_from bigint NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT clone_progress_singleton_check CHECK (singleton)
);

COMMENT ON TABLE capydb_auth.clone_progress IS 'Which mirror this one is a clone of: one row, or none in a mirror that is no clone.';

COMMENT ON COLUMN capydb_auth.clone_progress.singleton IS 'Limits the table to one row.';

COMMENT ON COLUMN capydb_auth.clone_progress.source_id IS 'The project that is the source.';

COMMENT ON COLUMN capydb_auth.clone_progress.source_epoch IS 'mirror_progress.epoch of the source: of another one the ids of changes mean nothing.';

COMMENT ON COLUMN capydb_auth.clone_progress.change_id IS 'The id of the last change of the source that was copied.';

COMMENT ON COLUMN capydb_auth.clone_progress.rows_from IS 'The last change of the source before its rows were copied: rows that changed later are read again.';

COMMENT ON COLUMN capydb_auth.clone_progress.since IS 'When the mirror became a clone.';

CREATE TABLE capydb_auth.erasures (
    digest text NOT NULL COLLATE pg_catalog."C",
    erased_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE capydb_auth.erasures IS 'Records that were erased, by digest: events about them are kept out of the mirror. It holds no personal data.';

COMMENT ON COLUMN capydb_auth.erasures.digest IS 'SHA-256 of a key that is in neither database in clear, the record type and the record''s id; see erasure_digest.';

CREATE TABLE capydb_auth.invitations (
    id text NOT NULL,
    organization_id text,
    email text,
    role text,
    status text,
    expires_at timestamp with time zone,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    raw jsonb,
    provider text,
    last_event_processed timestamp with time zone,
    last_event_id text COLLATE pg_catalog."C",
    last_event_sent_at timestamp with time zone,
    last_event_fields integer DEFAULT 0 NOT NULL,
    field_versions jsonb
)
WITH (fillfactor='70');

COMMENT ON TABLE capydb_auth.invitations IS 'Invitations to organizations. Maintained by authsync: read it, do not write to it.';

COMMENT ON COLUMN capydb_auth.invitations.id IS 'The provider''s id of the invitation.';

COMMENT ON COLUMN capydb_auth.invitations.organization_id IS 'organizations.id.';

COMMENT ON COLUMN capydb_auth.invitations.email IS 'The address that was invited, spelled as at the provider.';

COMMENT ON COLUMN capydb_auth.invitations.role IS 'The role that was offered.';

COMMENT ON COLUMN capydb_auth.invitations.status IS 'As the provider spells it: pending, accepted, revoked ….';

COMMENT ON COLUMN capydb_auth.invitations.expires_at IS 'Until when the invitation can be accepted.';

COMMENT ON COLUMN capydb_auth.invitations.created_at IS 'When the invitation was made.';

COMMENT ON COLUMN capydb_auth.invitations.updated_at IS 'When the invitation was last changed at the provider, where the provider reports it.';

COMMENT ON COLUMN capydb_auth.invitations.deleted_at IS 'When the invitation was deleted at the provider; one that was revoked has a status instead.';

COMMENT ON COLUMN capydb_auth.invitations.raw IS 'The provider''s invitation object, without what one can join with.';

COMMENT ON COLUMN capydb_auth.invitations.provider IS 'The provider of the newest event about the invitation.';

COMMENT ON COLUMN capydb_auth.invitations.last_event_processed IS 'Provider clock of the newest event about the invitation.';

COMMENT ON COLUMN capydb_auth.invitations.last_event_id IS 'The event that set the columns in last_event_fields.';

COMMENT ON COLUMN capydb_auth.invitations.last_event_sent_at IS 'When that event was sent: the second part of its version.';

COMMENT ON COLUMN capydb_auth.invitations.last_event_fields IS 'The columns whose version is (last_event_processed, last_event_sent_at, last_event_id), as a sum; see users.last_event_fields.';

COMMENT ON COLUMN capydb_auth.invitations.field_versions IS 'What last_event_fields cannot say; see invitation_sources and merge_record.';

CREATE VIEW capydb_auth.invitation_sources WITH (security_invoker='true') AS
 SELECT u.id AS invitation_id,
    c.column_name,
    c.value,
        CASE
            WHEN n.is_newer THEN k.event_id
            ELSE s.event_id
        END AS event_id,
        CASE
            WHEN n.is_newer THEN k.received_at
            ELSE s.at
        END AS set_at,
        CASE
            WHEN n.is_newer THEN k.received_at
            ELSE s.sent_at
        END AS sent_at
   FROM ((((capydb_auth.invitations u
     CROSS JOIN LATERAL ( VALUES (65536,'organization_id'::text,'organization_id'::text,u.organization_id), (1,'email'::text,'email'::text,u.email), (8192,'role'::text,'role'::text,u.role), (262144,'status'::text,'status'::text,u.status), (524288,'expires_at'::text,'expires_at'::text,(u.expires_at)::text), (32,'created_at'::text,'created_at'::text,(u.created_at)::text), (64,'updated_at'::text,'updated_at'::text,(u.updated_at)::text), (256,'deleted_at'::text,'deleted_at'::text,(u.deleted_at)::text), (512,'raw'::text,'raw'::text,(u.raw)::text)) c("bit", column_name, field, value))
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN b.is_last THEN u.last_event_processed
                    ELSE ((b.doc ->> 'at'::text))::timestamp with time zone
                END AS at,
                CASE
                    WHEN b.is_last THEN u.last_event_sent_at
                    ELSE ((b.doc ->> 'sent_at'::text))::timestamp with time zone
                END AS sent_at,
                CASE
                    WHEN b.is_last THEN u.last_event_id
                    ELSE (b.doc ->> 'event_id'::text)
                END AS event_id,
                CASE
                    WHEN (NOT b.is_last) THEN ((b.doc ->> 'received_at'::text))::timestamp with time zone
                    ELSE NULL::timestamp with time zone
                END AS received_at
           FROM ( SELECT ((u.last_event_fields & c."bit") <> 0) AS is_last,
                    ((u.field_versions -> 'versions'::text) -> c.field) AS doc) b) s)
     CROSS JOIN LATERAL ( SELECT (((u.field_versions -> 'unclocked'::text) -> c.field) ->> 'event_id'::text) AS event_id,
            ((((u.field_versions -> 'unclocked'::text) -> c.field) ->> 'received_at'::text))::timestamp with time zone AS received_at) k)
     CROSS JOIN LATERAL ( SELECT ((k.received_at IS NOT NULL) AND ((s.at IS NULL) OR (k.received_at > s.at) OR COALESCE((k.received_at >= s.received_at), false))) AS is_newer) n);

COMMENT ON VIEW capydb_auth.invitation_sources IS 'For each invitation and column: the value, the event that set it, and when by the provider''s clock.';

CREATE VIEW capydb_auth.organization_sources WITH (security_invoker='true') AS
 SELECT u.id AS organization_id,
    c.column_name,
    c.value,
        CASE
            WHEN n.is_newer THEN k.event_id
            ELSE s.event_id
        END AS event_id,
        CASE
            WHEN n.is_newer THEN k.received_at
            ELSE s.at
        END AS set_at,
        CASE
            WHEN n.is_newer THEN k.received_at
            ELSE s.sent_at
        END AS sent_at
   FROM ((((capydb_auth.organizations u
     CROSS JOIN LATERAL ( VALUES (1024,'name'::text,'name'::text,u.name), (2048,'slug'::text,'slug'::text,u.slug), (16,'image_url'::text,'image_url'::text,u.image_url), (32,'created_at'::text,'created_at'::text,(u.created_at)::text), (64,'updated_at'::text,'updated_at'::text,(u.updated_at)::text), (256,'deleted_at'::text,'deleted_at'::text,(u.deleted_at)::text), (512,'raw'::text,'raw'::text,(u.raw)::text)) c("bit", column_name, field, value))
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN b.is_last THEN u.last_event_processed
                    ELSE ((b.doc ->> 'at'::text))::timestamp with time zone
                END AS at,
                CASE
                    WHEN b.is_last THEN u.last_event_sent_at
                    ELSE ((b.doc ->> 'sent_at'::text))::timestamp with time zone
                END AS sent_at,
                CASE
                    WHEN b.is_last THEN u.last_event_id
                    ELSE (b.doc ->> 'event_id'::text)
                END AS event_id,
                CASE
                    WHEN (NOT b.is_last) THEN ((b.doc ->> 'received_at'::text))::timestamp with time zone
                    ELSE NULL::timestamp with time zone
                END AS received_at
           FROM ( SELECT ((u.last_event_fields & c."bit") <> 0) AS is_last,
                    ((u.field_versions -> 'versions'::text) -> c.field) AS doc) b) s)
     CROSS JOIN LATERAL ( SELECT (((u.field_versions -> 'unclocked'::text) -> c.field) ->> 'event_id'::text) AS event_id,
            ((((u.field_versions -> 'unclocked'::text) -> c.field) ->> 'received_at'::text))::timestamp with time zone AS received_at) k)
     CROSS JOIN LATERAL ( SELECT ((k.received_at IS NOT NULL) AND ((s.at IS NULL) OR (k.received_at > s.at) OR COALESCE((k.received_at >= s.received_at), false))) AS is_newer) n);

COMMENT ON VIEW capydb_auth.organization_sources IS 'For each organization and column: the value, the event that set it, and when by the provider''s clock.';

CREATE VIEW capydb_auth.user_sources WITH (security_invoker='true') AS
 SELECT u.id AS user_id,
    c.column_name,
    c.value,
        CASE
            WHEN n.is_newer THEN k.event_id
            ELSE s.event_id
        END AS event_id,
        CASE
            WHEN n.is_newer THEN k.received_at
            ELSE s.at
        END AS set_at,
        CASE
            WHEN n.is_newer THEN k.received_at
            ELSE s.sent_at
        END AS sent_at
   FROM ((((capydb_auth.users u
     CROSS JOIN LATERAL ( VALUES (1,'email'::text,'email'::text,u.email), (2,'first_name'::text,'first_name'::text,u.first_name), (4,'last_name'::text,'last_name'::text,u.last_name), (8,'username'::text,'username'::text,u.username), (16,'image_url'::text,'image_url'::text,u.image_url), (32,'created_at'::text,'created_at'::text,(u.created_at)::text), (64,'updated_at'::text,'updated_at'::text,(u.updated_at)::text), (128,'last_sign_in_at'::text,'last_sign_in_at'::text,(u.last_sign_in_at)::text), (256,'deleted_at'::text,'deleted_at'::text,(u.deleted_at)::text), (512,'raw'::text,'raw'::text,(u.raw)::text)) c("bit", column_name, field, value))
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN b.is_last THEN u.last_event_processed
                    ELSE ((b.doc ->> 'at'::text))::timestamp with time zone
                END AS at,
                CASE
                    WHEN b.is_last THEN u.last_event_sent_at
                    ELSE ((b.doc ->> 'sent_at'::text))::timestamp with time zone
                END AS sent_at,
                CASE
                    WHEN b.is_last THEN u.last_event_id
                    ELSE (b.doc ->> 'event_id'::text)
                END AS event_id,
                CASE
                    WHEN (NOT b.is_last) THEN ((b.doc ->> 'received_at'::text))::timestamp with time zone
                    ELSE NULL::timestamp with time zone
                END AS received_at
           FROM ( SELECT ((u.last_event_fields & c."bit") <> 0) AS is_last,
                    ((u.field_versions -> 'versions'::text) -> c.field) AS doc) b) s)
     CROSS JOIN LATERAL ( SELECT (((u.field_versions -> 'unclocked'::text) -> c.field) ->> 'event_id'::text) AS event_id,
            ((((u.field_versions -> 'unclocked'::text) -> c.field) ->> 'received_at'::text))::timestamp with time zone AS received_at) k)
     CROSS JOIN LATERAL ( SELECT ((k.received_at IS NOT NULL) AND ((s.at IS NULL) OR (k.received_at > s.at) OR COALESCE((k.received_at >= s.received_at), false))) AS is_newer) n);

COMMENT ON VIEW capydb_auth.user_sources IS 'For each user and column: the value, the event that set it, and when by the provider''s clock.';

CREATE VIEW capydb_auth.membership_sources WITH (security_invoker='true') AS
 SELECT u.organization_id,
    u.user_id,
    c.column_name,
    c.value,
        CASE
            WHEN (p.event_id IS NOT NULL) THEN p.event_id
            WHEN n.is_newer THEN k.event_id
            ELSE s.event_id
        END AS event_id,
        CASE
            WHEN (p.event_id IS NOT NULL) THEN p.set_at
            WHEN n.is_newer THEN k.received_at
            ELSE s.at
        END AS set_at,
        CASE
            WHEN (p.event_id IS NOT NULL) THEN p.sent_at
            WHEN n.is_newer THEN k.received_at
            ELSE s.sent_at
        END AS sent_at
   FROM (((((capydb_auth.memberships u
     CROSS JOIN LATERAL ( VALUES (4096,'id'::text,'id'::text,u.id), (8192,'role'::text,'role'::text,u.role), (16384,'roles'::text,'roles'::text,(u.roles)::text), (32768,'permissions'::text,'permissions'::text,(u.permissions)::text), (32,'created_at'::text,'created_at'::text,(u.created_at)::text), (64,'updated_at'::text,'updated_at'::text,(u.updated_at)::text), (256,'deleted_at'::text,'deleted_at'::text,(u.deleted_at)::text), (512,'raw'::text,'raw'::text,(u.raw)::text)) c("bit", column_name, field, value))
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN b.is_last THEN u.last_event_processed
                    ELSE ((b.doc ->> 'at'::text))::timestamp with time zone
                END AS at,
                CASE
                    WHEN b.is_last THEN u.last_event_sent_at
                    ELSE ((b.doc ->> 'sent_at'::text))::timestamp with time zone
                END AS sent_at,
                CASE
                    WHEN b.is_last THEN u.last_event_id
                    ELSE (b.doc ->> 'event_id'::text)
                END AS event_id,
                CASE
                    WHEN (NOT b.is_last) THEN ((b.doc ->> 'received_at'::text))::timestamp with time zone
                    ELSE NULL::timestamp with time zone
                END AS received_at
           FROM ( SELECT ((u.last_event_fields & c."bit") <> 0) AS is_last,
                    ((u.field_versions -> 'versions'::text) -> c.field) AS doc) b) s)
     CROSS JOIN LATERAL ( SELECT (((u.field_versions -> 'unclocked'::text) -> c.field) ->> 'event_id'::text) AS event_id,
            ((((u.field_versions -> 'unclocked'::text) -> c.field) ->> 'received_at'::text))::timestamp with time zone AS received_at) k)
     CROSS JOIN LATERAL ( SELECT ((k.received_at IS NOT NULL) AND ((s.at IS NULL) OR (k.received_at > s.at) OR COALESCE((k.received_at >= s.received_at), false))) AS is_newer) n)
     LEFT JOIN LATERAL ( SELECT o.event_id,
            o.set_at,
            o.sent_at
           FROM capydb_auth.organization_sources o
          WHERE ((o.organization_id = u.organization_id) AND (o.column_name = 'deleted_at'::text) AND (o.value = (u.deleted_at)::text))
        UNION ALL
         SELECT i.event_id,
            i.set_at,
            i.sent_at
           FROM capydb_auth.user_sources i
          WHERE ((i.user_id = u.user_id) AND (i.column_name = 'deleted_at'::text) AND (i.value = (u.deleted_at)::text))
 LIMIT 1) p ON (((c.field = 'deleted_at'::text) AND (u.deleted_at IS DISTINCT FROM u.own_deleted_at))));

COMMENT ON VIEW capydb_auth.membership_sources IS 'For each membership and column: the value, the event that set it, and when by the provider''s clock.';

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
 SELECT 'user'::text AS record_type,
    u.id AS record_id,
    u.placeholder_since AS since,
    (clock_timestamp() - u.placeholder_since) AS age
   FROM capydb_auth.users u
  WHERE (u.placeholder_since IS NOT NULL)
UNION ALL
 SELECT 'organization'::text AS record_type,
    o.id AS record_id,
    o.placeholder_since AS since,
    (clock_timestamp() - o.placeholder_since) AS age
   FROM capydb_auth.organizations o
  WHERE (o.placeholder_since IS NOT NULL);

COMMENT ON VIEW capydb_auth.placeholders IS 'Records that were referenced through ensure_user or ensure_organization and of which no event has arrived yet.';

CREATE TABLE capydb_auth.processed_events (
    provider text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    record_type text NOT NULL COLLATE pg_catalog."C",
    record_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL,
    inbox_id bigint NOT NULL,
    inbox_ordinal integer NOT NULL,
    outcome text NOT NULL,
    reason text,
    processed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT processed_events_outcome_check CHECK ((outcome = ANY (ARRAY['applied'::text, 'stale'::text])))
);

COMMENT ON TABLE capydb_auth.processed_events IS 'The ledger: an event is here exactly if its effect is in the mirror, which makes a repetition harmless; for as long as one can come, see docs/retention.md.';

COMMENT ON COLUMN capydb_auth.processed_events.received_at IS 'When the message processed first was received.';

COMMENT ON COLUMN capydb_auth.processed_events.inbox_id IS 'The message processed first (authsync.inbox.id in the control database).';

COMMENT ON COLUMN capydb_auth.processed_events.inbox_ordinal IS 'Place of the event in that message, from 0.';

COMMENT ON COLUMN capydb_auth.processed_events.outcome IS 'applied: it set at least one value; stale: newer events had already set all its values.';

CREATE TABLE capydb_auth.prune_progress (
    singleton boolean DEFAULT true NOT NULL,
    changes_to bigint DEFAULT 0 NOT NULL,
    CONSTRAINT prune_progress_singleton_check CHECK (singleton)
);

COMMENT ON TABLE capydb_auth.prune_progress IS 'How far the change feed is pruned.';

COMMENT ON COLUMN capydb_auth.prune_progress.singleton IS 'Limits the table to one row.';

COMMENT ON COLUMN capydb_auth.prune_progress.changes_to IS 'Of the changes up to this id, each record has its newest one only.';

CREATE UNLOGGED TABLE capydb_auth.reconcile_findings (
    provider text NOT NULL COLLATE pg_catalog."C",
    record_type text NOT NULL COLLATE pg_catalog."C",
    record_id text NOT NULL COLLATE pg_catalog."C",
    run_id uuid NOT NULL,
    finding text NOT NULL,
    columns text[] DEFAULT '{}'::text[] NOT NULL,
    state text NOT NULL,
    CONSTRAINT reconcile_findings_finding_check CHECK ((finding = ANY (ARRAY['begun'::text, 'equal'::text, 'missing'::text, 'differing'::text, 'deleted'::text, 'orphaned'::text, 'placeholder'::text, 'unreported'::text]))),
    CONSTRAINT reconcile_findings_state_check CHECK ((state = ANY (ARRAY['none'::text, 'open'::text, 'found'::text, 'repaired'::text, 'failed'::text, 'recent'::text])))
);

COMMENT ON TABLE capydb_auth.reconcile_findings IS 'What the running reconcile has found about each record; internal to authsync, emptied when the run ends.';

COMMENT ON COLUMN capydb_auth.reconcile_findings.record_type IS 'user, organization, membership or invitation; empty in the row that says which run the rows belong to.';

COMMENT ON COLUMN capydb_auth.reconcile_findings.record_id IS 'The record; empty in the row that says which run the rows belong to.';

COMMENT ON COLUMN capydb_auth.reconcile_findings.finding IS 'equal; missing here; differing; deleted here but not at the provider; orphaned here; a placeholder; unreported, see compare_users and its likes.';

COMMENT ON COLUMN capydb_auth.reconcile_findings.columns IS 'The columns that differ.';

COMMENT ON COLUMN capydb_auth.reconcile_findings.state IS 'none: nothing to do; open: this record is still to be read from the provider; found: certain to differ; repaired; failed; recent: left to the next run, because the mirror has heard of something that the provider''s answer may not know.';

CREATE TABLE capydb_auth.sessions (
    id text NOT NULL,
    user_id text,
    status text,
    created_at timestamp with time zone,
    last_active_at timestamp with time zone,
    expires_at timestamp with time zone,
    ended_at timestamp with time zone,
    raw jsonb,
    provider text,
    last_event_processed timestamp with time zone,
    last_event_id text COLLATE pg_catalog."C",
    last_event_sent_at timestamp with time zone,
    last_event_fields integer DEFAULT 0 NOT NULL,
    field_versions jsonb
)
WITH (fillfactor='70');

COMMENT ON TABLE capydb_auth.sessions IS 'Sessions of users, without anything that one could sign in with. Maintained by authsync: read it, do not write to it.';

COMMENT ON COLUMN capydb_auth.sessions.id IS 'The provider''s id of the session.';

COMMENT ON COLUMN capydb_auth.sessions.user_id IS 'users.id.';

COMMENT ON COLUMN capydb_auth.sessions.status IS 'As the provider spells it: active, ended, revoked ….';

COMMENT ON COLUMN capydb_auth.sessions.created_at IS 'When the user signed in.';

COMMENT ON COLUMN capydb_auth.sessions.last_active_at IS 'When the session was last used, as far as the provider has reported it.';

COMMENT ON COLUMN capydb_auth.sessions.expires_at IS 'Until when the session is valid.';

COMMENT ON COLUMN capydb_auth.sessions.ended_at IS 'When the session ended, was removed or revoked; NULL: no such event has come.';

COMMENT ON COLUMN capydb_auth.sessions.raw IS 'The provider''s session object, without tokens.';

COMMENT ON COLUMN capydb_auth.sessions.provider IS 'The provider of the newest event about the session.';

COMMENT ON COLUMN capydb_auth.sessions.last_event_processed IS 'Provider clock of the newest event about the session.';

COMMENT ON COLUMN capydb_auth.sessions.last_event_id IS 'The event that set the columns in last_event_fields.';

COMMENT ON COLUMN capydb_auth.sessions.last_event_sent_at IS 'When that event was sent: the second part of its version.';

COMMENT ON COLUMN capydb_auth.sessions.last_event_fields IS 'The columns whose version is (last_event_processed, last_event_sent_at, last_event_id), as a sum; see users.last_event_fields.';

COMMENT ON COLUMN capydb_auth.sessions.field_versions IS 'What last_event_fields cannot say; see session_sources and merge_record.';

CREATE VIEW capydb_auth.record_changes WITH (security_invoker='true') AS
 SELECT c.id,
    c.record_type,
    c.record_id,
    c.kind,
    w.changed,
        CASE
            WHEN ((c.before IS NOT NULL) AND ('raw'::text = ANY (w.changed))) THEN (c.before || jsonb_build_object('raw', c.before_raw))
            ELSE c.before
        END AS before,
    ( SELECT jsonb_object_agg(a.name,
                CASE
                    WHEN (a.name = 'raw'::text) THEN ( SELECT
                            CASE
                                WHEN (n.id IS NOT NULL) THEN n.before_raw
                                ELSE
                                CASE
                                    WHEN (c.kind = 'erased'::text) THEN NULL::jsonb
                                    WHEN (c.record_type = 'organization'::text) THEN ( SELECT r.raw
                                       FROM capydb_auth.organizations r
                                      WHERE ((r.id >= c.record_id) AND (r.id <= c.record_id))
                                      ORDER BY r.id
                                     LIMIT 1)
                                    WHEN (c.record_type = 'user'::text) THEN ( SELECT r.raw
                                       FROM capydb_auth.users r
                                      WHERE ((r.id >= c.record_id) AND (r.id <= c.record_id))
                                      ORDER BY r.id
                                     LIMIT 1)
                                    WHEN (c.record_type = 'membership'::text) THEN ( SELECT r.raw
                                       FROM capydb_auth.memberships r
                                      WHERE ((ROW(r.organization_id, r.user_id) >= ROW(COALESCE(c.after_organization_id, (c.after ->> 'organization_id'::text)), COALESCE(c.after_user_id, (c.after ->> 'user_id'::text)))) AND (ROW(r.organization_id, r.user_id) <= ROW(COALESCE(c.after_organization_id, (c.after ->> 'organization_id'::text)), COALESCE(c.after_user_id, (c.after ->> 'user_id'::text)))))
                                      ORDER BY r.organization_id, r.user_id
                                     LIMIT 1)
                                    WHEN (c.record_type = 'invitation'::text) THEN ( SELECT r.raw
                                       FROM capydb_auth.invitations r
                                      WHERE ((r.id >= c.record_id) AND (r.id <= c.record_id))
                                      ORDER BY r.id
                                     LIMIT 1)
                                    WHEN (c.record_type = 'session'::text) THEN ( SELECT r.raw
                                       FROM capydb_auth.sessions r
                                      WHERE ((r.id >= c.record_id) AND (r.id <= c.record_id))
                                      ORDER BY r.id
                                     LIMIT 1)
                                    ELSE NULL::jsonb
                                END
                            END AS "case"
                       FROM (( VALUES (true)) one
                         LEFT JOIN LATERAL ( SELECT i.id,
                                i.before_raw
                               FROM capydb_auth.changes i
                              WHERE ((ROW(i.record_id, i.record_type, i.id) > ROW(c.record_id, c.record_type, c.id)) AND (ROW(i.record_id, i.record_type, i.id) <= ROW(c.record_id, c.record_type, '9223372036854775807'::bigint)) AND (i.kind <> 'erased'::text))
                              ORDER BY i.record_id, i.record_type, i.id
                             LIMIT 1) n ON (true)))
                    ELSE (w.after -> a.name)
                END) AS jsonb_object_agg
           FROM unnest(w.changed) a(name)) AS after,
    c.provider,
    c.event_id,
    c.event_at,
    c.changed_at
   FROM (capydb_auth.changes c
     CROSS JOIN LATERAL ( SELECT COALESCE(c.changed, array_remove(
                CASE c.record_type
                    WHEN 'organization'::text THEN ARRAY[
                    CASE
                        WHEN ((c.changed_fields & 1024) <> 0) THEN 'name'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 2048) <> 0) THEN 'slug'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 16) <> 0) THEN 'image_url'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 32) <> 0) THEN 'created_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 64) <> 0) THEN 'updated_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 256) <> 0) THEN 'deleted_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 512) <> 0) THEN 'raw'::text
                        ELSE NULL::text
                    END]
                    WHEN 'user'::text THEN ARRAY[
                    CASE
                        WHEN ((c.changed_fields & 1) <> 0) THEN 'email'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 2) <> 0) THEN 'first_name'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 4) <> 0) THEN 'last_name'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 8) <> 0) THEN 'username'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 16) <> 0) THEN 'image_url'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 32) <> 0) THEN 'created_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 64) <> 0) THEN 'updated_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 128) <> 0) THEN 'last_sign_in_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 256) <> 0) THEN 'deleted_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 512) <> 0) THEN 'raw'::text
                        ELSE NULL::text
                    END]
                    WHEN 'membership'::text THEN ARRAY[
                    CASE
                        WHEN ((c.changed_fields & 4096) <> 0) THEN 'id'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 8192) <> 0) THEN 'role'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 16384) <> 0) THEN 'roles'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 32768) <> 0) THEN 'permissions'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 32) <> 0) THEN 'created_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 64) <> 0) THEN 'updated_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 256) <> 0) THEN 'deleted_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 512) <> 0) THEN 'raw'::text
                        ELSE NULL::text
                    END]
                    WHEN 'invitation'::text THEN ARRAY[
                    CASE
                        WHEN ((c.changed_fields & 65536) <> 0) THEN 'organization_id'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 1) <> 0) THEN 'email'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 8192) <> 0) THEN 'role'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 262144) <> 0) THEN 'status'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 524288) <> 0) THEN 'expires_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 32) <> 0) THEN 'created_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 64) <> 0) THEN 'updated_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 256) <> 0) THEN 'deleted_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 512) <> 0) THEN 'raw'::text
                        ELSE NULL::text
                    END]
                    WHEN 'session'::text THEN ARRAY[
                    CASE
                        WHEN ((c.changed_fields & 131072) <> 0) THEN 'user_id'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 262144) <> 0) THEN 'status'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 32) <> 0) THEN 'created_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 1048576) <> 0) THEN 'last_active_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 524288) <> 0) THEN 'expires_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 256) <> 0) THEN 'ended_at'::text
                        ELSE NULL::text
                    END,
                    CASE
                        WHEN ((c.changed_fields & 512) <> 0) THEN 'raw'::text
                        ELSE NULL::text
                    END]
                    ELSE NULL::text[]
                END, NULL::text)) AS changed,
            COALESCE(c.after,
                CASE c.record_type
                    WHEN 'organization'::text THEN jsonb_build_object('id', c.record_id, 'name', c.after_name, 'slug', c.after_slug, 'image_url', c.after_image_url, 'created_at', ((to_jsonb((c.after_created_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'updated_at', ((to_jsonb((c.after_updated_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'deleted_at', ((to_jsonb((c.after_deleted_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text))
                    WHEN 'user'::text THEN jsonb_build_object('id', c.record_id, 'email', c.after_email, 'first_name', c.after_first_name, 'last_name', c.after_last_name, 'username', c.after_username, 'image_url', c.after_image_url, 'created_at', ((to_jsonb((c.after_created_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'updated_at', ((to_jsonb((c.after_updated_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'last_sign_in_at', ((to_jsonb((c.after_last_sign_in_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'deleted_at', ((to_jsonb((c.after_deleted_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text))
                    WHEN 'membership'::text THEN jsonb_build_object('organization_id', c.after_organization_id, 'user_id', c.after_user_id, 'id', c.after_id, 'role', c.after_role, 'roles', c.after_roles, 'permissions', c.after_permissions, 'created_at', ((to_jsonb((c.after_created_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'updated_at', ((to_jsonb((c.after_updated_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'deleted_at', ((to_jsonb((c.after_deleted_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text))
                    WHEN 'invitation'::text THEN jsonb_build_object('id', c.record_id, 'organization_id', c.after_organization_id, 'email', c.after_email, 'role', c.after_role, 'status', c.after_status, 'expires_at', ((to_jsonb((c.after_expires_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'created_at', ((to_jsonb((c.after_created_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'updated_at', ((to_jsonb((c.after_updated_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'deleted_at', ((to_jsonb((c.after_deleted_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text))
                    WHEN 'session'::text THEN jsonb_build_object('id', c.record_id, 'user_id', c.after_user_id, 'status', c.after_status, 'created_at', ((to_jsonb((c.after_created_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'last_active_at', ((to_jsonb((c.after_last_active_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'expires_at', ((to_jsonb((c.after_expires_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text), 'ended_at', ((to_jsonb((c.after_deleted_at AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text))
                    ELSE NULL::jsonb
                END) AS after
         OFFSET 0) w);

COMMENT ON VIEW capydb_auth.record_changes IS 'The changes of records of all types in commit order: the columns that changed, before and after.';

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

CREATE VIEW capydb_auth.session_sources WITH (security_invoker='true') AS
 SELECT u.id AS session_id,
    c.column_name,
    c.value,
        CASE
            WHEN n.is_newer THEN k.event_id
            ELSE s.event_id
        END AS event_id,
        CASE
            WHEN n.is_newer THEN k.received_at
            ELSE s.at
        END AS set_at,
        CASE
            WHEN n.is_newer THEN k.received_at
            ELSE s.sent_at
        END AS sent_at
   FROM ((((capydb_auth.sessions u
     CROSS JOIN LATERAL ( VALUES (131072,'user_id'::text,'user_id'::text,u.user_id), (262144,'status'::text,'status'::text,u.status), (32,'created_at'::text,'created_at'::text,(u.created_at)::text), (1048576,'last_active_at'::text,'last_active_at'::text,(u.last_active_at)::text), (524288,'expires_at'::text,'expires_at'::text,(u.expires_at)::text), (256,'ended_at'::text,'deleted_at'::text,(u.ended_at)::text), (512,'raw'::text,'raw'::text,(u.raw)::text)) c("bit", column_name, field, value))
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN b.is_last THEN u.last_event_processed
                    ELSE ((b.doc ->> 'at'::text))::timestamp with time zone
                END AS at,
                CASE
                    WHEN b.is_last THEN u.last_event_sent_at
                    ELSE ((b.doc ->> 'sent_at'::text))::timestamp with time zone
                END AS sent_at,
                CASE
                    WHEN b.is_last THEN u.last_event_id
                    ELSE (b.doc ->> 'event_id'::text)
                END AS event_id,
                CASE
                    WHEN (NOT b.is_last) THEN ((b.doc ->> 'received_at'::text))::timestamp with time zone
                    ELSE NULL::timestamp with time zone
                END AS received_at
           FROM ( SELECT ((u.last_event_fields & c."bit") <> 0) AS is_last,
                    ((u.field_versions -> 'versions'::text) -> c.field) AS doc) b) s)
     CROSS JOIN LATERAL ( SELECT (((u.field_versions -> 'unclocked'::text) -> c.field) ->> 'event_id'::text) AS event_id,
            ((((u.field_versions -> 'unclocked'::text) -> c.field) ->> 'received_at'::text))::timestamp with time zone AS received_at) k)
     CROSS JOIN LATERAL ( SELECT ((k.received_at IS NOT NULL) AND ((s.at IS NULL) OR (k.received_at > s.at) OR COALESCE((k.received_at >= s.received_at), false))) AS is_newer) n);

COMMENT ON VIEW capydb_auth.session_sources IS 'For each session and column: the value, the event that set it, and when by the provider''s clock.';

CREATE VIEW capydb_auth.user_changes WITH (security_invoker='true') AS
 SELECT c.id,
    c.record_id AS user_id,
    c.kind,
    c.changed,
    c.before,
    c.after,
    c.provider,
    c.event_id,
    c.event_at,
    c.changed_at
   FROM capydb_auth.record_changes c
  WHERE (c.record_type = 'user'::text);

COMMENT ON VIEW capydb_auth.user_changes IS 'The changes of users in commit order: the columns that changed, before and after.';

CREATE VIEW capydb_auth.user_emails WITH (security_invoker='true') AS
 SELECT u.id AS user_id,
    a.email,
    COALESCE((lower(a.email) = lower(u.email)), false) AS is_primary,
    a.is_verified
   FROM (capydb_auth.users u
     CROSS JOIN LATERAL ( SELECT (e.doc ->> 'email_address'::text) AS email,
            ((e.doc #>> '{verification,status}'::text[]) = 'verified'::text) AS is_verified
           FROM jsonb_array_elements(
                CASE
                    WHEN (jsonb_typeof((u.raw -> 'email_addresses'::text)) = 'array'::text) THEN (u.raw -> 'email_addresses'::text)
                    ELSE '[]'::jsonb
                END) e(doc)
        UNION ALL
         SELECT (u.raw ->> 'email'::text),
            (COALESCE((u.raw -> 'email_verified'::text), (u.raw -> 'emailVerified'::text)) = 'true'::jsonb)
          WHERE (jsonb_typeof((u.raw -> 'email'::text)) = 'string'::text)
        UNION ALL
         SELECT (i.doc #>> '{profileData,email}'::text[]),
            ((i.doc #> '{profileData,email_verified}'::text[]) = 'true'::jsonb)
           FROM jsonb_array_elements(
                CASE
                    WHEN (jsonb_typeof((u.raw -> 'identities'::text)) = 'array'::text) THEN (u.raw -> 'identities'::text)
                    ELSE '[]'::jsonb
                END) i(doc)
          WHERE ((i.doc #>> '{profileData,email}'::text[]) IS DISTINCT FROM (u.raw ->> 'email'::text))) a(email, is_verified))
  WHERE ((u.deleted_at IS NULL) AND (a.email <> ''::text));

COMMENT ON VIEW capydb_auth.user_emails IS 'All e-mail addresses of users that are not deleted, from the provider''s user objects.';

CREATE VIEW capydb_auth.user_identities WITH (security_invoker='true') AS
 SELECT u.id AS user_id,
    i.identity_provider,
    i.identity_id,
    i.email
   FROM (capydb_auth.users u
     CROSS JOIN LATERAL ( SELECT (e.doc ->> 'provider'::text) AS identity_provider,
            (e.doc ->> 'provider_user_id'::text) AS identity_id,
            (e.doc ->> 'email_address'::text) AS email
           FROM jsonb_array_elements(
                CASE
                    WHEN (jsonb_typeof((u.raw -> 'external_accounts'::text)) = 'array'::text) THEN (u.raw -> 'external_accounts'::text)
                    ELSE '[]'::jsonb
                END) e(doc)
        UNION ALL
         SELECT COALESCE((e.doc ->> 'connection'::text), (e.doc ->> 'provider'::text)) AS "coalesce",
            (e.doc ->> 'user_id'::text),
            (e.doc #>> '{profileData,email}'::text[])
           FROM jsonb_array_elements(
                CASE
                    WHEN (jsonb_typeof((u.raw -> 'identities'::text)) = 'array'::text) THEN (u.raw -> 'identities'::text)
                    ELSE '[]'::jsonb
                END) e(doc)) i(identity_provider, identity_id, email))
  WHERE (u.deleted_at IS NULL);

COMMENT ON VIEW capydb_auth.user_identities IS 'The identities with which users that are not deleted can sign in, from the provider''s user objects.';

CREATE VIEW capydb_auth.user_phones WITH (security_invoker='true') AS
 SELECT u.id AS user_id,
    p.phone_number,
    p.is_verified
   FROM (capydb_auth.users u
     CROSS JOIN LATERAL ( SELECT (e.doc ->> 'phone_number'::text) AS phone_number,
            ((e.doc #>> '{verification,status}'::text[]) = 'verified'::text) AS is_verified
           FROM jsonb_array_elements(
                CASE
                    WHEN (jsonb_typeof((u.raw -> 'phone_numbers'::text)) = 'array'::text) THEN (u.raw -> 'phone_numbers'::text)
                    ELSE '[]'::jsonb
                END) e(doc)
        UNION ALL
         SELECT (u.raw ->> 'phone_number'::text),
            ((u.raw -> 'phone_verified'::text) = 'true'::jsonb)
          WHERE (jsonb_typeof((u.raw -> 'phone_number'::text)) = 'string'::text)
        UNION ALL
         SELECT (u.raw ->> 'phoneNumber'::text),
            ((u.raw -> 'phoneNumberVerified'::text) = 'true'::jsonb)
          WHERE (jsonb_typeof((u.raw -> 'phoneNumber'::text)) = 'string'::text)) p(phone_number, is_verified))
  WHERE ((u.deleted_at IS NULL) AND (p.phone_number <> ''::text));

COMMENT ON VIEW capydb_auth.user_phones IS 'All phone numbers of users that are not deleted, from the provider''s user objects.';

ALTER TABLE ONLY capydb_auth.changes
    ADD CONSTRAINT changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY capydb_auth.clone_progress
    ADD CONSTRAINT clone_progress_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY capydb_auth.erasures
    ADD CONSTRAINT erasures_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY capydb_auth.invitations
    ADD CONSTRAINT invitations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY capydb_auth.memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (organization_id, user_id);

ALTER TABLE ONLY capydb_auth.mirror_progress
    ADD CONSTRAINT mirror_progress_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY capydb_auth.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY capydb_auth.owner
    ADD CONSTRAINT owner_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY capydb_auth.processed_events
    ADD CONSTRAINT processed_events_pkey PRIMARY KEY (provider, event_id, record_type, record_id, received_at);

ALTER TABLE ONLY capydb_auth.prune_progress
    ADD CONSTRAINT prune_progress_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY capydb_auth.reconcile_findings
    ADD CONSTRAINT reconcile_findings_pkey PRIMARY KEY (provider, record_type, record_id);

ALTER TABLE ONLY capydb_auth.schema_code
    ADD CONSTRAINT schema_code_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY capydb_auth.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY capydb_auth.schema_objects
    ADD CONSTRAINT schema_objects_pkey PRIMARY KEY (kind, identity);

ALTER TABLE ONLY capydb_auth.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY capydb_auth.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

CREATE INDEX changes_record_idx ON capydb_auth.changes USING btree (record_id, record_type, id);

CREATE INDEX invitations_email_idx ON capydb_auth.invitations USING btree (lower(email), id);

CREATE INDEX invitations_organization_idx ON capydb_auth.invitations USING btree (organization_id, id);

CREATE INDEX memberships_user_idx ON capydb_auth.memberships USING btree (user_id, organization_id);

CREATE INDEX organizations_name_idx ON capydb_auth.organizations USING btree (lower("left"(name, 64)) COLLATE "C", id) WHERE (name IS NOT NULL);

CREATE INDEX organizations_placeholders_idx ON capydb_auth.organizations USING btree (placeholder_since) WHERE (placeholder_since IS NOT NULL);

CREATE INDEX organizations_slug_idx ON capydb_auth.organizations USING btree (slug);

CREATE INDEX processed_events_processed_idx ON capydb_auth.processed_events USING btree (processed_at);

CREATE INDEX reconcile_findings_drift_idx ON capydb_auth.reconcile_findings USING btree (provider, record_type, record_id) WHERE (state <> 'none'::text);

CREATE INDEX sessions_user_idx ON capydb_auth.sessions USING btree (user_id, id);

CREATE INDEX users_email_idx ON capydb_auth.users USING btree (lower(email), id);

CREATE INDEX users_last_name_idx ON capydb_auth.users USING btree (lower("left"(last_name, 64)) COLLATE "C", id) WHERE ((first_name IS NOT NULL) AND (last_name IS NOT NULL));

CREATE INDEX users_name_idx ON capydb_auth.users USING btree (lower("left"(COALESCE(((first_name || ' '::text) || last_name), first_name, last_name, username), 64)) COLLATE "C", id) WHERE (COALESCE(first_name, last_name, username) IS NOT NULL);

CREATE INDEX users_placeholders_idx ON capydb_auth.users USING btree (placeholder_since) WHERE (placeholder_since IS NOT NULL);

REVOKE ALL ON FUNCTION capydb_auth.apply_around_locks(p_events capydb_auth.event[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_events(p_events capydb_auth.event[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_invitations(p_events capydb_auth.event[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_memberships(p_events capydb_auth.event[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_next(p_events capydb_auth.event[], p_epoch uuid, p_applied_to bigint, p_at timestamp with time zone, p_erasure_key bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_organizations(p_events capydb_auth.event[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_round(p_events capydb_auth.event[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_rounds(p_events capydb_auth.event[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_sessions(p_events capydb_auth.event[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.apply_users(p_events capydb_auth.event[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.cascade_deletions(p_after bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.change_cursor(p_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.changes_by_id(p_ids bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.clocks_of_invitations(p_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.clocks_of_memberships(p_organization_ids text[], p_user_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.clocks_of_organizations(p_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.clocks_of_users(p_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.clone_allowed(p_record_type text, p_rows jsonb[], p_erasure_key bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.clone_begin(p_source_id uuid, p_source_epoch uuid, p_change_id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.clone_changes(p_source_id uuid, p_from bigint, p_to bigint, p_changes jsonb[], p_erasure_key bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.close_changes(p_user_ids text[], p_event_ids text[], p_at timestamp with time zone[], p_within interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.compare_invitations(p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.compare_memberships(p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.compare_organizations(p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.compare_users(p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.count_call(p_epoch uuid, p_applied_to bigint, p_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.ensure_organization(p_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.ensure_user(p_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.erase_begin(p_key bytea, p_user_id text, p_event_id text, p_at timestamp with time zone, p_epoch uuid, p_applied_to bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.erase_invitations(p_key bytea, p_emails text[], p_after text, p_limit integer, p_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.erase_ledger(p_user_id text, p_is_long boolean, p_provider text, p_event_id text, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.erase_records(p_user_id text, p_keep bigint, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.erasure_digest(p_key bytea, p_record_type text, p_record_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.find_erased(p_key bytea, p_record_types text[], p_record_ids text[], p_user_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.find_restored(p_key bytea, p_record_type text, p_table text, p_from bigint, p_blocks bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.is_same_scalar(p_one jsonb, p_other jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.is_same_value(p_one jsonb, p_other jsonb, p_is_loose boolean, p_levels integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.lock_mirror() FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.membership_id(p_organization_id text, p_user_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.merge_record(p_event capydb_auth.event, p_fields integer, p_last_at timestamp with time zone, p_last_sent_at timestamp with time zone, p_last_event_id text, p_last_fields integer, p_field_versions jsonb, p_roles text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.prunable_changes(p_before timestamp with time zone, p_to bigint, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.prune_changes(p_to bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.prune_ledger(p_before timestamp with time zone, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.read_changes(p_after bigint, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_begin(p_run_id uuid, p_provider text) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_forget(p_provider text, p_run_id uuid, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_orphaned_invitations(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_after_id text, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_orphaned_memberships(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_after_organization_id text, p_after_user_id text, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_orphaned_organizations(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_placeholders boolean, p_after_id text, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_orphaned_users(p_run_id uuid, p_provider text, p_begun timestamp with time zone, p_placeholders boolean, p_after_id text, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_page(p_run_id uuid, p_provider text, p_type text, p_events capydb_auth.event[], p_rules jsonb, p_is_whole boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.reconcile_settle(p_run_id uuid, p_provider text, p_type text, p_records jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.record_states(p_first bigint[], p_last bigint[], p_as_of bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.remove_invitations(p_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.require_all_written(p_written bigint, p_meant bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.require_reconcile(p_run_id uuid, p_provider text) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.resume_mirror(p_applied_to bigint, p_change_id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.skip_change_ids(p_to bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.unclocked_is_newer(p_received_at timestamp with time zone, p_clocked capydb_auth.version) FROM PUBLIC;

REVOKE ALL ON FUNCTION capydb_auth.version_of(p_last_event_processed timestamp with time zone, p_last_event_sent_at timestamp with time zone, p_last_event_id text, p_last_event_fields integer, p_field_versions jsonb, p_column text, p_bit integer) FROM PUBLIC;

