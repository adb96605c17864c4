-- cancel_delivery ends a delivery that is not finished, or failed. One that is on its way
-- right now may arrive all the same.
--
-- Repeatable: yes.
-- Order:      the next delivery with its order key goes.
-- Result:     the state that it is in then; NULL: there is no such delivery.
CREATE OR REPLACE FUNCTION authsync.cancel_delivery(
    p_project_id uuid,
    p_id         bigint,
    p_now        timestamptz
)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
DECLARE
    v_destination_id uuid;
    v_order_key      text;
    v_state          text;
BEGIN
    SELECT d.destination_id INTO v_destination_id
    FROM authsync.deliveries AS d
    WHERE d.id = p_id AND d.project_id IS NOT DISTINCT FROM p_project_id;
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = v_destination_id FOR UPDATE;

    UPDATE authsync.deliveries AS d
    SET state = 'cancelled', next_attempt_at = NULL, finished_at = p_now
    WHERE d.id = p_id AND d.project_id IS NOT DISTINCT FROM p_project_id AND d.state IN ('blocked', 'ready', 'retrying', 'failed')
    RETURNING d.order_key, d.state INTO v_order_key, v_state;
    IF NOT FOUND THEN
        RETURN (SELECT d.state FROM authsync.deliveries AS d WHERE d.id = p_id AND d.project_id IS NOT DISTINCT FROM p_project_id);
    END IF;

    IF authsync.promote_deliveries(v_destination_id, ARRAY[v_order_key]) > 0 THEN
        PERFORM authsync.request_delivery(v_destination_id);
    END IF;
    RETURN v_state;
END;
$fn$;

COMMENT ON FUNCTION authsync.cancel_delivery(uuid, bigint, timestamptz)
    IS 'Ends a delivery that is not finished, or failed; the next one with its order key goes.';
