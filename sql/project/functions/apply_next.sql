-- apply_next applies a batch of events as apply_events does, as the call that follows those
-- which the caller knows of. It is how authsync calls it.
--
-- Repeatable: as apply_events.
-- Order:      as apply_events.
-- Result:     as apply_events, and on each row how many calls there were by now (applied_to), and
--             the greatest id of changes that was ever given. If the mirror is of another epoch, or there
--             were fewer calls than p_applied_to, the mirror has lost what these did: US004, and
--             nothing is applied. Events about a user who was erased have no effect and the outcome erased; a
--             caller who does not know the key by which these are remembered yet gets US005.
CREATE OR REPLACE FUNCTION capydb_auth.apply_next(
    p_events      capydb_auth.event[],
    p_epoch       uuid,
    p_applied_to  bigint,
    p_at          timestamptz,
    p_erasure_key bytea DEFAULT NULL
)
RETURNS TABLE (ordinal integer, outcome text, reason text, applied_to bigint, change_id bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
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
$fn$;

COMMENT ON FUNCTION capydb_auth.apply_next(capydb_auth.event[], uuid, bigint, timestamptz, bytea)
    IS 'Applies a batch of events as the call that follows those which the caller knows of.';
