-- protect_audit_log refuses whatever would make the audit log say something else than it said.
--
-- Two things are let through: the result of a pending action is filled in, once, and rows past their retention are
-- deleted. The owner of the table can still drop this trigger, so export the log to where that role has no rights.
--
-- Repeatable: it only looks.
-- Order:      of no matter.
-- Result:     the row as given; otherwise an exception (insufficient_privilege).
CREATE OR REPLACE FUNCTION authsync.protect_audit_log()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    IF TG_OP = 'DELETE' AND old.occurred_at < clock_timestamp() - authsync.audit_retention() THEN
        RETURN old;
    END IF;
    IF TG_OP = 'UPDATE' AND old.outcome = 'pending' AND new.outcome <> 'pending'
        AND (new.id, new.occurred_at, new.actor, new.via, new.action, new.request_count)
            = (old.id, old.occurred_at, old.actor, old.via, old.action, old.request_count)
        AND (new.key_id, new.key_name, new.key_role, new.remote_address, new.user_agent, new.request_id)
            IS NOT DISTINCT FROM (old.key_id, old.key_name, old.key_role, old.remote_address, old.user_agent, old.request_id)
        AND (old.project_id IS NULL OR (new.project_id, new.project_name) IS NOT DISTINCT FROM (old.project_id, old.project_name))
        AND (old.object_id IS NULL OR new.object_id = old.object_id)
    THEN
        RETURN new;
    END IF;
    RAISE EXCEPTION 'authsync.audit_log is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'Rows are deleted once they are older than authsync.audit_retention().';
END;
$fn$;

COMMENT ON FUNCTION authsync.protect_audit_log()
    IS 'Refuses changes of authsync.audit_log: only a pending result is filled in, and only old rows are deleted.';
