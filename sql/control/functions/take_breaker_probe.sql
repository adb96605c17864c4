-- take_breaker_probe lets one job of all processes probe a destination whose circuit breaker has been open for long enough; move_breaker
-- has its states.
--
-- p_open_until is the time until which the caller saw it open, which is over. p_probe_for is how long the probe may
-- take: a job that has not said by then how it ended has died, and another may probe.
--
-- Repeatable: the second of two callers that saw the same gets false.
-- Order:      none.
-- Result:     true if the caller is the one that probes.
CREATE OR REPLACE FUNCTION authsync.take_breaker_probe(
    p_destination_id uuid,
    p_open_until     timestamptz,
    p_now            timestamptz,
    p_probe_for      interval
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    UPDATE authsync.destination_progress AS f
    SET breaker_open_until = p_now + p_probe_for
    WHERE f.destination_id = p_destination_id AND f.breaker_open_until = p_open_until;
    RETURN FOUND;
END;
$fn$;

COMMENT ON FUNCTION authsync.take_breaker_probe(uuid, timestamptz, timestamptz, interval)
    IS 'Lets one job probe a destination whose circuit breaker is open.';
