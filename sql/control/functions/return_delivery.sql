-- return_delivery hands a delivery from its own job to that of its destination: because
-- it can be sent with others only when the destination goes on, or because somebody
-- had the job of one that had failed tried again.
--
-- Repeatable: yes.
-- Order:      one that had failed waits for its turn among its user's.
-- Result:     true if the delivery waits for the destination's job now.
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
    IS 'Hands a delivery from its own job to that of its destination.';
