-- bump_directory_version tells every process that projects or integrations changed.
--
-- Repeatable: each call counts one more; processes reload once for all they missed.
-- Order:      the row's lock makes changes wait for each other's commit, so that the
--             version grows in the order of commit and whoever reads it sees all up to it.
-- Result:     nothing; a trigger after each statement calls it, within its transaction.
CREATE OR REPLACE FUNCTION authsync.bump_directory_version()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    UPDATE authsync.directory_version SET version = version + 1;
    RETURN NULL;
END;
$fn$;

COMMENT ON FUNCTION authsync.bump_directory_version()
    IS 'Grows authsync.directory_version, so that every process reloads projects and integrations.';
