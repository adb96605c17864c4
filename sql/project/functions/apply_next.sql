-- apply_next applies a batch of events as apply_events does, as the call that follows those
-- which the caller knows of. It is how authsync calls it.
--
-- Repeatable: as apply_events.
-- Order:      as apply_events.
-- Result:     as apply_events, and on each row how many calls there were by now (applied_to), and
--             the greatest id of changes that was ever given. If the mirror is of another epoch, or there
--             were fewer calls than p_applied_to, the mirror has lost what these did: US004, and
--             nothing is applied.
CREATE OR REPLACE FUNCTION capydb_auth.apply_next(
    p_events     capydb_auth.event[],
    p_epoch      uuid,
    p_applied_to bigint,
    p_at         timestamptz
)
RETURNS TABLE (ordinal integer, outcome text, reason text, applied_to bigint, change_id bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
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
        (SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('capydb_auth.changes', 'id')::regclass), 0))
    FROM capydb_auth.apply_events(p_events) AS e;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.apply_next(capydb_auth.event[], uuid, bigint, timestamptz)
    IS 'Applies a batch of events as the call that follows those which the caller knows of.';
