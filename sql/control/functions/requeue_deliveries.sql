-- requeue_deliveries requeues finished deliveries, keeping their attempts and the mark of
-- begin_deliveries: what was sent, and may be wrong at the destination, is sent again in full.
--
-- Repeatable: unfinished deliveries are left unchanged; so are those cancelled while their own
--             job was sending them, as long as it is.
-- Order:      one at a time for each order key, the earliest change first. Deliveries of a record get the
--             order key of its unfinished ones; see make_deliveries.
-- Result:     the number of deliveries requeued; NULL if the destination is deleted.
CREATE OR REPLACE FUNCTION authsync.requeue_deliveries(
    p_destination_id uuid,
    p_ids            bigint[]
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
    v_keys     text[];
    v_requeued bigint;
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    WITH chosen AS MATERIALIZED (
        SELECT
            d.id,
            coalesce(
                u.order_key, first_value(d.order_key) OVER (PARTITION BY d.record_type, d.record_id ORDER BY d.change_id DESC)
            ) AS order_key
        FROM authsync.deliveries AS d
        LEFT JOIN LATERAL (
            SELECT o.order_key
            FROM authsync.deliveries AS o
            -- By all columns of the index, so that no plan can walk over what else waits.
            WHERE (o.record_id, o.record_type, o.destination_id, o.change_id) >= (d.record_id, d.record_type, p_destination_id, 0)
              AND (o.record_id, o.record_type, o.destination_id, o.change_id)
                  <= (d.record_id, d.record_type, p_destination_id, 9223372036854775807)
              AND o.finished_at IS NULL
            LIMIT 1
        ) AS u ON true
        -- Written so that only the index on id can be used.
        WHERE d.id = ANY (p_ids) AND d.destination_id IS NOT DISTINCT FROM p_destination_id
          AND (d.state || '') IN ('delivered', 'coalesced', 'failed', 'cancelled')
          AND NOT (
              d.state = 'cancelled' AND EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = d.job_id AND j.state = 'running')
          )
    ),
    requeue AS (
        UPDATE authsync.deliveries AS d
        SET state           = 'blocked',
            order_key       = c.order_key,
            held_from       = NULL,
            attempts        = 0,
            deferrals       = 0,
            deferred_at     = NULL,
            next_attempt_at = NULL,
            reason          = NULL,
            coalesced_into  = NULL,
            job_id          = NULL,
            finished_at     = NULL,
            -- Kept; what only the row has of an attempt would be lost with the next one.
            attempt_log     = CASE
                WHEN d.state = 'delivered' AND d.attempt_log IS NULL
                    THEN authsync.add_attempt(NULL, d.last_attempt_at, NULL, d.state, d.last_status, d.reason, d.last_response, NULL)
                ELSE d.attempt_log
            END
        FROM chosen AS c
        WHERE d.id = c.id
        RETURNING d.order_key
    )
    SELECT count(*), array_agg(DISTINCT r.order_key) INTO v_requeued, v_keys
    FROM requeue AS r;

    IF v_requeued > 0 THEN
        PERFORM authsync.promote_deliveries(p_destination_id, v_keys);
        PERFORM authsync.request_delivery(p_destination_id);
    END IF;
    RETURN v_requeued;
END;
$fn$;

COMMENT ON FUNCTION authsync.requeue_deliveries(uuid, bigint[])
    IS 'Requeues finished deliveries.';
