-- return_delivery moves a delivery from its own job to its destination's job, because the
-- destination must be resumed or recover first, or because a user retried the job of a failed one.
--
-- Repeatable: yes.
-- Order:      a failed delivery is queued in the order of its order key.
-- Result:     true if the delivery now waits for the destination's job.
CREATE OR REPLACE FUNCTION authsync.return_delivery(
    p_id bigint
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
DECLARE
    v_destination_id uuid;
BEGIN
    SELECT d.destination_id INTO v_destination_id FROM authsync.deliveries AS d WHERE d.id = p_id;
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = v_destination_id FOR UPDATE;

    UPDATE authsync.deliveries AS d
    SET state = 'ready', next_attempt_at = NULL, job_id = NULL
    WHERE d.id = p_id AND d.state IS NOT DISTINCT FROM 'retrying';
    IF FOUND THEN
        PERFORM authsync.request_delivery(v_destination_id);
        RETURN true;
    END IF;
    IF EXISTS (SELECT FROM authsync.deliveries AS d WHERE d.id = p_id AND d.state IS NOT DISTINCT FROM 'failed') THEN
        RETURN authsync.requeue_deliveries(v_destination_id, ARRAY[p_id]) > 0;
    END IF;
    RETURN false;
END;
$fn$;

COMMENT ON FUNCTION authsync.return_delivery(bigint)
    IS 'Moves a delivery from its own job to its destination''s job.';
