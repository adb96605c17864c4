-- claim_pulls gives a puller integrations whose events it may pull until p_until.
--
-- Repeatable: no; each call gives others, those that have waited longest first.
-- Order:      rows that another call is claiming are skipped, so that two pullers never get the
--             same, and neither waits.
-- Result:     the claimed rows, at most p_limit, with the time of their integration's last change.
CREATE OR REPLACE FUNCTION authsync.claim_pulls(
    p_claimed_by uuid,
    p_limit      integer,
    p_now        timestamptz,
    p_until      timestamptz
)
RETURNS TABLE (
    project_id           uuid,
    provider             text,
    cursor               text,
    origin               text,
    since                timestamptz,
    consecutive_failures bigint,
    reconcile_due        boolean,
    changed_at           timestamptz
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
    RETURN QUERY
    WITH free AS (
        SELECT p.project_id, p.provider, i.updated_at
        FROM authsync.pulls AS p
        JOIN authsync.integrations AS i ON i.project_id = p.project_id AND i.provider = p.provider
        WHERE i.options @> '{"pull": true}'
          AND (p.claimed_by IS NULL OR p.claimed_until <= p_now)
          AND (p.retry_at IS NULL OR p.retry_at <= p_now)
        ORDER BY p.last_ended_at NULLS FIRST, p.project_id, p.provider
        LIMIT p_limit
        FOR UPDATE OF p SKIP LOCKED
    )
    UPDATE authsync.pulls AS p
    SET claimed_by = p_claimed_by, claimed_until = p_until
    FROM free AS f
    WHERE p.project_id = f.project_id AND p.provider = f.provider
    RETURNING p.project_id, p.provider, p.cursor, p.origin, p.since, p.consecutive_failures, p.reconcile_due, f.updated_at;
END;
$fn$;

COMMENT ON FUNCTION authsync.claim_pulls(uuid, integer, timestamptz, timestamptz)
    IS 'Gives a puller integrations whose events it may pull for a while.';
