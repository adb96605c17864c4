-- rescue_deliveries repairs a destination's deliveries after jobs were deleted or cancelled, or
-- deliveries deleted: a delivery without its own job returns to the destination's job, and an order key
-- with only blocked deliveries gets the next one promoted.
--
-- Repeatable: yes; without damage it changes nothing.
-- Order:      the earliest delivery of an order key first.
-- Result:     the number of deliveries rescued.
CREATE OR REPLACE FUNCTION authsync.rescue_deliveries(
    p_destination_id uuid,
    p_now            timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
    v_keys  text[];
    v_ready bigint;
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;

    UPDATE authsync.deliveries AS d
    SET state = 'ready', next_attempt_at = NULL, job_id = NULL
    WHERE d.destination_id = p_destination_id AND d.state = 'retrying' AND d.next_attempt_at < p_now - interval '1 minute'
      AND NOT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = d.job_id AND j.finalized_at IS NULL);
    GET DIAGNOSTICS v_ready = ROW_COUNT;

    -- One scan of the blocked ones, with one lookup per key; see promote_deliveries.
    SELECT array_agg(u.order_key) INTO v_keys
    FROM (
        SELECT DISTINCT w.order_key
        FROM authsync.deliveries AS w
        WHERE w.destination_id = p_destination_id AND w.state = 'blocked'
    ) AS u
    LEFT JOIN LATERAL (
        SELECT true AS found
        FROM authsync.deliveries AS w
        WHERE w.destination_id = p_destination_id AND w.order_key = u.order_key AND w.state IN ('ready', 'retrying')
        LIMIT 1
    ) AS under_way ON true
    WHERE under_way.found IS NULL;
    IF v_keys IS NOT NULL THEN
        v_ready := v_ready + authsync.promote_deliveries(p_destination_id, v_keys);
    END IF;
    IF v_ready > 0 THEN
        PERFORM authsync.request_delivery(p_destination_id);
    END IF;
    RETURN v_ready;
END;
$fn$;

COMMENT ON FUNCTION authsync.rescue_deliveries(uuid, timestamptz)
    IS 'Repairs deliveries after jobs or deliveries were deleted.';
