-- merge_unclocked merges an event into the versions of a user if its sender gave no
-- clock, or if such an event about the user came before.
--
-- An event without a clock is newer than everything received before it, also than a
-- change whose clock is a little ahead of ours. Its time of receipt cannot say that as
-- one more clock: a change stamped 3 s ahead, the deletion a second later, and a change that
-- was delayed and arrives last, stamped 2 s ahead, would each be newer than the one before.
-- So of each column two things are kept: the greatest version among events with a clock
-- (user_versions), and what was received last among those without
-- (user_versions.unclocked). Which of the two the column shows is for
-- unclocked_is_newer to say. Each is the greatest of a set, so no order matters.
--
-- Repeatable: the same event a second time changes nothing.
-- Order:      of no matter.
-- Result:     an object:
--   shown      column -> value for the columns that show another event's value now
--   raised     the columns whose version with a clock is that of this event now
--   unclocked  what user_versions.unclocked is now; null: nothing
--   is_noted   raised or unclocked differ from before
--
-- p_fields is column -> value, raw among them. What came without a clock is not kept
-- where a column shows something whose clock is over a minute newer: no clock is
-- further ahead of its receipt (payload.clockTolerance), so nothing can bring it back.
CREATE OR REPLACE FUNCTION capydb_auth.merge_unclocked(
    p_fields               jsonb,
    p_received_at          timestamptz,
    p_version              capydb_auth.version,
    p_life_version         capydb_auth.version,
    p_profile_is_unclocked boolean,
    p_life_is_unclocked    boolean,
    p_was                  capydb_auth.user_versions
)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $fn$
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
$fn$;

COMMENT ON FUNCTION capydb_auth.merge_unclocked(
    jsonb, timestamptz, capydb_auth.version, capydb_auth.version, boolean, boolean, capydb_auth.user_versions
)
    IS 'Merges an event into the versions of a user where clocks alone do not decide; called by apply_round only.';
