-- TRUNCATE has no rows that a trigger could look at.
CREATE OR REPLACE TRIGGER audit_log_protect_all
    BEFORE TRUNCATE ON authsync.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION authsync.protect_audit_log();

ALTER TABLE authsync.audit_log ENABLE ALWAYS TRIGGER audit_log_protect_all;

COMMENT ON TRIGGER audit_log_protect_all ON authsync.audit_log
    IS 'Keeps the audit log from being emptied at once.';
