-- count_call counts what its transaction writes to the mirror as the call that follows those which the caller knows of: a mirror that
-- loses it is known by that.
--
-- Repeatable: each counts.
-- Order:      before anything is written.
-- Result:     how many calls there were by now. Of a mirror that has lost something before nothing is counted, but US004 raised.
CREATE OR REPLACE FUNCTION capydb_auth.count_call(
    p_epoch      uuid,
    p_applied_to bigint,
    p_at         timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
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
$fn$;

COMMENT ON FUNCTION capydb_auth.count_call(uuid, bigint, timestamptz)
    IS 'Counts what its transaction writes as a call, by which a mirror that loses it is known.';
