-- audit_retention is how long rows of the audit log are kept: a year, and a month to read it in.
--
-- Repeatable: a constant.
-- Order:      of no matter.
-- Result:     the interval.
CREATE OR REPLACE FUNCTION authsync.audit_retention()
RETURNS interval
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT interval '400 days';
$fn$;

COMMENT ON FUNCTION authsync.audit_retention()
    IS 'How long rows of authsync.audit_log are kept, and cannot be deleted.';
