-- Each row is looked at, whichever statement it is.
CREATE OR REPLACE TRIGGER audit_log_protect
    BEFORE UPDATE OR DELETE ON authsync.audit_log
    FOR EACH ROW EXECUTE FUNCTION authsync.protect_audit_log();

-- Also in a session whose session_replication_role is another.
ALTER TABLE authsync.audit_log ENABLE ALWAYS TRIGGER audit_log_protect;

COMMENT ON TRIGGER audit_log_protect ON authsync.audit_log
    IS 'Keeps the audit log append-only.';
