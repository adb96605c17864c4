-- request_job asks for the job of a kind and subject, of which there is one or none. It is
-- called in the transaction that makes the work; see finish_if_idle for the other half.
--
--            request_job: UPDATE, and insert the job
--          ┌────────────────────────────────────────────┐
--          │                                            ▼
--     idle (job_id NULL)                        busy (job_id = the job)──┐ request_job:
--          ▲                                            │            ▲   │ FOR KEY SHARE, no write
--          └────────────────────────────────────────────┘            └───┘
--            finish_if_idle: FOR UPDATE, look again, complete the job
--
-- If there is a job, the row is only locked, by a lock that any number of requesters hold
-- at the same time. It lasts until their work is committed, and the job does not go idle before.
--
-- Repeatable: yes; a job that exists does the work of all who asked.
-- Order:      of no matter. Who asks for several jobs does so in the order of their subjects.
-- Result:     true if it made a job. Workers are notified unless p_notify says otherwise:
--             of transactions that notify, PostgreSQL commits one at a time.
CREATE OR REPLACE FUNCTION authsync.request_job(
    p_kind    text,
    p_subject text,
    p_args    jsonb,
    p_notify  boolean DEFAULT true
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan -- by primary keys only: planning costs more than the rest
AS $fn$
DECLARE
    v_request authsync.job_requests;
    v_job_id  bigint;
BEGIN
    LOOP
        SELECT r.* INTO v_request
        FROM authsync.job_requests AS r
        WHERE r.kind = p_kind AND r.subject = p_subject
        FOR KEY SHARE;

        EXIT WHEN v_request.job_id IS NOT NULL;
        IF v_request.kind IS NULL THEN
            INSERT INTO authsync.job_requests (kind, subject, args)
            VALUES (p_kind, p_subject, p_args)
            ON CONFLICT DO NOTHING;
        END IF;

        PERFORM
        FROM authsync.job_requests AS r
        WHERE r.kind = p_kind AND r.subject = p_subject AND r.job_id IS NULL
        FOR NO KEY UPDATE;
        -- Otherwise another transaction made the job meanwhile: lock the current row.
        IF FOUND THEN
            v_job_id := authsync.start_job(p_kind, p_args, p_notify);
            UPDATE authsync.job_requests AS r
            SET job_id = v_job_id, args = p_args
            WHERE r.kind = p_kind AND r.subject = p_subject;
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END;
$fn$;

COMMENT ON FUNCTION authsync.request_job(text, text, jsonb, boolean)
    IS 'Asks for the job of a kind and subject; makes it unless it exists.';
