-- Once a statement, also when it changed no row: a reload too many costs little.
CREATE OR REPLACE TRIGGER integrations_bump_directory_version
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON authsync.integrations
    FOR EACH STATEMENT EXECUTE FUNCTION authsync.bump_directory_version();

-- Also in a session whose session_replication_role is another, as of a role that restores data.
ALTER TABLE authsync.integrations ENABLE ALWAYS TRIGGER integrations_bump_directory_version;

COMMENT ON TRIGGER integrations_bump_directory_version ON authsync.integrations
    IS 'Makes every process reload projects and integrations.';
