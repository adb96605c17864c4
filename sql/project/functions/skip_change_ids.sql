-- skip_change_ids makes the ids of coming changes greater than one given. It is for a
-- database that was restored from a copy: ids that destinations have heard of
-- once must not come again with another meaning.
--
-- Repeatable: it never makes ids smaller.
-- Order:      of no matter.
-- Result:     the id behind which the next change will be.
CREATE OR REPLACE FUNCTION capydb_auth.skip_change_ids(
    p_to bigint
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_sequence regclass := pg_get_serial_sequence('capydb_auth.changes', 'id')::regclass;
BEGIN
    -- As apply_events does, so that no change comes in between.
    PERFORM capydb_auth.lock_mirror();
    RETURN setval(v_sequence, greatest(p_to, nextval(v_sequence)));
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.skip_change_ids(bigint)
    IS 'Makes the ids of coming changes greater than one given; for a database that was restored.';
