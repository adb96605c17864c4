-- rest lets a job end that has found nothing more to do. It is called in the
-- transaction that completes the job.
--
-- Repeatable: yes.
-- Order:      p_seen is what was asked before the job looked for work the last time.
-- Result:     true: the job may end. False: somebody asked meanwhile, look again.
--
-- A job that is not the one of the wake (somebody made it by hand, or another took
-- its place) may always end.
CREATE OR REPLACE FUNCTION authsync.rest(
    p_kind    text,
    p_subject uuid,
    p_job_id  bigint,
    p_seen    bigint,
    p_now     timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_wake authsync.wakes;
BEGIN
    SELECT w.* INTO v_wake
    FROM authsync.wakes AS w
    WHERE w.kind = p_kind AND w.subject = p_subject
    FOR UPDATE;

    IF v_wake.job_id IS DISTINCT FROM p_job_id THEN
        RETURN true;
    END IF;
    IF v_wake.asked <> p_seen THEN
        RETURN false;
    END IF;
    UPDATE authsync.wakes AS w
    SET done = w.asked, job_id = NULL, rested_at = p_now
    WHERE w.kind = p_kind AND w.subject = p_subject;
    RETURN true;
END;
$fn$;

COMMENT ON FUNCTION authsync.rest(text, uuid, bigint, bigint, timestamptz)
    IS 'Lets a job end unless somebody asked for it since it last looked for work.';
