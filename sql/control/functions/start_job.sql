-- start_job makes the job that answers a wake, and tells the workers. It is called
-- by wake and by those that found a wake without a job.
--
-- Repeatable: no; each call makes a job.
-- Order:      of no matter.
-- Result:     the id of the job, which is noted with the wake.
--
-- The columns left out have River's defaults. Only workers that die use up attempts.
CREATE OR REPLACE FUNCTION authsync.start_job(
    p_kind    text,
    p_subject uuid
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_queue text := CASE p_kind WHEN 'relay_changes' THEN 'relay' ELSE 'deliver' END;
    v_id    bigint;
BEGIN
    INSERT INTO authsync.river_job AS j (kind, queue, max_attempts, args)
    VALUES (
        p_kind, v_queue, 30000,
        jsonb_build_object(CASE p_kind WHEN 'relay_changes' THEN 'project_id' ELSE 'destination_id' END, p_subject)
    )
    RETURNING j.id INTO v_id;

    UPDATE authsync.wakes AS w
    SET job_id = v_id
    WHERE w.kind = p_kind AND w.subject = p_subject;

    PERFORM pg_notify('authsync.river_insert', format('{"queue": "%s"}', v_queue));
    RETURN v_id;
END;
$fn$;

COMMENT ON FUNCTION authsync.start_job(text, uuid)
    IS 'Makes the job that answers a wake; called by wake and by those that mend.';
