-- retry_delivery requeues a finished delivery, keeping its attempts, or makes a retrying one due
-- now, in the destination's job.
--
-- Repeatable: a blocked or coalesced delivery is left unchanged.
-- Order:      one at a time for each order key.
-- Result:     its previous state, and the delivery it was coalesced into; is_being_sent: unchanged,
--             because its own job is sending it right now. No row: there is no such delivery.
CREATE OR REPLACE FUNCTION authsync.retry_delivery(
    p_project_id uuid,
    p_id         bigint
)
RETURNS TABLE (state text, coalesced_into bigint, is_being_sent boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
DECLARE
    v_destination_id uuid;
BEGIN
    SELECT d.destination_id INTO v_destination_id
    FROM authsync.deliveries AS d
    WHERE d.id = p_id AND d.project_id IS NOT DISTINCT FROM p_project_id;
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = v_destination_id FOR UPDATE;

    SELECT d.state, d.coalesced_into INTO state, coalesced_into
    FROM authsync.deliveries AS d
    WHERE d.id = p_id AND d.project_id IS NOT DISTINCT FROM p_project_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    is_being_sent := false;
    IF state = 'retrying' THEN
        is_being_sent := authsync.requeue_retrying_deliveries(v_destination_id, ARRAY[p_id]) = 0;
        IF NOT is_being_sent THEN
            UPDATE authsync.deliveries AS d
            SET deferrals = 0, deferred_at = NULL
            WHERE d.id = p_id;
            PERFORM authsync.request_delivery(v_destination_id);
        END IF;
    ELSIF state IN ('delivered', 'failed', 'cancelled') THEN
        is_being_sent := authsync.requeue_deliveries(v_destination_id, ARRAY[p_id]) IS NOT DISTINCT FROM 0;
    END IF;
    RETURN NEXT;
END;
$fn$;

COMMENT ON FUNCTION authsync.retry_delivery(uuid, bigint)
    IS 'Requeues a finished delivery, or makes a retrying one due now.';
