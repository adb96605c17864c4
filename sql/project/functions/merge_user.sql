-- merge_user merges an event into the versions of a user, column by column. apply_round calls it where
-- the event as a whole is not simply newer than all that is known of the user.
--
-- The version of a column is when, by the provider's clock, and by which event it was set. That of most
-- columns is the user's newest event (last_event_processed, last_event_sent_at, last_event_id, for the
-- columns in last_event_fields). The others are in field_versions:
--
--     {"versions": {"email": {"at", "sent_at", "event_id", "received_at"}, …},
--      "unclocked": {"deleted_at": {"value", "received_at", "event_id"}, …}}
--
-- An event without a clock is newer than everything received before it, also than a
-- change whose clock is a little ahead of ours. Its time of receipt cannot say that as
-- one more clock: a change stamped 3 s ahead, the deletion a second later, and a change that
-- was delayed and arrives last, stamped 2 s ahead, would each be newer than the one before.
-- So of each column two things are kept: the greatest version among events with a clock
-- (versions), and what was received last among those without (unclocked). unclocked_is_newer
-- decides which of the two the column shows. Each is the greatest of a set, so no order matters.
--
-- Repeatable: the same event a second time changes nothing.
-- Order:      of no matter.
-- Result:     one row:
--   shown      column -> value for the columns that show another event's value now
--   sets       these columns, as a sum
--   last_at, last_sent_at, last_event_id, last_fields, field_versions
--              what the columns of users with the versions are now
--   is_noted   the versions differ from before
--
-- p_fields are the columns that the event sets. What came without a clock is not kept
-- where a column shows something whose clock is over a minute newer: no clock is
-- further ahead of its receipt (payload.clockTolerance), so nothing can bring it back.
CREATE OR REPLACE FUNCTION capydb_auth.merge_user(
    p_event  capydb_auth.user_event,
    p_fields integer,
    p_user   capydb_auth.users
)
RETURNS TABLE (
    shown jsonb, sets integer, last_at timestamptz, last_sent_at timestamptz, last_event_id text,
    last_fields integer, field_versions jsonb, is_noted boolean
)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $fn$
DECLARE
    c_columns constant text[] := ARRAY['email', 'first_name', 'last_name', 'username', 'image_url',
        'created_at', 'updated_at', 'last_sign_in_at', 'deleted_at', 'raw'];
    v_event        jsonb := to_jsonb(p_event);
    v_versions     jsonb := '{}'::jsonb;
    v_unclocked    jsonb := '{}'::jsonb;
    v_was          jsonb;
    v_received_at  timestamptz := coalesce(p_event.arrived_at, p_event.received_at);
    v_column       text;
    v_value        jsonb;
    v_is_unclocked boolean;
    v_version      capydb_auth.version;
    v_stored       capydb_auth.version;
    v_kept_at      timestamptz;
    v_newest       capydb_auth.version;
BEGIN
    shown := '{}';
    sets := 0;
    IF p_user.last_event_processed IS NOT NULL THEN -- otherwise there is no row, or a placeholder
        v_unclocked := coalesce(p_user.field_versions -> 'unclocked', '{}');
        v_versions := coalesce(p_user.field_versions -> 'versions', '{}') || coalesce((
            SELECT jsonb_object_agg(c_columns[i], to_jsonb(
                ROW(p_user.last_event_processed, p_user.last_event_sent_at, p_user.last_event_id, NULL)::capydb_auth.version))
            FROM generate_subscripts(c_columns, 1) AS i
            WHERE p_user.last_event_fields & (1 << (i - 1)) <> 0
        ), '{}');
    END IF;
    v_was := jsonb_build_array(v_versions, v_unclocked);

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
        v_is_unclocked := CASE WHEN v_column = 'deleted_at' AND p_event.deleted_clock IS NOT NULL
            THEN p_event.deleted_clock_is_receipt ELSE p_event.at_is_receipt END;

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

    is_noted := jsonb_build_array(v_versions, v_unclocked) IS DISTINCT FROM v_was;
    last_at := greatest(p_user.last_event_processed, p_event.at, p_event.deleted_clock);

    -- The versions of one event need not be repeated for each column: the greatest of that time is the user's.
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
        || CASE WHEN v_unclocked <> '{}' THEN jsonb_build_object('unclocked', v_unclocked) ELSE '{}' END, '{}');
    RETURN NEXT;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.merge_user(capydb_auth.user_event, integer, capydb_auth.users)
    IS 'Merges an event into the versions of a user, column by column; called by apply_round only.';
