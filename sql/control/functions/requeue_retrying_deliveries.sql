-- requeue_retrying_deliveries moves deliveries from their own jobs to their destination's job, except
-- those being sent right now, which would be sent twice. The caller holds the lock on the row of
-- destination_progress and requests the destination's job.
--
-- Repeatable: yes.
-- Order:      jobs are locked in order of id, so that none of them starts meanwhile; one
--             that starts afterwards finds nothing to do.
-- Result:     the number of deliveries moved. p_ids NULL means all of the destination.
CREATE OR REPLACE FUNCTION authsync.requeue_retrying_deliveries(
    p_destination_id uuid,
    p_ids            bigint[]
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
    v_taken bigint;
BEGIN
    WITH own AS MATERIALIZED (
        SELECT d.id, d.job_id
        FROM authsync.deliveries AS d
        WHERE d.destination_id = p_destination_id AND d.state = 'retrying' AND (p_ids IS NULL OR d.id = ANY (p_ids))
    ),
    idle AS MATERIALIZED (
        SELECT j.id
        FROM own AS o
        JOIN authsync.river_job AS j ON j.id = o.job_id
        WHERE j.state <> 'running'
        ORDER BY j.id
        FOR UPDATE OF j
    )
    UPDATE authsync.deliveries AS d
    SET state = 'ready', next_attempt_at = NULL, job_id = NULL
    FROM own AS o
    WHERE d.id = o.id
      -- IN hashes the jobs, which EXISTS would walk for each delivery.
      AND (o.job_id IN (SELECT i.id FROM idle AS i) OR NOT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = o.job_id));
    GET DIAGNOSTICS v_taken = ROW_COUNT;
    RETURN v_taken;
END;
$fn$;

COMMENT ON FUNCTION authsync.requeue_retrying_deliveries(uuid, bigint[])
    IS 'Moves deliveries from their own jobs to their destination''s, except those being sent.';
