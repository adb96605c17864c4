-- prune_audit_log deletes rows of the audit log past their retention.
--
-- Repeatable: call it until it deletes fewer than p_limit.
-- Order:      the oldest first; several callers at once each take others.
-- Result:     the number deleted.
CREATE OR REPLACE FUNCTION authsync.prune_audit_log(
    p_now   timestamptz,
    p_limit integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_deleted bigint;
BEGIN
    DELETE FROM authsync.audit_log AS a
    WHERE a.id = ANY (ARRAY(
        SELECT o.id
        FROM authsync.audit_log AS o
        -- Not what the trigger refuses: the caller's clock may be ahead of this server's.
        WHERE o.occurred_at < least(p_now, clock_timestamp()) - authsync.audit_retention()
        ORDER BY o.occurred_at, o.id
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    RETURN v_deleted;
END;
$fn$;

COMMENT ON FUNCTION authsync.prune_audit_log(timestamptz, integer)
    IS 'Deletes rows of authsync.audit_log past their retention.';
