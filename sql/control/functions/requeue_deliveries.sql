-- requeue_deliveries requeues finished deliveries, keeping their attempts and the mark of
-- begin_deliveries: what was sent, and may be wrong at the destination, is sent again in full.
--
-- Repeatable: unfinished deliveries are left unchanged; so are those cancelled while their own
--             job was sending them, as long as it is.
-- Order:      one at a time for each user, the earliest change first.
-- Result:     the number of deliveries requeued; NULL if the destination is deleted.
CREATE OR REPLACE FUNCTION authsync.requeue_deliveries(
    p_destination_id uuid,
    p_ids            bigint[]
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
DECLARE
    v_users    text[];
    v_requeued bigint;
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    WITH requeue AS (
        UPDATE authsync.deliveries AS d
        SET state           = 'blocked',
            attempts        = 0,
            deferrals       = 0,
            deferred_at     = NULL,
            next_attempt_at = NULL,
            reason          = NULL,
            coalesced_into     = NULL,
            job_id          = NULL,
            finished_at     = NULL
        -- Written so that only the index on id can be used.
        WHERE d.id = ANY (p_ids) AND d.destination_id IS NOT DISTINCT FROM p_destination_id
          AND d.state IN ('delivered', 'coalesced', 'failed', 'cancelled')
          AND NOT (
              d.state = 'cancelled' AND EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = d.job_id AND j.state = 'running')
          )
        RETURNING d.user_id
    )
    SELECT count(*), array_agg(DISTINCT r.user_id) INTO v_requeued, v_users
    FROM requeue AS r;

    IF v_requeued > 0 THEN
        PERFORM authsync.promote_deliveries(p_destination_id, v_users);
        PERFORM authsync.request_delivery(p_destination_id);
    END IF;
    RETURN v_requeued;
END;
$fn$;

COMMENT ON FUNCTION authsync.requeue_deliveries(uuid, bigint[])
    IS 'Requeues finished deliveries.';
