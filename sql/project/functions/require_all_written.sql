-- require_all_written raises US002 unless as many rows were written as were meant
-- to be: a trigger of the customer's that returns NULL suppresses rows silently, and
-- an event must not be on record as applied without its effect.
--
-- Repeatable: it changes nothing.
-- Order:      in the statement that writes.
-- Result:     true, or the error.
CREATE OR REPLACE FUNCTION capydb_auth.require_all_written(
    p_written bigint,
    p_meant   bigint
)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    IF p_written IS DISTINCT FROM p_meant THEN
        RAISE EXCEPTION '% of % rows of capydb_auth.users were not written', p_meant - p_written, p_meant
            USING ERRCODE = 'US002', HINT = 'A trigger on capydb_auth.users suppresses rows by returning NULL: remove it.';
    END IF;
    RETURN true;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.require_all_written(bigint, bigint)
    IS 'Raises US002 if a trigger has suppressed rows; called by apply_round only.';
