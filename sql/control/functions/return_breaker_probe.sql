-- return_breaker_probe lets another job probe a destination at once, because the one that took the probe sent nothing; move_breaker has the
-- breaker's states.
--
-- Repeatable: yes.
-- Order:      none.
-- Result:     nothing. A breaker that was closed meanwhile stays closed.
CREATE OR REPLACE FUNCTION authsync.return_breaker_probe(
    p_destination_id uuid,
    p_now            timestamptz
)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $fn$
    UPDATE authsync.destination_progress AS f
    SET breaker_open_until = p_now
    WHERE f.destination_id = p_destination_id AND f.breaker_open_until IS NOT NULL;
$fn$;

COMMENT ON FUNCTION authsync.return_breaker_probe(uuid, timestamptz)
    IS 'Lets another job probe a destination whose circuit breaker is open.';
