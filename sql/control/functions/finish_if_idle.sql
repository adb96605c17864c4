-- finish_if_idle ends the job of a subject if there is nothing more to do; see request_job
-- for the other half. It is one transaction, or the end of the one that records the last work.
--
-- If work is visible, the job goes on, and nobody waits. Otherwise it waits for requesters that were
-- faster, and looks for work again. Those that come later wait for its commit, and make the next job.
--
-- The work of relay_changes lies in another database. With p_complete false the subject goes
-- idle and the job goes on: it looks once more, requests a job if it finds something, and then ends.
--
-- Repeatable: yes; the second time the job is not the one of the subject.
-- Order:      p_attempted_at is when the caller fetched the job: no other run may end it.
-- Result:     idle: the job is completed. busy: there is more to do. lost: the job belongs to
--             another run, or is not the one of the subject (a person had it run again). It ends, and if
--             no job exists for the subject, there is one now.
CREATE OR REPLACE FUNCTION authsync.finish_if_idle(
    p_kind         text,
    p_subject      text,
    p_job_id       bigint,
    p_attempted_at timestamptz,
    p_now          timestamptz,
    p_complete     boolean
)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan -- by primary keys only: planning costs more than the rest
SET lock_timeout = '100ms'
AS $fn$
DECLARE
    v_request authsync.job_requests;
    v_args    jsonb;
BEGIN
    -- First without locks: those who are making work hold theirs until their commits.
    IF EXISTS (
        SELECT FROM authsync.river_job AS j
        WHERE j.id = p_job_id AND j.state IS NOT DISTINCT FROM 'running' AND j.attempted_at = p_attempted_at
    ) AND EXISTS (
        SELECT FROM authsync.job_requests AS r
        WHERE r.kind = p_kind AND r.subject = p_subject AND r.job_id = p_job_id
    ) AND authsync.has_work(p_kind, p_subject) THEN
        RETURN 'busy';
    END IF;

    SELECT j.args INTO v_args
    FROM authsync.river_job AS j
    -- Written so that only the index on id can be used.
    WHERE j.id = p_job_id AND j.state IS NOT DISTINCT FROM 'running' AND j.attempted_at = p_attempted_at
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'lost';
    END IF;

    BEGIN
        SELECT r.* INTO v_request
        FROM authsync.job_requests AS r
        WHERE r.kind = p_kind AND r.subject = p_subject
        FOR UPDATE;
    EXCEPTION WHEN lock_not_available THEN
        RETURN 'busy';
    END;
    IF v_request.job_id IS DISTINCT FROM p_job_id THEN
        IF v_request.job_id IS NULL THEN
            PERFORM authsync.request_job(p_kind, p_subject, v_args);
        END IF;
        RETURN 'lost';
    END IF;
    IF authsync.has_work(p_kind, p_subject) THEN
        RETURN 'busy';
    END IF;

    UPDATE authsync.job_requests AS r
    SET job_id = NULL, idle_since = p_now
    WHERE r.kind = p_kind AND r.subject = p_subject;
    IF p_complete THEN
        UPDATE authsync.river_job AS j
        SET state = 'completed', finalized_at = p_now
        WHERE j.id = p_job_id;
    END IF;
    RETURN 'idle';
END;
$fn$;

COMMENT ON FUNCTION authsync.finish_if_idle(text, text, bigint, timestamptz, timestamptz, boolean)
    IS 'Ends the job of a subject unless there is more to do.';
