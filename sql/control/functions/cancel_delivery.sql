-- cancel_delivery ends a delivery that is not finished, or failed. One that is on its way
-- right now may arrive all the same. Of a held deletion the destination never hears, nor of the later
-- changes of the record that are held with it.
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
    v_was            authsync.deliveries;
    v_state          text;
BEGIN
    SELECT d.destination_id INTO v_destination_id
    FROM authsync.deliveries AS d
    WHERE d.id = p_id AND d.project_id IS NOT DISTINCT FROM p_project_id;
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = v_destination_id FOR UPDATE;

    SELECT d.* INTO v_was
    FROM authsync.deliveries AS d
    WHERE d.id = p_id AND d.project_id IS NOT DISTINCT FROM p_project_id;
    UPDATE authsync.deliveries AS d
    SET state = 'cancelled', next_attempt_at = NULL, finished_at = p_now
    -- Written so that only the index on id can be used.
    WHERE d.id = v_was.id AND (d.state || '') IN ('held', 'blocked', 'ready', 'retrying', 'failed')
    RETURNING d.state INTO v_state;
    IF NOT FOUND THEN
        RETURN v_was.state;
    END IF;
    IF v_was.state = 'held' THEN
        UPDATE authsync.deliveries AS d
        SET state = 'cancelled', reason = 'the deletion before it was cancelled while it was held back', finished_at = p_now
        -- By all columns of deliveries_withheld_idx and in the words of its predicate, so that no plan can walk over
        -- what else is held.
        WHERE d.held_from IS NOT NULL AND (d.state || '') IN ('held', 'cancelled') AND d.state IS NOT DISTINCT FROM 'held'
          AND (d.record_id, d.record_type, d.destination_id, d.change_id)
              > (v_was.record_id, v_was.record_type, v_destination_id, v_was.change_id)
          AND (d.record_id, d.record_type, d.destination_id, d.change_id)
              <= (v_was.record_id, v_was.record_type, v_destination_id, 9223372036854775807);
    END IF;

    IF authsync.promote_deliveries(v_destination_id, ARRAY[v_was.order_key]) > 0 THEN
        PERFORM authsync.request_delivery(v_destination_id);
    END IF;
    RETURN v_state;
END;
$fn$;

COMMENT ON FUNCTION authsync.cancel_delivery(uuid, bigint, timestamptz)
    IS 'Ends a delivery that is not finished, or failed; the next one with its order key goes.';
