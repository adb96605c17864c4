-- lease_destination allows one run at a time to send to a destination.
--
-- Repeatable: the holder keeps the lease.
-- Order:      the lease of a dead run is released with its client (rescue_jobs), or expires.
-- Result:     true if p_lease holds it now, until p_until.
CREATE OR REPLACE FUNCTION authsync.lease_destination(
    p_destination_id uuid,
    p_lease          uuid,
    p_leased_by      text,
    p_leased_job     bigint,
    p_now            timestamptz,
    p_until          timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    UPDATE authsync.destination_progress AS f
    SET lease = p_lease, leased_by = p_leased_by, leased_job = p_leased_job, leased_until = p_until
    WHERE f.destination_id = p_destination_id
      AND (f.lease IS NULL OR f.lease = p_lease OR f.leased_until <= p_now);
    RETURN FOUND;
END;
$fn$;

COMMENT ON FUNCTION authsync.lease_destination(uuid, uuid, text, bigint, timestamptz, timestamptz)
    IS 'Allows one run at a time to send to a destination.';
