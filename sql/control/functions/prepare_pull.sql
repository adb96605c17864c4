-- prepare_pull makes the row of an integration whose events are to be pulled, in the transaction
-- that turns that on.
--
-- Repeatable: a row that exists stays, so that reading goes on where it stopped when the option
--             was turned off.
-- Order:      of no matter.
-- Result:     nothing of note; a trigger calls it for each row.
CREATE OR REPLACE FUNCTION authsync.prepare_pull()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    INSERT INTO authsync.pulls (project_id, provider, since)
    VALUES (NEW.project_id, NEW.provider, NEW.updated_at)
    ON CONFLICT (project_id, provider) DO UPDATE SET retry_at = NULL, consecutive_failures = 0;
    RETURN NULL;
END;
$fn$;

COMMENT ON FUNCTION authsync.prepare_pull()
    IS 'Makes the row of an integration whose events are to be pulled; an old one is tried anew at once.';
