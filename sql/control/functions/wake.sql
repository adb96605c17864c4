-- wake asks for a job that looks for work: relay_changes for a project, deliver for a
-- destination. It is called in the transaction that makes the work.
--
-- Repeatable: yes; a job that is there already does the work of all who asked.
-- Order:      of no matter. Whoever asks while a job ends either is seen by it, or makes
--             the next one: asking and resting change the same row.
-- Result:     true if it made a job.
CREATE OR REPLACE FUNCTION authsync.wake(
    p_kind    text,
    p_subject uuid
)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_job_id bigint;
BEGIN
    INSERT INTO authsync.wakes AS w (kind, subject, asked)
    VALUES (p_kind, p_subject, 1)
    ON CONFLICT (kind, subject) DO UPDATE SET asked = w.asked + 1
    RETURNING w.job_id INTO v_job_id;

    IF v_job_id IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM authsync.start_job(p_kind, p_subject);
    RETURN true;
END;
$fn$;

COMMENT ON FUNCTION authsync.wake(text, uuid)
    IS 'Asks for a job that looks for work of a kind; there is one at a time for each subject.';
