-- choose_probe chooses the delivery to probe a destination with: one without an attempt, otherwise
-- the one with the oldest attempt. So probes rotate, and one record with bad data does not block
-- recovery. A retrying delivery moves from its own job to the destination's.
--
-- Repeatable: yes; the next choice differs once the attempt has been recorded.
-- Order:      of those without an attempt, the earliest change.
-- Result:     the id of a ready delivery; NULL if there is none.
CREATE OR REPLACE FUNCTION authsync.choose_probe(
    p_destination_id uuid
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $fn$
DECLARE
    v_id bigint;
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;

    SELECT d.id INTO v_id
    FROM authsync.deliveries AS d
    WHERE d.destination_id = p_destination_id AND d.state = 'ready' AND d.last_attempt_at IS NULL
    ORDER BY d.change_id
    LIMIT 1;
    IF FOUND THEN
        RETURN v_id;
    END IF;

    SELECT o.id INTO v_id
    FROM (
        SELECT d.id, d.change_id, d.last_attempt_at
        FROM authsync.deliveries AS d
        WHERE d.destination_id = p_destination_id AND d.state = 'ready'
        UNION ALL
        SELECT d.id, d.change_id, d.last_attempt_at
        FROM authsync.deliveries AS d
        WHERE d.destination_id = p_destination_id AND d.state = 'retrying'
          -- Not one in flight.
          AND NOT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = d.job_id AND j.state = 'running')
    ) AS o
    ORDER BY o.last_attempt_at, o.change_id
    LIMIT 1;
    PERFORM authsync.requeue_retrying_deliveries(p_destination_id, ARRAY[v_id]);
    RETURN v_id;
END;
$fn$;

COMMENT ON FUNCTION authsync.choose_probe(uuid)
    IS 'Chooses the delivery to probe a destination with.';
