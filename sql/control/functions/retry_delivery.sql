-- retry_delivery takes a finished delivery up again, with all attempts before it, or has one that
-- waits for its next attempt tried now, by the destination's job.
--
-- Repeatable: one that waits for its turn, or was united with another, is left as it is.
-- Order:      as ever, one at a time for each user.
-- Result:     the state that it was in, and what it was united with; is_being_sent: it was left alone,
--             because its own job is sending it at this moment. No row: there is no such delivery.
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
        is_being_sent := authsync.requeue_ready_deliveries(v_destination_id, ARRAY[p_id]) = 0;
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
    IS 'Takes a finished delivery up again, or has one that waits for its next attempt tried now.';
