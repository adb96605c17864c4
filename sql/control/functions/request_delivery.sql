-- request_delivery asks for the job that sends to a destination; see request_job.
--
-- Repeatable: yes, see request_job.
-- Order:      of no matter.
-- Result:     true if it made a job.
CREATE OR REPLACE FUNCTION authsync.request_delivery(
    p_destination_id uuid
)
RETURNS boolean
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT authsync.request_job('deliver', p_destination_id::text, jsonb_build_object('destination_id', p_destination_id));
$fn$;

COMMENT ON FUNCTION authsync.request_delivery(uuid)
    IS 'Asks for the job that sends to a destination.';
