-- For each change of an integration that is pulled: new credentials are tried at once.
CREATE OR REPLACE TRIGGER integrations_prepare_pull
    AFTER INSERT OR UPDATE ON authsync.integrations
    FOR EACH ROW
    WHEN (NEW.options @> '{"pull": true}')
    EXECUTE FUNCTION authsync.prepare_pull();

-- Also in a session whose session_replication_role is another, as of a role that restores data.
ALTER TABLE authsync.integrations ENABLE ALWAYS TRIGGER integrations_prepare_pull;

COMMENT ON TRIGGER integrations_prepare_pull ON authsync.integrations
    IS 'Makes the row of authsync.pulls for an integration with option pull.';
