-- start_job inserts the job of a subject. request_job and rescue_requests call it, and store the
-- id with the subject.
--
-- Repeatable: no; each call makes a job.
-- Order:      none.
-- Result:     the id of the job.
--
-- The columns left out have River's defaults. Nothing uses up attempts.
CREATE OR REPLACE FUNCTION authsync.start_job(
    p_kind   text,
    p_args   jsonb,
    p_notify boolean
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_queue text := CASE p_kind
        WHEN 'relay_changes' THEN 'relay'
        WHEN 'deliver' THEN 'deliver'
        WHEN 'refresh_users' THEN 'refreshes'
        WHEN 'backfill' THEN 'backfills'
        WHEN 'provision_webhook' THEN 'webhooks'
        WHEN 'copy_mirror' THEN 'clones'
        ELSE 'default'
    END;
    v_id    bigint;
BEGIN
    INSERT INTO authsync.river_job AS j (kind, queue, max_attempts, args)
    VALUES (p_kind, v_queue, 30000, p_args)
    RETURNING j.id INTO v_id;

    IF p_notify THEN
        PERFORM pg_notify('authsync.river_insert', format('{"queue": "%s"}', v_queue));
    END IF;
    RETURN v_id;
END;
$fn$;

COMMENT ON FUNCTION authsync.start_job(text, jsonb, boolean)
    IS 'Inserts the job of a subject.';
