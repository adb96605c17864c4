-- Removes the audit log with all its rows.
DROP TABLE authsync.audit_log;
