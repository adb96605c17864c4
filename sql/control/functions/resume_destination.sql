-- resume_destination makes a destination active, closes its circuit breaker and requests its job.
-- A job waiting for the breaker is brought forward, and retrying deliveries are sent with the
-- others, except those being sent right now. Changes held back by a halted filter are relayed.
--
-- Repeatable: yes.
-- Order:      none.
-- Result:     true if there is such a destination.
CREATE OR REPLACE FUNCTION authsync.resume_destination(
    p_destination_id uuid,
    p_now            timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_was authsync.destinations;
BEGIN
    PERFORM authsync.close_breaker(p_destination_id, true);

    SELECT d.* INTO v_was
    FROM authsync.destinations AS d
    WHERE d.id = p_destination_id
    FOR NO KEY UPDATE;

    UPDATE authsync.destinations AS d
    SET state         = 'active',
        state_by      = 'user',
        state_reason  = NULL,
        state_since   = CASE WHEN d.state = 'active' THEN d.state_since ELSE p_now END,
        filter_halted = false
    WHERE d.id = p_destination_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    UPDATE authsync.deliveries AS d
    SET deferrals = 0, deferred_at = NULL
    WHERE d.destination_id = p_destination_id AND d.state = 'retrying' AND d.deferred_at IS NOT NULL;
    PERFORM authsync.requeue_retrying_deliveries(p_destination_id, NULL);

    IF NOT authsync.request_delivery(p_destination_id) THEN
        -- River uses the database's clock, from which ours may differ.
        UPDATE authsync.river_job AS j
        SET state = 'available', scheduled_at = now()
        FROM authsync.job_requests AS r
        WHERE r.kind = 'deliver' AND r.subject = p_destination_id::text AND j.id = r.job_id
          AND j.state IN ('available', 'scheduled', 'retryable');
        IF FOUND THEN
            PERFORM pg_notify('authsync.river_insert', '{"queue": "deliver"}');
        ELSE
            -- It runs, and may be about to wait for the breaker that is closed now. Another
            -- takes its place; the lease lets only one of them send.
            UPDATE authsync.job_requests AS r
            SET job_id = authsync.start_job(r.kind, r.args, true)
            WHERE r.kind = 'deliver' AND r.subject = p_destination_id::text;
        END IF;
    END IF;

    IF v_was.filter_halted THEN
        PERFORM authsync.request_relay(v_was.project_id);
    END IF;
    RETURN true;
END;
$fn$;

COMMENT ON FUNCTION authsync.resume_destination(uuid, timestamptz)
    IS 'Makes a destination active and sends its waiting deliveries.';
