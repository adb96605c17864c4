-- rescue_jobs makes running jobs available that nobody works: those of clients that died, those
-- of the caller that it does not work, and those that run for longer than any job may. With
-- a client's jobs go its leases, and so do those of the caller whose job it does not work any more; p_lease is for how
-- long one is taken. A job that a person cancelled meanwhile is cancelled.
--
-- A client lives while it holds its lock. One may lose it for a moment and be well, so one whose lock is
-- free counts as dead only if the caller suspected it already, a sweep ago.
--
-- The death of a worker costs no attempt. A job that has outlived several workers may be
-- what killed them, so from the third time on it waits, twice as long each time up to eight seconds: as
-- a rule it is innocent, and somebody waits for what it does.
--
-- Time is the database's unless p_now says otherwise, as a test does.
--
-- Repeatable: yes; when all is well it changes nothing.
-- Order:      rows are locked in the order of their ids, those that others lock are left for the next sweep.
-- Result:     how many jobs were rescued, and the clients to suspect now.
CREATE OR REPLACE FUNCTION authsync.rescue_jobs(
    p_client_id   text,
    p_at_work     bigint[],
    p_suspects    text[],
    p_stuck_after interval,
    p_lease       interval,
    p_now         timestamptz
)
RETURNS TABLE (rescued bigint, suspects text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
DECLARE
    v_now   timestamptz := coalesce(p_now, clock_timestamp());
    v_free  text[];
    v_dead  text[];
    v_queue text;
BEGIN
    SELECT coalesce(array_agg(c.client_id), '{}') INTO v_free
    FROM (
        SELECT r.attempted_by[cardinality(r.attempted_by)] AS client_id
        FROM authsync.river_job AS r
        WHERE r.state = 'running'
        UNION
        SELECT f.leased_by FROM authsync.destination_progress AS f WHERE f.leased_by IS NOT NULL
    ) AS c
    WHERE c.client_id <> p_client_id
      AND pg_try_advisory_xact_lock_shared(authsync.client_lock_key(c.client_id));

    SELECT coalesce(array_agg(f.client_id), '{}') INTO v_dead
    FROM unnest(v_free) AS f (client_id)
    WHERE f.client_id = ANY (p_suspects);

    rescued := 0;
    -- A time in the future comes from a wrong clock.
    FOR v_queue IN
        WITH lost AS (
            SELECT r.id
            FROM authsync.river_job AS r
            WHERE r.state = 'running'
              AND CASE
                  WHEN r.attempted_by[cardinality(r.attempted_by)] = ANY (v_dead) THEN true
                  WHEN r.attempted_by[cardinality(r.attempted_by)] = p_client_id AND r.id <> ALL (p_at_work)
                      THEN r.attempted_at NOT BETWEEN v_now - interval '2 seconds' AND v_now
                  ELSE r.attempted_at NOT BETWEEN v_now - p_stuck_after AND v_now + interval '1 minute'
              END
            ORDER BY r.id
            FOR UPDATE SKIP LOCKED
        )
        UPDATE authsync.river_job AS r
        SET state = CASE WHEN r.metadata ? 'cancel_attempted_at' THEN 'cancelled' ELSE 'available' END::authsync.river_job_state,
            finalized_at = CASE WHEN r.metadata ? 'cancel_attempted_at' THEN v_now END,
            attempt = greatest(r.attempt - 1, 0),
            scheduled_at = v_now + CASE
                WHEN coalesce((r.metadata ->> 'rescues')::integer, 0) < 2 THEN interval '0'
                ELSE interval '1 second' * 2 ^ least((r.metadata ->> 'rescues')::integer - 2, 3)
            END,
            metadata = r.metadata || jsonb_build_object(
                'rescues', coalesce((r.metadata ->> 'rescues')::integer, 0) + 1,
                'rescued_from', r.attempted_by[cardinality(r.attempted_by)],
                'rescued_at', v_now
            )
        FROM lost
        WHERE r.id = lost.id
        RETURNING r.queue
    LOOP
        rescued := rescued + 1;
        PERFORM pg_notify('authsync.river_insert', json_build_object('queue', v_queue)::text);
    END LOOP;

    UPDATE authsync.destination_progress AS f
    SET lease = NULL, leased_until = NULL, leased_by = NULL, leased_job = NULL
    WHERE f.leased_by = ANY (v_dead)
       OR (f.leased_by = p_client_id AND f.leased_job <> ALL (p_at_work) AND f.leased_until < v_now + p_lease - interval '2 seconds');

    suspects := v_free;
    RETURN NEXT;
END;
$fn$;

COMMENT ON FUNCTION authsync.rescue_jobs(text, bigint[], text[], interval, interval, timestamptz)
    IS 'Makes running jobs available that nobody works any more, and frees the leases of dead clients.';
