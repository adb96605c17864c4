-- unclocked_is_newer tells whether what was set without a clock is newer than what was
-- set with one. It is, if it was received later, for then it was sent later; and if
-- the clock of the other, which is its sender's, lies before its receipt.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     true also where nothing was set with a clock.
CREATE OR REPLACE FUNCTION capydb_auth.unclocked_is_newer(
    p_received_at timestamptz,
    p_clocked     capydb_auth.version
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT (p_clocked).at IS NULL
        OR p_received_at > (p_clocked).at
        OR coalesce(p_received_at >= (p_clocked).received_at, false);
$fn$;

COMMENT ON FUNCTION capydb_auth.unclocked_is_newer(timestamptz, capydb_auth.version)
    IS 'Whether what was set without a clock is newer than what was set with one.';
