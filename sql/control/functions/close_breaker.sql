-- close_breaker closes the circuit breaker of a destination; move_breaker has its states.
--
-- p_is_mended: also forget since when it has failed. Not so if the destination has only answered.
--
-- Repeatable: yes.
-- Order:      none.
-- Result:     nothing.
CREATE OR REPLACE FUNCTION authsync.close_breaker(
    p_destination_id uuid,
    p_is_mended      boolean
)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $fn$
    UPDATE authsync.destination_progress AS f
    SET consecutive_failures   = 0,
        breaker_failed_records = '{}',
        failing_since          = CASE WHEN p_is_mended THEN NULL ELSE f.failing_since END,
        breaker_open_until     = NULL,
        breaker_trips          = 0
    WHERE f.destination_id = p_destination_id;
$fn$;

COMMENT ON FUNCTION authsync.close_breaker(uuid, boolean)
    IS 'Closes the circuit breaker of a destination.';
